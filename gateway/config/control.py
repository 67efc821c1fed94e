"""What may be asked for over MQTT: `[control]`."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

import drivers
from drivers.driver import DriverOptions
from gateway.config.locator import KeyPath
from gateway.config.table import Table
from gateway.filters.filter import Names
from gateway.filters.naming import names_behind
from gateway.rules.names import did_you_mean

VERBS = (
    "alert/ack", "alert/list", "alert/silence", "alert/unsilence", "device/restart", "devices", "dump", "journal",
    "log/level", "overview", "ping", "plan", "reload",
)  # fmt: skip
"""What can be asked for on …/request/<verb>."""

_ALLOWED = ("ping", "devices", "overview", "journal", "dump", "plan", "reload", "alert/*")
_WILD = frozenset("*?")

_names = lru_cache(maxsize=8)(Names)  # to make them of a thousand wildcards takes a tenth of a second


def _metric(name: str) -> str:
    if "." not in name and name != "*":
        raise ValueError(
            'must name device and metric, such as "boiler.setpoint", "boiler.*" for all of a device, or "*"'
        )
    return name


class ControlOptions(Table):
    enabled: bool = Field(
        default=True, description="Whether the gateway listens for requests and commands over MQTT at all."
    )
    allow: tuple[str, ...] = Field(
        default=_ALLOWED,
        description="The requests that are carried out: verbs, with * and ? as wildcards; [] allows none.",
    )
    set_: tuple[Annotated[str, AfterValidator(_metric)], ...] = Field(
        default=(),
        alias="set",
        max_length=1000,
        description='What may be set: "<device>.<metric>", with * and ? as wildcards; without it nothing is.',
    )
    rate: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Requests and commands a second in the long run, and twice as many at once.",
    )

    def allows(self, verb: str) -> bool:
        return verb in _names(self.allow)

    def may_set(self, device: str, metric: str) -> bool:
        return self.enabled and f"{device}.{metric}" in _names(self.set_)

    def mistakes(self, devices: Mapping[str, DriverOptions | None]) -> Iterator[tuple[KeyPath, str]]:
        """Names that can never be meant, and where; `devices`: None for one whose options are wrong themselves."""
        for index, verb in enumerate(self.allow):
            chosen = Names([verb])
            if not any(each in chosen for each in VERBS):
                yield ("allow", index), f'there is no request "{verb}"{did_you_mean(verb, VERBS)}'
        for index, name in enumerate(self.set_):
            if not _WILD & set(name) and (problem := _problem(name, devices)):
                yield ("set", index), problem

    def doubts(self, devices: Mapping[str, DriverOptions]) -> Iterator[tuple[KeyPath, str]]:
        """Wildcards that stand for nothing, which may be so on purpose."""
        known = [each for device, options in devices.items() for each in _settable(device, options)]
        for index, name in enumerate(self.set_):
            chosen = Names([name])
            if _WILD & set(name) and name != "*" and not any(each in chosen for each in known):
                yield (
                    ("set", index),
                    "stands for nothing: no device has a metric of such a name that can be set",
                )


def _problem(name: str, devices: Mapping[str, DriverOptions | None]) -> str:
    # A dot may be in the name of either.
    meant = [device for device in devices if name.startswith(f"{device}.")]
    if not meant:
        device = name.partition(".")[0]
        return f'there is no device "{device}"{did_you_mean(device, devices)}'
    known: list[str] = []
    for device in meant:
        options = devices[device]
        if options is None:
            return ""
        known += _settable(device, options)
    if name in Names(known):
        return ""
    return f"cannot be set{did_you_mean(name, known)}" if known else f"nothing of {meant[0]} can be set"


def _settable(device: str, options: DriverOptions) -> list[str]:
    driver = drivers.find(options.driver)
    return [f"{device}.{metric}" for metric in names_behind(options.filters, driver.settable(options))]
