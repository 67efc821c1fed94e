"""What the gateway stands on: its configuration, its service, the clock, the journal's disk, the brokers."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drivers.driver import DriverOptions
from drivers.ports import Account
from gateway import clock, config
from gateway.commands.check import let_in
from gateway.commands.doctor.finding import Finding, State
from gateway.commands.unit import Service, journal_path
from gateway.config import Config, MqttOptions
from gateway.config.page import Page
from gateway.errors import ConfigError, Unreachable
from gateway.journal import lock
from gateway.notify.apprise_receiver import knows
from gateway.publish.broker import Broker
from gateway.units import written_size

_WRONG_CONFIGURATION = "78"


@dataclass(frozen=True, slots=True)
class Read:
    """What could be read of the configuration."""

    finding: Finding
    config: Config | None
    """None if something in it is wrong."""
    devices: Mapping[str, DriverOptions]
    """Those whose own tables are right, whatever is wrong with the rest."""


def configuration(path: Path) -> Read:
    try:
        loaded = config.load(path, knows_service=knows)
    except ConfigError as error:
        return Read(_unusable(path, error), None, _devices(path))
    count = len(loaded.devices)
    devices = "1 device" if count == 1 else f"{count} devices"
    return Read(
        Finding(
            about="config",
            state=State.DOUBTFUL if loaded.warnings else State.WELL,
            cause="warnings" if loaded.warnings else "",
            verdict=f"{path}: gateway {loaded.gateway.name}, {devices}",
            details=loaded.warnings,
        ),
        loaded,
        loaded.devices,
    )


def not_loaded(finding: Finding, plan: Sequence[str]) -> Finding:
    """Of a file that has changed since the gateway read it; `plan`: what a reload would do."""
    return replace(
        finding,
        state=State.DOUBTFUL,
        cause="not loaded",
        verdict=f"{finding.verdict}; but the gateway that runs has not read it since it was changed",
        remedy="sudo sallyport reload",
        details=(*finding.details, *plan),
    )


def _unusable(path: Path, error: ConfigError) -> Finding:
    cause, remedy = "mistakes", "mend it; `sallyport check` says whether all is well"
    try:
        path.open().close()
    except FileNotFoundError:
        cause, remedy = "absent", f"sudo sallyport init {path}"
    except PermissionError:
        cause, remedy = "permission", f"sudo sallyport doctor --config {path}"
    except OSError:
        pass
    else:
        if os.geteuid() != 0 and any("credential" in problem for problem in error.problems):
            remedy = f"sudo sallyport doctor --config {path}: credentials are for root and the service only"
    count = len(error.problems)
    return Finding(
        about="config",
        state=State.WRONG,
        cause=cause,
        verdict=f"{path}: {count} mistakes" if count > 1 else error.problems[0],
        remedy=remedy,
        details=error.problems if count > 1 else (),
    )


def _devices(path: Path) -> Mapping[str, DriverOptions]:
    found = {}
    try:
        named = Page.read(path).table.get("devices", {})
    except ConfigError:
        return {}
    for name in named if isinstance(named, dict) else ():
        try:
            found[name] = config.device_options(path, name, {})
        except ConfigError:
            continue
    return found


def service_finding(unit: Service) -> Finding:
    state, sub, pid = (unit.shown.get(key, "") for key in ("ActiveState", "SubState", "MainPID"))
    said = unit.shown.get("StatusText", "")
    restarts = unit.shown.get("NRestarts", "0")
    details = (said,) if said else ()
    if state == "active":
        again = f", restarted {restarts} times" if restarts not in ("", "0") else ""
        return Finding(
            about="service",
            state=State.DOUBTFUL if again else State.WELL,
            cause="restarted" if again else "",
            verdict=f"{unit.name} runs (pid {pid}){again}",
            remedy=f"why it ended: journalctl -u {unit.name}" if again else "",
            details=details,
        )
    if state == "inactive":
        return Finding(
            about="service",
            state=State.DOUBTFUL,
            cause="not started",
            verdict=f"{unit.name} is there and does not run",
            remedy=f"sudo systemctl enable --now {unit.name}",
        )
    remedy = f"journalctl -u {unit.name} -n 50 says why; then sudo systemctl restart {unit.name}"
    if unit.shown.get("ExecMainStatus") == _WRONG_CONFIGURATION:
        remedy = f"mend the configuration (sallyport check), then sudo systemctl restart {unit.name}"
    return Finding(
        about="service",
        state=State.WRONG,
        cause="failing",
        verdict=f"{unit.name} is {state} ({sub}): {unit.shown.get('Result', 'unknown')},"
        f" exit status {unit.shown.get('ExecMainStatus', 'unknown')}, restarted {restarts} times",
        remedy=remedy,
        details=details,
    )


def clock_finding() -> Finding:
    if clock.synchronised():
        return Finding(about="clock", state=State.WELL, cause="", verdict="synchronised")
    return Finding(
        about="clock",
        state=State.DOUBTFUL,
        cause="unsynchronised",
        verdict="nobody keeps the system's clock right: each reading says that its time cannot be believed",
        remedy="sudo timedatectl set-ntp true; `timedatectl` says what it waits for",
    )


def journal_finding(loaded: Config, unit: Service | None) -> Finding:
    options = loaded.journal
    if options.in_memory:
        return Finding(
            about="journal",
            state=State.WELL,
            cause="",
            verdict="in memory: what waits is lost with the process",
        )
    path = journal_path(options, unit)
    account = None if unit is None else unit.account
    try:
        return _journal(path, options.min_free, account)
    except PermissionError:
        ours = Account.ours().name
        return Finding(
            about="journal",
            state=State.DOUBTFUL,
            cause="not looked at",
            verdict=f"{path}: user {ours} may not look there",
            remedy="sudo sallyport doctor",
        )


def _journal(path: Path, min_free: int, account: Account | None) -> Finding:
    """`account`: the service's; None: whoever looks is taken for the one who runs the gateway."""
    folder = next(
        each for each in path.parents if each.exists()
    )  # the rest of the way is made by the gateway
    user = account or Account.ours()
    for each in (folder, path):
        if each.exists() and not _may_write(each, user):
            if account is None:
                remedy = "run the gateway as the user that it belongs to, or set journal.path to another file"
            else:
                make = f"sudo install -d -m 700 -o {user.name} {path.parent}"
                remedy = f"{make}; sudo chown -R {user.name}: {path.parent}"
            return Finding(
                about="journal",
                state=State.WRONG,
                cause="permission",
                verdict=f"{each}: user {user.name} may not write it: readings would be held in memory only",
                remedy=remedy,
            )
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < min_free:
        return Finding(
            about="journal",
            state=State.WRONG,
            cause="disk full",
            verdict=f"{path}: {free / 1e6:.0f} MB are free, and journal.min_free is {written_size(min_free)}:"
            " readings are held in memory only",
            remedy="make room on that disk, or name another one in journal.path",
        )
    try:
        holder = lock.holder(path)
    except OSError:
        holder = None
    return Finding(
        about="journal",
        state=State.WELL,
        cause="",
        verdict=f"{path}: may be written, {free / 1e9:.1f} GB free"
        + (f", used by {holder}" if holder else ""),
    )


def _may_write(path: Path, account: Account) -> bool:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    if account.uid == os.geteuid():
        return os.access(path, os.W_OK)
    return account.may_write(path.stat())


async def broker_finding(name: str, mqtt: MqttOptions, ways: Sequence[Broker], *, runs: bool) -> Finding:
    """`runs`: whether a gateway does, and with it the broker that is inside it."""
    reasons = []
    for way in ways:
        try:
            verdict = await let_in(mqtt, way, runs=runs)
        except Unreachable as error:
            reasons.append(str(error))
            continue
        return Finding(
            about="broker",
            name=name,
            state=State.DOUBTFUL if reasons else State.WELL,
            cause="first address" if reasons else "",
            verdict=verdict,
            remedy=_helps(reasons[0], mqtt) if reasons else "",
            details=tuple(reasons),
        )
    return Finding(
        about="broker",
        name=name,
        state=State.WRONG,
        cause=_cause(reasons[0]),
        verdict="; ".join(reasons),
        remedy=_helps(reasons[0], mqtt),
    )


def unusable_certificates(name: str, error: ConfigError) -> Finding:
    return Finding(
        about="broker", name=name, state=State.WRONG, cause="certificate", verdict=str(error),
        remedy="see that the files of [mqtt.tls] are there, may be read, and belong together",
    )  # fmt: skip


def _cause(reason: str) -> str:
    if "certificate" in reason:
        return "certificate"
    return "refused" if "refused:" in reason else "unreachable"


def _helps(reason: str, mqtt: MqttOptions) -> str:
    match _cause(reason):
        case "certificate":
            return "mqtt.tls.ca must name the authority that has signed the broker's certificate, for this host name"
        case "refused":
            return "mqtt.username and mqtt.password must be what the broker knows"
    if any(way.host in ("localhost", "127.0.0.1", "::1") for way in mqtt.ways) and not mqtt.embedded:
        return "is a broker running here? sudo apt install mosquitto, or sudo systemctl status mosquitto"
    return "is the address right (mqtt.url), is the broker running, and does a firewall let us through?"
