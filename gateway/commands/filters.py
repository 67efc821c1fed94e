"""`sallyport filters`: what may happen to readings before they are published."""

from gateway.config import written
from gateway.errors import UsageError
from gateway.filters.choice import FILTERS
from gateway.filters.filter import FilterOptions


def run(name: str | None) -> int:
    """Raises: UsageError for an unknown name."""
    if name is None:
        width = max(map(len, FILTERS))
        for each, model in FILTERS.items():
            print(f"{each:{width}}  {model.model_fields[each].description}")
        print(
            '\nIn the table of a device, in this order: filters = [ { round = 1 }, { metric = "t*", delta = 0.2 } ]'
        )
        print("`sallyport filters FILTER` describes all settings of one.")
        return 0
    if name not in FILTERS:
        raise UsageError(f"no filter {name!r}: there are {', '.join(FILTERS)}")
    _describe(name, FILTERS[name])
    return 0


def _describe(name: str, model: type[FilterOptions]) -> None:
    others = [key for key in model.model_fields if key != name]
    for key in (name, *others):
        field = model.model_fields[key]
        default = "(required)" if field.is_required() else written(field) or "(no default)"
        print(f"{key} = {default}")
        print(f"    {field.description}")
