"""What people and programs set on devices: each message as a whole, for each device one after the other."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from gateway.devices import Devices
from gateway.errors import FrameError, LinkAbsent, LinkError, Refused
from gateway.filters.filter import Names
from gateway.model import Value
from gateway.request import Request, Text
from gateway.rules.names import did_you_mean
from gateway.units import written_duration

MOST_VALUES = 64
"""In one message."""
LONGEST_TEXT = 256
LONGEST_WRITE_S = 60.0
"""For one value, the wait for the line included."""
MOST_WAITING = 4
"""For one device, behind the message that is being set: each keeps a place from whoever asks for something else."""


def _value(given: Any) -> Value:
    if isinstance(given, str) and len(given) > LONGEST_TEXT:
        raise ValueError(f"must not be longer than {LONGEST_TEXT} characters")
    if isinstance(given, bool | int | float | str):
        return given
    raise ValueError("must be a number, a text, true or false")


class _Wanted(Request):
    device: Annotated[Text, Field(min_length=1)]
    values: Annotated[
        dict[Text, Annotated[Value, PlainValidator(_value)]], Field(min_length=1, max_length=MOST_VALUES)
    ]


def _any(_device: str, _metric: str) -> bool:
    return True


class Switchboard:
    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._turns: dict[str, asyncio.Lock] = {}
        self._here: Counter[str] = Counter()
        """Messages by device: the one that is being set, and those that wait for their turn."""

    async def set_(
        self, request: dict[str, Any], *, may_set: Callable[[str, str], bool] = _any
    ) -> Mapping[str, Any]:
        """The verb.

        Nothing is set unless all of it can be, as far as that is known beforehand. What then fails ends it, since what
        comes later may rest on what came before: a limit, and then the output.

        Raises: Refused.
        """
        if "values" not in request:
            raise Refused('values is missing: {"values": {"<metric>": <value>}}, as in a reading')
        wanted = _Wanted.of(request)
        device, values = wanted.device, wanted.values
        settable = self._devices.settable(device)
        if refused := dict(self._refused(device, values, settable, may_set)):
            left = [metric for metric in values if metric not in refused]
            return _failed(device, {}, refused=refused, left=left)
        if self._here[device] > MOST_WAITING:
            raise Refused(
                f"{device} is slow: {MOST_WAITING} other requests wait already to set it: nothing was set, try again"
                " later"
            )
        self._here[device] += 1
        try:
            async with self._turns.setdefault(device, asyncio.Lock()):
                return await self._set_all(device, values)
        finally:
            self._here[device] -= 1

    async def _set_all(self, device: str, values: Mapping[str, Value]) -> Mapping[str, Any]:
        done: dict[str, Value] = {}
        for metric, value in values.items():
            left = [each for each in values if each not in (*done, metric)]
            try:
                async with asyncio.timeout(LONGEST_WRITE_S):
                    await self._devices.write(device, metric, value)
            except (Refused, LinkAbsent) as error:
                return _failed(device, done, refused={metric: str(error)}, left=left)
            except (LinkError, FrameError) as error:
                return _failed(device, done, uncertain={metric: f"{metric}: {error}"}, left=left)
            except TimeoutError:
                why = f"{metric}: not done after {written_duration(LONGEST_WRITE_S)}"
                return _failed(device, done, uncertain={metric: why}, left=left)
            done[metric] = value
        return {"device": device, "set": done}

    def _refused(
        self,
        device: str,
        values: Mapping[str, Value],
        settable: Sequence[str],
        may_set: Callable[[str, str], bool],
    ) -> Iterator[tuple[str, str]]:
        for metric, value in values.items():
            if not may_set(device, metric):  # first: who may set nothing costs next to nothing
                yield metric, f"{device}.{metric} is not in [control] set of the gateway's configuration"
                continue
            try:
                self._devices.check(device, metric, value)
            except Refused as error:
                known = metric in Names(settable)
                yield metric, str(error) if known else f"{error}{did_you_mean(metric, settable)}"


def _failed(
    device: str,
    done: Mapping[str, Value],
    *,
    refused: Mapping[str, str] | None = None,
    uncertain: Mapping[str, str] | None = None,
    left: list[str],
) -> dict[str, Any]:
    """`refused`: not set, and why. `uncertain`: it may be set, or not. `left`: not tried."""
    said = [
        *(refused or {}).values(),
        *(f"{why}: it may be set, or not" for why in (uncertain or {}).values()),
    ]
    if left:
        said.append(f"not tried: {', '.join(left)}")
    if done:
        said.append(f"set before that: {', '.join(done)}")
    return {
        "status": "error", "error": "; ".join(said), "device": device, "set": done, "refused": refused or {},
        "uncertain": uncertain or {}, "left": left,
    }  # fmt: skip
