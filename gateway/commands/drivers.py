"""`sallyport drivers`: what is installed, and what each one can be told."""

from pydantic.fields import FieldInfo

import drivers
from drivers.driver import DriverOptions
from gateway.config import written
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
        shown = f'"{name}"' if key == "driver" else _default(field)
        print(f"{key} = {shown}")
        print(f"    {field.description}")
    if driver.metrics:
        print("\nmetrics (* is a name that the instrument chooses)")
        width = max(map(len, driver.metrics))
        for metric, about in driver.metrics.items():
            print(f"  {metric:{width}}  {about.unit or '-':8}  {about.label}")
    return 0


def _default(field: FieldInfo) -> str:
    return "(required)" if field.is_required() else written(field)
