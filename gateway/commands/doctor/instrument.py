"""One device of the configuration, tried out: what becomes of it, and if nothing does, why."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers import ports
from drivers.driver import DriverOptions, LineSetting
from drivers.plugging import Disconnect
from drivers.port import Address
from drivers.ports import Account, FoundPort, UsbIdentity
from gateway.commands.doctor.finding import Finding, State
from gateway.commands.doctor.running import Running
from gateway.commands.doctor.trial import Bench, Trial
from gateway.commands.rules.chronicle import clocked
from gateway.commands.sniff import shown, toml
from gateway.commands.unit import UNIT, Service
from gateway.config.page import dotted
from gateway.errors import LinkAbsent, LinkBusy, LinkDenied, LinkError, LinkLost
from gateway.units import written_duration

LATELY_S = 24 * 3600.0

GET_RID_OF = {
    "ModemManager": "sudo systemctl disable --now ModemManager: it takes every serial port for a modem",
    "agetty": "it offers a login there: sudo systemctl disable --now serial-getty@{tty}, and no console={tty} at boot",
    "gpsd": "sudo systemctl disable --now gpsd.socket gpsd",
    "brltty": "sudo apt remove brltty: it takes the port for a braille display",
}
"""What is known to hold ports that are not meant for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all devices are examined with."""

    wait_s: float
    """For a first byte of those that speak by themselves."""
    unplugged: Sequence[Disconnect] | None
    """None if the kernel's log may not be read."""
    service: Service | None
    """That runs with this configuration, or would, where there is one."""
    running: Running | None
    """The gateway that reads these devices already."""
    tell: Callable[[str], None]
    """For each step that takes its time."""


async def examine_line(devices: Mapping[str, DriverOptions], around: Surroundings) -> list[Finding]:
    """Those that share a port, one after the other: a line can be set in one way at a time only."""
    findings = []
    answering: LineSetting | None = None
    """How the line is set, once one of them has answered."""
    for name, options in devices.items():
        patient = _Patient(name, options, around)
        findings.append(await patient.examine(answering))
        answering = patient.answers_at or answering
    return findings


class _Patient:
    def __init__(self, name: str, options: DriverOptions, around: Surroundings) -> None:
        self.answers_at: LineSetting | None = None
        self._name = name
        self._options = options
        self._around = around
        self._device: str | None = None
        """The device file, as far as it is there."""
        self._found: FoundPort | None = None

    async def examine(self, answering: LineSetting | None) -> Finding:
        """`answering`: how the line is set at which another device on it has answered."""
        await asyncio.to_thread(self._look)
        running = self._around.running
        if running is not None and (told := await asyncio.to_thread(self._as_told, running)) is not None:
            return told
        if (refused := self._refused_to_the_gateway()) is not None:
            return refused
        try:
            trial = await self._bench.as_it_is()
            return self._well(trial) if trial.reads else await self._poorly(trial, answering)
        except LinkError as error:
            return await asyncio.to_thread(self._unopened, error)

    @property
    def _bench(self) -> Bench:
        return Bench(
            name=self._name, options=self._options, file=self._device, wait_s=self._around.wait_s,
            tell=self._around.tell,
        )  # fmt: skip

    def _look(self) -> None:
        """Blocks briefly."""
        address = Address.parse(self._options.port)
        try:
            path = UsbIdentity.parse(address.target).path() if address.scheme == "usb" else address.target
        except LinkError:
            return
        if address.scheme in ("device", "usb") and os.path.exists(path):  # noqa: PTH110 - False where we may not look
            self._device = os.path.realpath(path)
            self._found = next(
                (port for port in ports.found() if os.path.realpath(port.device) == self._device), None
            )

    # What a gateway says that runs

    def _as_told(self, running: Running) -> Finding | None:
        """None if the gateway has not got the port and says nothing of the device. Blocks briefly."""
        holders = {} if self._device is None else ports.holding(self._device)
        said = running.devices.get(self._name)
        if said is not None and said.get("state") == "online":
            verdict = f"read by {running}, since {said.get('since')}"
            return self._with_disconnects(self._finding(State.WELL, "", verdict, details=_counted(said)))
        if said is not None:
            reason = said.get("reason", "it has not been opened yet")
            verdict = f"{said.get('state', 'offline')}, says {running}: {reason}"
            others = {pid: name for pid, name in holders.items() if pid not in running.pids}
            return self._refused_to_the_gateway() or self._offline(verdict, others, _counted(said))
        if running.plan is not None:
            return self._finding(
                State.DOUBTFUL,
                "not loaded",
                f"{running} has not heard of it: it is new in the configuration",
                "sudo sallyport reload",
            )
        if self._device is not None and not holders.keys() & set(running.pids):
            return None
        return self._finding(
            State.DOUBTFUL,
            "gateway",
            f"{running} may have it, and what it says of it cannot be heard by this user",
            f"sudo sallyport doctor {self._name}",
        )

    def _offline(self, verdict: str, others: Mapping[int, str], details: Iterable[str]) -> Finding:
        """`others`: who has the port besides the gateway."""
        cause, unit = "silent", UNIT if self._around.service is None else self._around.service.name
        remedy = (
            "is it powered and wired right? Its speed can be found where no gateway has the port:"
            f" sudo systemctl stop {unit}; sudo sallyport doctor {self._name}"
        )
        if others:
            cause, remedy = "held", self._free(others)
        elif self._device is None and "://" not in self._options.port:
            cause, remedy = "absent", self._plug_in()
        return self._finding(State.WRONG, cause, verdict, remedy, details=details)

    # What it is like to open it

    def _refused_to_the_gateway(self) -> Finding | None:
        """Blocks briefly."""
        service, port = self._around.service, self._stat()
        if self._device is None or port is None:
            return None
        if service is not None and not service.admits(Path(self._device), port):
            line = f"DeviceAllow=char-{os.major(port.st_rdev)} rw"
            return self._finding(
                State.WRONG,
                "sandbox",
                f"the sandbox of {service.name} does not let it open ports such as {self._device}",
                f"sudo systemctl edit {service.name}, and write [Service] and, below it, {line}",
            )
        account = self._account()
        if account is None or account.may_write(port):
            return None
        why, remedy = ports.refusal(port, account)
        return self._finding(State.WRONG, "permission", f"{self._options.port}: {why}", remedy)

    def _account(self) -> Account | None:
        """Who runs the gateway, or would; None if that may be anybody."""
        around = self._around
        if around.running is not None and len(around.running.pids) == 1:
            with suppress(OSError):
                return Account.of_process(around.running.pids[0])
        return None if around.service is None else around.service.account

    def _stat(self) -> os.stat_result | None:
        """None if it is not there, or not any more."""
        try:
            return None if self._device is None else Path(self._device).stat()
        except OSError:
            return None

    def _unopened(self, error: LinkError) -> Finding:
        """Blocks briefly."""
        match error:
            case LinkDenied() if (port := self._stat()) is not None:
                ours, theirs = Account.ours(), self._account()
                why, remedy = ports.refusal(port, ours)
                if theirs is not None:  # it may: that was looked at before
                    return self._finding(
                        State.DOUBTFUL,
                        "not looked at",
                        f"user {theirs.name} of the gateway may open it, and you, user {ours.name}, may not",
                        f"sudo sallyport doctor {self._name}",
                    )
                return self._finding(State.WRONG, "permission", f"{self._options.port}: {why}", remedy)
            case LinkBusy():
                others = ports.holding(self._device) if self._device is not None else {}
                return self._finding(State.WRONG, "held", str(error), self._free(others))
            case LinkAbsent() if "://" in self._options.port:
                return self._finding(
                    State.WRONG, "unreachable", str(error),
                    "is the serial server powered, its address right, and nobody else connected to it?",
                )  # fmt: skip
            case LinkAbsent():
                return self._finding(State.WRONG, "absent", str(error), self._plug_in())
            case _:
                return self._finding(State.WRONG, "port", str(error))

    def _free(self, holders: Mapping[int, str]) -> str:
        tty = Path(self._device or "").name
        for name in holders.values():
            if name in GET_RID_OF:
                return GET_RID_OF[name].format(tty=tty)
        stops = " ".join(map(str, holders))
        return f"end it: sudo kill {stops}" if stops else "find out who: sudo sallyport doctor"

    def _plug_in(self) -> str:
        there = [port.path for port in ports.found()]
        if not there:
            return (
                "plug it in: this machine has no serial ports now (`sudo dmesg --follow` shows what happens)"
            )
        return f"plug it in, or set {self._key('port')} to one that is there: {', '.join(there)}"

    # What it says

    def _well(self, trial: Trial) -> Finding:
        self.answers_at = self._bench.line
        verdict = f"reads: {shown(trial.example)}"
        if not trial.broken and not (trial.errors is not None and trial.errors.spoilt):
            return self._with_disconnects(self._finding(State.WELL, "", verdict, trial=trial))
        return self._disturbed(State.DOUBTFUL, f"{verdict}; but {trial.trouble}", trial)

    def _disturbed(self, state: State, verdict: str, trial: Trial) -> Finding:
        remedy = "look at the cable: its length, its shield, ground, and on RS-485 the termination"
        return self._finding(state, "disturbed", verdict, remedy, trial=trial)

    async def _poorly(self, trial: Trial, answering: LineSetting | None) -> Finding:
        bench = self._bench
        # Where another device answers, the line is set right; and that of a serial server is set at its far end.
        right = answering == bench.line or trial.proves(bench.driver)
        if not right and "://" not in self._options.port:
            for line in bench.other_lines(answering, silent=not trial.heard):
                try:
                    other = await bench.otherwise(line, patient=bool(trial.heard))
                except (LinkAbsent, LinkBusy, LinkDenied, LinkLost):
                    raise
                except LinkError:  # a port that cannot be set so
                    continue
                if other.proves(bench.driver) and other.reads:
                    self.answers_at = line
                    return self._finding(
                        State.WRONG,
                        "line settings",
                        f"nothing good at {bench.line}, but it is understood at {line}: {shown(other.example)}",
                        f"set {' and '.join(self._changes(line))}",
                        trial=trial,
                    )
        if trial.readings:
            verdict = f"{trial.readings} good readings among {trial.trouble}: {shown(trial.example)}"
            return self._disturbed(State.WRONG, verdict, trial)
        if trial.asked:
            return self._unanswered(trial, others_answer=answering == bench.line)
        if trial.heard:
            return self._finding(
                State.WRONG,
                "not understood",
                f"{trial.heard} bytes came at {bench.line}, {trial.trouble}: driver {self._options.driver} makes"
                " nothing of them, nor at other speeds",
                f"is it the right driver? sallyport sniff {self._options.port}",
                trial=trial,
            )
        return self._finding(
            State.WRONG,
            "no data",
            f"nothing came within {written_duration(self._around.wait_s)} on {self._options.port}",
            f"is it powered, are RX and TX the right way round (A and B on RS-485)?{self._seldom()}",
            trial=trial,
        )

    def _unanswered(self, trial: Trial, *, others_answer: bool) -> Finding:
        ours = self._bench.line
        if trial.heard:
            return self._finding(
                State.WRONG,
                "not understood",
                f"it answers at {ours}, but not with what it is asked for: {trial.trouble}",
                f"does [{dotted(('devices', self._name))}] describe this instrument? Its options: sallyport drivers"
                f" {self._options.driver}",
                trial=trial,
            )
        if others_answer:
            return self._finding(
                State.WRONG,
                "no answer",
                f"it does not answer at {ours}, and another device on the same line does",
                "is it powered, and is its address right?",
                trial=trial,
            )
        return self._finding(
            State.WRONG,
            "no answer",
            f"it does not answer on {self._options.port}, at {ours} or otherwise",
            "is it powered, are RX and TX the right way round (A and B on RS-485), is its address right? What answers"
            f" there: sallyport sniff {self._options.port} --ask",
            trial=trial,
        )

    def _seldom(self) -> str:
        stale_after = self._options.stale_after
        if stale_after is None:
            return " It may speak seldom: --wait 10m waits longer"
        if stale_after <= self._around.wait_s:
            return ""
        return f" It may be silent for {written_duration(stale_after)}: --wait waits longer"

    def _changes(self, line: LineSetting) -> Iterable[str]:
        ours = self._bench.line
        for key, value in line._asdict().items():
            if value != getattr(ours, key):
                yield f"{self._key(key)} = {toml(value)}"

    def _key(self, key: str) -> str:
        return dotted(("devices", self._name, key))

    # What else is known of it

    def _with_disconnects(self, finding: Finding) -> Finding:
        """A device that reads well now may have been pulled out all the same."""
        gone = self._unplugged()
        now = time.monotonic()
        if not gone or now - gone[-1].at > LATELY_S:
            return finding
        return self._finding(
            State.DOUBTFUL,
            "disconnects",
            f"{finding.verdict}; but its USB adapter went away {_times(gone, now)}",
            "if nobody has pulled it out: its plug, its cable, or the power of the hub (`vcgencmd get_throttled` on a"
            " Raspberry Pi)",
            details=finding.details,
        )

    def _unplugged(self) -> list[Disconnect]:
        return [
            each for each in self._around.unplugged or () if each.adapter.was(self._options.port, self._found)
        ]

    def _finding(
        self,
        state: State,
        cause: str,
        verdict: str,
        remedy: str = "",
        *,
        details: Iterable[str] = (),
        trial: Trial | None = None,
    ) -> Finding:
        return Finding(
            about="device",
            name=self._name,
            state=state,
            cause=cause,
            verdict=verdict,
            remedy=remedy,
            # A finding that is made of another one has its details already.
            details=tuple(dict.fromkeys([*details, *self._details(trial)])),
        )

    def _details(self, trial: Trial | None) -> Iterable[str]:
        line = f"{self._options.driver}, {self._options.port}"
        if "://" not in self._options.port:
            line += f" at {self._bench.line}"
        if self._device is not None and self._device != self._options.port:
            line += f", now {self._device}"
        if self._found is not None and self._found.description:
            line += f" ({self._found.description})"
        yield line
        if trial is not None and trial.errors is not None:
            yield f"counted by the port's driver meanwhile: {trial.errors}"
        elif (errors := self._bench.line_errors()) is not None:
            yield f"counted by the port's driver so far: {errors}"
        if gone := self._unplugged():
            yield f"its USB adapter went away {_times(gone, time.monotonic())}"
        elif self._around.unplugged is None and self._options.port.startswith(
            ("usb:", "/dev/serial", "/dev/ttyU", "/dev/ttyA")
        ):
            yield "USB disconnects: the kernel's log may not be read by this user (sudo sallyport doctor)"


def _counted(said: Mapping[str, Any]) -> list[str]:
    if "read" not in said:
        return []
    return [f"counted by the gateway: {said['read']} readings, {said['rejected']} broken or missing frames"]


def _times(gone: Sequence[Disconnect], now: float) -> str:
    often = "once" if len(gone) == 1 else f"{len(gone)} times"
    return f"{often}, last {clocked(round(max(1.0, now - gone[-1].at)))} ago"
