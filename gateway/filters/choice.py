"""Which filter a table is, by the key that names it."""

import json
from typing import Annotated, Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_plain_validator_function

from gateway.filters.arithmetic import Calibrate, Clamp, Offset, Round, Scale, ValidRange
from gateway.filters.filter import FilterOptions
from gateway.filters.naming import Drop, Keep, Rename
from gateway.filters.pace import Debounce, Delta, Heartbeat, Throttle
from gateway.filters.switching import DelayedOff, DelayedOn, Settle
from gateway.filters.windows import ExponentialAverage, Max, Mean, Median, Min, MovingAverage

_Any = (
    Rename | Keep | Drop
    | Scale | Offset | Calibrate | Round | Clamp | ValidRange
    | Delta | Throttle | Heartbeat | Debounce
    | Median | Mean | Min | Max | MovingAverage | ExponentialAverage
    | Settle | DelayedOn | DelayedOff
)  # fmt: skip

FILTERS: dict[str, type[FilterOptions]] = {each.key(): each for each in get_args(_Any)}
"""By the key that names it."""


class _ByKey:
    """Validation by the one model that is meant: a union would build all, and complain in the name of all."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(_chosen)

    def __get_pydantic_json_schema__(
        self, _core_schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # What goes with each key says gateway/config/schema.py, once for all drivers.
        return {"type": "object", "oneOf": [{"required": [key]} for key in FILTERS]}


def _chosen(written: Any) -> FilterOptions:
    if not isinstance(written, dict):
        raise _problem("dict_type")
    named = [key for key in written if key in FILTERS]
    if not named:
        if unknown := [key for key in written if not _is_known(key)]:
            raise _problem("extra_forbidden", *unknown)
        raise _problem(_custom("names no filter: `sallyport filters` lists them"))
    name, *others = named
    if others:
        raise _problem(_custom(f"is a second filter beside {name}: give it {{ … }} of its own"), *others)
    model = FILTERS[name]
    if strange := [key for key in written if key not in model.model_fields and _is_known(key)]:
        raise _problem(_custom(f"does not go with {name}"), *strange)
    # As JSON, like all that is written: see the loader.
    return model.model_validate_json(json.dumps(written, default=str), strict=True)


def _is_known(key: str) -> bool:
    return any(key in each.model_fields for each in FILTERS.values())


def _custom(text: str) -> PydanticCustomError:
    return PydanticCustomError("filter", "{text}", {"text": text})


def _problem(kind: str | PydanticCustomError, *keys: str) -> ValidationError:
    """About these keys, or else about the whole table."""
    places: list[tuple[str, ...]] = [(key,) for key in keys] or [()]
    return ValidationError.from_exception_data(
        "filter", [InitErrorDetails(type=kind, loc=place, input=None) for place in places]
    )


AnyFilter = Annotated[_Any, _ByKey()]
"""One element of a device's `filters`."""
