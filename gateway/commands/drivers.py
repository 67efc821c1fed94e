"""`sallyport drivers`: what is installed, and what each one can be told."""

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import drivers
from drivers.driver import DriverOptions
from gateway.config import key_of, tables, written
from gateway.errors import UsageError


def run(name: str | None) -> int:
    """Raises: UsageError for an unknown name."""
    if name is None:
        width = max(map(len, drivers.names()))
        for each in drivers.names():
            driver = drivers.find(each)
            own = [key for key in driver.options.model_fields if key not in DriverOptions.model_fields]
            print(f"{each:{width}}  {driver.summary}")
            print(f"{'':{width}}  own options: {', '.join(own) or 'none'}")
        print("\n`sallyport drivers DRIVER` describes all options and metrics of one.")
        return 0
    if name not in drivers.names():
        raise UsageError(f"no driver {name!r}: there are {', '.join(drivers.names())}")
    driver = drivers.find(name)
    print(f"{name}: {driver.summary}\n\n[devices.NAME]")
    for key, field in driver.options.model_fields.items():
        print(f"{key} = " + (f'"{name}"' if key == "driver" else _default(field)))
        print(f"    {field.description}")
        if key != "filters":  # `sallyport filters`
            _describe_tables(field, indent=4)
    if driver.metrics:
        print("\nmetrics (* is a name that the instrument chooses)")
        width = max(map(len, driver.metrics))
        for metric, about in driver.metrics.items():
            settable = "; can be set" if about.settable is not None else ""
            print(f"  {metric:{width}}  {about.unit or '-':8}  {about.label}{settable}")
    return 0


def _describe_tables(field: FieldInfo, *, indent: int, known: tuple[type[BaseModel], ...] = ()) -> None:
    """What may stand in the tables of an option, and in theirs."""
    for model in tables(field):
        if model in known:
            continue
        for key, inner in model.model_fields.items():
            name = key_of(key, inner)
            print(f"{'':{indent}}{name} = {_default(inner)}")
            print(f"{'':{indent}}    {inner.description}")
            _describe_tables(inner, indent=indent + 4, known=(*known, model))


def _default(field: FieldInfo) -> str:
    return "(required)" if field.is_required() else written(field) or "(no default)"
