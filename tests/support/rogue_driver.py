"""A driver by somebody else that does not behave: it reads well for a moment, and then does what its options say."""

import asyncio
import gc
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from drivers.driver import Device, Driver, DriverOptions
from gateway.errors import LinkLost
from gateway.model import Clock, Reading

READINGS_BEFORE = 5

EVER_S = 3600.0


class BeyondRepair(BaseException):
    """No Exception, which would cost the device only."""


class Options(DriverOptions):
    deed: Literal[
        "nothing",
        "wedges the loop",
        "dawdles",
        "keeps the interpreter",
        "never opens",
        "never shuts",
        "never leaves",
        "holds the disk's thread",
        "cannot be configured",
        "ends the gateway and keeps a thread",
    ] = "nothing"

    @field_validator("deed")
    @classmethod
    def _configurable(cls, deed: str) -> str:
        if deed == "cannot be configured":
            raise RuntimeError("neither good nor bad")  # of which pydantic makes no complaint
        return deed


class _Rogue:
    def __init__(self, name: str, options: Options, clock: Clock) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._name = name
        self._deed = options.deed
        self._clock = clock

    async def readings(self) -> AsyncIterator[Reading]:
        try:
            for number in count(1):
                yield Reading(at=self._clock(), device=self._name, values={"n": number})
                await asyncio.sleep(0.05)
                if number == READINGS_BEFORE:
                    self._misbehave()
        finally:
            if self._deed == "never leaves":
                await asyncio.sleep(EVER_S)

    def _misbehave(self) -> None:
        match self._deed:
            case "wedges the loop":
                time.sleep(EVER_S)
            case "dawdles":
                time.sleep(0.5)
                socket.socket()  # and forgets it
            case "keeps the interpreter":
                # Which lets nobody in while it tries all ways.
                re.match(r"(a|a)+$", "a" * 50 + "b")
            case "never shuts":
                raise LinkLost("the port went away")
            case "holds the disk's thread":
                [disk] = [each for each in gc.get_objects() if _is_the_disks(each)]
                disk.submit(time.sleep, EVER_S)
            case "ends the gateway and keeps a thread":
                asyncio.get_running_loop().run_in_executor(None, time.sleep, EVER_S)
                raise BeyondRepair("nobody catches this")


def _is_the_disks(thing: object) -> bool:
    return isinstance(thing, ThreadPoolExecutor) and thing._thread_name_prefix == "journal"


@asynccontextmanager
async def _open(name: str, options: Options, clock: Clock) -> AsyncIterator[Device]:
    if options.deed == "never opens":
        await asyncio.sleep(EVER_S)
    try:
        yield _Rogue(name, options, clock)
    finally:
        if options.deed == "never shuts":
            await asyncio.sleep(EVER_S)


def _no_decoder(_options: Any) -> Any:
    raise NotImplementedError("it has no bytes")


DRIVER = Driver(summary="does not behave", options=Options, decoder=_no_decoder, open=_open)


def entry_point() -> Mapping[str, str]:
    """What pip leaves beside the package: files of a folder `sallyport_rogue-1.dist-info` where Python looks."""
    return {
        "METADATA": "Metadata-Version: 2.1\nName: sallyport-rogue\nVersion: 1\n",
        "entry_points.txt": "[sallyport.drivers]\nrogue = tests.support.rogue_driver:DRIVER\n",
    }


def installed(folder: Path) -> Mapping[str, str]:
    """Here, for a process with this environment."""
    about = folder / "sallyport_rogue-1.dist-info"
    about.mkdir(parents=True)
    for name, text in entry_point().items():
        (about / name).write_text(text)
    return {"PYTHONPATH": str(folder)}
