"""`sallyport init`: a commented configuration to begin with, from the ports of this machine."""

import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from drivers import ports
from drivers.ports import FoundPort
from gateway.commands import schema, sniff
from gateway.commands.listing import plain
from gateway.commands.sniff import Finding
from gateway.errors import LinkError, UsageError
from gateway.units import duration

MODE = 0o640
"""Passwords go into it."""

_HEAD = """\
#:schema ./sallyport.schema.json
# The line above is for editors: they complete, explain and mark mistakes; docs/editors.md.
#
# Sallyport's configuration. It is yours: the gateway never writes to it.
#
# {state} What to do next:
#
#   sallyport ports                  which serial ports this machine has, and their lasting names
#   sallyport sniff PORT             what is on one, and its table for this file; --ask where nothing speaks by itself
#   sallyport init --sniff           this file anew, with a table for each port; --force once you have changed it
#   sallyport drivers                all drivers; with a name, what one may be told
#   sallyport check --connect        after a change: every mistake, with line and column; ports and broker are tried
#   sallyport doctor                 why an instrument is not read
#
# Everything that may stand here is in config/gateway.toml of Sallyport's source, each with its default;
# docs/bringing-up.md there goes from a box with a plug to readings on MQTT.


[gateway]

# A level of all topics: sallyport/<name>/<device>. Without it, the name of the host.
#name = "greenhouse"


[mqtt]

# The broker: mqtt://host:1883, mqtts:// with TLS, or "embedded" for one inside the gateway, for this machine only.
#url = "mqtt://localhost:1883"

# Who we are to it. The password is best kept elsewhere: {{ credential = "mqtt-password" }} is systemd's,
# {{ file = "/etc/sallyport/mqtt-password" }} a file that only the gateway's user can read.
#username = "greenhouse"
#password = {{ file = "/etc/sallyport/mqtt-password" }}


# The instruments: a table for each, with a name of your own, such as this one.
#
#[devices.weather]
#driver = "json"
#port = "/dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0"
#baudrate = 115200
"""

_NOTHING_IS_READ = "As it stands, the gateway runs, says at the broker that it is online, and reads nothing."
_SOME_IS_READ = "The gateway reads the instruments below, and says at the broker that it is online."


def run(file: str, *, force: bool, recognise: bool, ask: bool, wait: str) -> int:
    """Write it to a file, or to standard output for `-`.

    Raises: UsageError, when something is there that somebody has written, or cannot be written over.
    """
    if ask and not recognise:
        raise UsageError("--ask goes with --sniff")
    try:
        wait_s = duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait {wait}: {error}") from None
    path = None if file == "-" else Path(file).resolve()
    if path is not None:
        _refuse_to_lose(path, force=force)
    found = ports.found()
    findings = asyncio.run(_recognise(found, ask=ask, wait_s=wait_s)) if recognise else {}
    text = document(found, findings)
    if path is None:
        print(text, end="")
    else:
        try:
            _write(path, text)
            schema.write(path.with_name(schema.NAME), schema.written())
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}: use sudo, or name a file of your own, or - for standard output"
            ) from None
    for line in _next(path, found, findings, recognised=recognise):
        print(line, file=sys.stderr)
    return 0


def _refuse_to_lose(path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no such folder: sudo mkdir {path.parent}")
    try:
        there = path.read_text()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        there = "something"
    if not force and there not in ("", document([], {})):
        raise UsageError(f"{path} is there already, and somebody has written it: --force writes over it")


async def _recognise(found: Sequence[FoundPort], *, ask: bool, wait_s: float) -> dict[str, Finding]:
    """By the ports' paths; all at the same time."""
    findings = {}

    async def look(port: FoundPort) -> None:
        def tell(line: str) -> None:
            print(f"{port.device}: {line}", file=sys.stderr, flush=True)

        try:
            finding = await sniff.recognise(port.path, ask=ask, wait_s=wait_s, tell=tell)
        except LinkError as error:
            print(error, file=sys.stderr, flush=True)
            return
        if finding is not None:
            findings[port.path] = finding

    async with asyncio.TaskGroup() as group:
        for port in found:
            group.create_task(look(port))
    return findings


def document(found: Sequence[FoundPort], findings: dict[str, Finding]) -> str:
    """The whole configuration; `findings` by the ports' paths."""
    head = _HEAD.format(state=_SOME_IS_READ if findings else _NOTHING_IS_READ)
    return "\n\n".join([head, *_tables(found, findings)]) + ("\n" if found else "")


def _tables(found: Sequence[FoundPort], findings: dict[str, Finding]) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for number, port in enumerate(found, 1):
        lines = [
            f"# {port.device} when this was written: {plain(port.description) or 'nothing says what it is'}"
        ]
        if not port.openable():
            lines.append(f"# You may not open it{ports.who_may(port.device)}.")
        if holders := ports.holders(port.device):
            lines.append(f"# In use by {plain(' and '.join(holders))}.")
        finding = findings.get(port.path)
        if finding is None:
            table = (
                f'[devices.port{number}]\ndriver = "json"\nport = {sniff.toml(port.path)}\nbaudrate = 9600'
            )
            lines += [f"#{line}" for line in table.splitlines()]
        else:
            taken[finding.name] += 1
            count = taken[finding.name]
            name = finding.name if count == 1 else f"{finding.name}-{count}"
            lines.append(sniff.section(finding, port.path, name))
        yield "\n".join(lines)


def _write(path: Path, text: str) -> None:
    """Whole or not at all; as root for whoever the folder's group is, which is the service's."""
    before = path.stat() if path.exists() else None
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(file, "w") as writer:
            if before is not None:
                os.fchmod(file, stat.S_IMODE(before.st_mode) & MODE)
            if os.geteuid() == 0:
                owner = before or path.parent.stat()
                os.fchown(file, owner.st_uid, owner.st_gid)
            writer.write(text)
            writer.flush()
            os.fsync(file)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _next(
    path: Path | None, found: Sequence[FoundPort], findings: dict[str, Finding], *, recognised: bool
) -> Iterator[str]:
    where = "standard output" if path is None else path
    names = ", ".join(finding.name for finding in findings.values())
    ports_found = "1 port" if len(found) == 1 else f"{len(found)} ports"
    yield f"{where}: {ports_found} found" + (f", {len(findings)} recognised: {names}" if names else "")
    yield "next:"
    file = "FILE" if path is None else path
    if found and not recognised:
        again = "-" if path is None else f"{path} --force"
        yield f"  sallyport init {again} --sniff   finds out what is on them, and writes their tables"
    elif len(findings) < len(found):
        yield "  give the other ports their driver in the file, or find it out: sallyport sniff PORT --ask"
    elif not found:
        yield "  plug an instrument in, and look for its port: sallyport ports"
    yield f"  sallyport check --connect {file}   every mistake; ports and broker are tried"
    yield f"  sallyport run --config {file}   or, as a service: sudo systemctl restart sallyport"
