"""What is looked at, in which order: what devices need first, then the devices, all lines at the same time."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.driver import DriverOptions
from drivers.plugging import KERNEL_LOG, disconnects, kernel_log
from drivers.port import place
from gateway.commands.doctor import machine
from gateway.commands.doctor.finding import Finding, State
from gateway.commands.doctor.instrument import Surroundings, examine_line
from gateway.commands.doctor.machine import Read
from gateway.commands.doctor.running import running as find_running
from gateway.commands.unit import Service
from gateway.commands.unit import service as find_service
from gateway.config import MAIN_BROKER
from gateway.errors import ConfigError, UsageError
from gateway.publish.broker import Broker
from gateway.units import duration

SLOW_S = 1.0
"""What takes longer says so."""


def run(
    path: Path, names: Sequence[str], *, as_json: bool, wait: str, kernel_log_at: Path = KERNEL_LOG
) -> int:
    """1 if something is wrong. `names`: the devices to look at, and at nothing else; none for everything.

    Raises: UsageError.
    """
    try:
        wait_s = duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait {wait}: {error}") from None
    report = _Report(as_json=as_json)
    asyncio.run(_examine(path, names, report, wait_s, kernel_log_at))
    return report.close()


class _Report:
    """The findings as they come, on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._wrong: list[str] = []

    def add(self, finding: Finding) -> None:
        if finding.state is State.WRONG:
            self._wrong.append(finding.name or finding.about)
        for line in [finding.as_json()] if self._as_json else finding.lines():
            print(line, flush=True)

    def close(self) -> int:
        if self._wrong and not self._as_json:
            print(f"\nwrong: {', '.join(self._wrong)}")
        return 1 if self._wrong else 0


async def _examine(
    path: Path, names: Sequence[str], report: _Report, wait_s: float, kernel_log_at: Path
) -> None:
    service = await asyncio.to_thread(find_service, path)
    read = await asyncio.to_thread(machine.configuration, path)
    unknown = [name for name in names if name not in read.devices]
    if unknown and read.config is not None:
        raise UsageError(
            f"{path} has no device {unknown[0]!r}: there are {', '.join(read.devices) or 'none'}"
        )
    async with _slowly("asking the gateway that runs …"):
        running = await find_running(path, read.config)
    if not names or read.config is None:
        report.add(
            machine.not_loaded(read.finding, running.plan) if running and running.plan else read.finding
        )
    if not names:
        await _look_around(read, service, report, runs=running is not None)
    devices = {name: options for name, options in read.devices.items() if not names or name in names}
    log = await asyncio.to_thread(kernel_log, kernel_log_at)
    around = Surroundings(
        wait_s=wait_s,
        unplugged=None if log is None else disconnects(log),
        service=service,
        running=running,
        tell=_tell,
    )
    lines = [examine_line(line, around) for line in _by_line(devices)]
    for examined in asyncio.as_completed(lines):
        for finding in await examined:
            report.add(finding)


async def _look_around(read: Read, unit: Service | None, report: _Report, *, runs: bool) -> None:
    if unit is not None:
        report.add(machine.service_finding(unit))
    report.add(await asyncio.to_thread(machine.clock_finding))
    if read.config is None:
        return
    report.add(await asyncio.to_thread(machine.journal_finding, read.config, unit))
    for name, mqtt in read.config.brokers.items():
        shown = "broker" if name == MAIN_BROKER else f"broker {name}"
        try:
            ways = Broker.ways(mqtt, client_id=f"{read.config.client_id(name)}-doctor")
        except ConfigError as error:
            report.add(machine.unusable_certificates(shown, error))
            continue
        async with _slowly(f"{shown}: connecting to {', '.join(map(str, mqtt.ways))} …"):
            finding = await machine.broker_finding(shown, mqtt, ways, runs=runs)
        report.add(finding)


def _by_line(devices: Mapping[str, DriverOptions]) -> Iterable[Mapping[str, DriverOptions]]:
    lines: dict[str, dict[str, DriverOptions]] = {}
    for name, options in devices.items():
        lines.setdefault(place(options.port), {})[name] = options
    return lines.values()


@asynccontextmanager
async def _slowly(line: str) -> AsyncIterator[None]:
    saying = asyncio.get_running_loop().call_later(SLOW_S, _tell, line)
    try:
        yield
    finally:
        saying.cancel()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
