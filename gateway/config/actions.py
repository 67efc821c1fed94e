"""What a rule does when it fires: `do = [{ device = "pump", set = { running = false } }]`."""

from collections.abc import Collection, Iterator, Mapping
from math import isfinite
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

import drivers
from drivers.driver import DriverOptions
from gateway.config.locator import KeyPath
from gateway.config.table import Table
from gateway.errors import Refused
from gateway.filters.naming import names_behind
from gateway.model import Value
from gateway.rules.names import THIS, did_you_mean

_LARGEST = 2**63


def _scalar(written: Any) -> Value:
    match written:
        case int() if abs(written) < _LARGEST:
            return written
        case float() if isfinite(written):
            return written
        case str():
            return written
    raise ValueError("must be a number, a text, true or false")


_Scalar = Annotated[Value, PlainValidator(_scalar), WithJsonSchema({"type": ["number", "string", "boolean"]})]


class Action(Table):
    device: str = Field(description='Which device is told; "this" in a rule with each.')
    set_: Mapping[str, _Scalar] = Field(
        alias="set",
        min_length=1,
        description="Its metrics as they are published, and what they are set to, in this order: { running = false }.",
    )

    def problems(
        self, devices: Mapping[str, DriverOptions | None], each: Collection[str] | None
    ) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with it, and where, seen from its table.

        `devices`: those of the site, None for one whose options are wrong themselves; `each`: what `this` stands
        for, None in a rule that has none.
        """
        told = [self.device]
        if self.device == THIS:
            if each is None:
                yield ("device",), 'only a rule with each has this: write each = "rack-*" beside do'
                return
            told = [*each]
        elif self.device not in devices:
            yield ("device",), f'there is no device "{self.device}"{did_you_mean(self.device, devices)}'
            return
        for metric, value in self.set_.items():
            for device in told:
                options = devices.get(device)
                if options is not None and (text := _problem(options, metric, value)):
                    yield ("set", metric), text if len(told) == 1 else f"{device}: {text}"
                    break


def _problem(options: DriverOptions, metric: str, value: Value) -> str:
    driver = drivers.find(options.driver)
    try:
        driver.meant(options, metric, value)
    except Refused as error:
        settable = names_behind(options.filters, driver.settable(options))
        if not settable:
            return f"{error}: nothing of this device can be"
        return str(error) if metric in settable else f"{error}{did_you_mean(metric, settable)}"
    return ""
