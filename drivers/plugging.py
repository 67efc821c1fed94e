"""What the kernel's log says of USB adapters that were pulled out, fell off or came back."""

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from drivers.ports import FoundPort, UsbIdentity

KERNEL_LOG = Path("/dev/kmsg")
_RECORD = 8192
"""Bytes that a record may have; a smaller read is refused (Documentation/ABI/testing/dev-kmsg)."""

_JOURNALCTL_MAY_TAKE_S = 10.0

_RECORD_HEAD = re.compile(r"\d+,\d+,(\d+),[^;]*;(.*)")
_USB = r"\b(?P<usb>\d+-[\d.]+)"
_FOUND = re.compile(_USB + r": New USB device found, idVendor=(?P<vid>\w{4}), idProduct=(?P<pid>\w{4})")
_PRODUCT = re.compile(_USB + r": Product: (?P<text>.+)")
_SERIAL = re.compile(_USB + r": SerialNumber: (?P<text>.+)")
_GONE = re.compile(_USB + r": USB disconnect")
_TTY = re.compile(_USB + r"(?::[\d.]+)?: .*?(?P<tty>tty(?:USB|ACM)\d+)")


class Said(NamedTuple):
    """A line of the kernel's log."""

    at: float
    """Seconds of the monotonic clock."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What the kernel has said of one, as far as its log goes back."""

    vid: str = ""
    pid: str = ""
    product: str = ""
    serial: str = ""
    ttys: frozenset[str] = frozenset()
    """What its ports were called, such as ttyUSB0."""

    def was(self, port: str, found: FoundPort | None) -> bool:
        """Whether it was behind this port of a configuration; `found`: what is there now."""
        if found is not None and found.usb is not None:
            return self._fits(found.usb) and (bool(self.serial) or Path(found.device).name in self.ttys)
        if port.lower().startswith("usb:"):
            return self._fits(UsbIdentity.parse(port))
        name = Path(port).name
        if name.startswith("usb-"):  # udev's link: usb-<manufacturer>_<product>_<serial>-if00-port0
            spelt = re.sub(r"\s+", "_", self.serial or self.product)
            return bool(spelt) and spelt in name
        return name in self.ttys

    def _fits(self, usb: UsbIdentity) -> bool:
        return (self.vid, self.pid) == (f"{usb.vid:04x}", f"{usb.pid:04x}") and usb.serial in (
            "",
            self.serial,
        )


class Disconnect(NamedTuple):
    at: float
    """Seconds of the monotonic clock."""
    adapter: Adapter


def kernel_log(path: Path = KERNEL_LOG) -> list[Said] | None:
    """All that the kernel still remembers of what it has said; None where we may not read that."""
    try:
        return [*_records(_content(path))]
    except OSError:
        return _from_journald()


def _content(path: Path) -> str:
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    content = bytearray()
    try:
        while True:
            try:
                record = os.read(file, _RECORD)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EPIPE:  # what would have come next was overwritten meanwhile
                    raise
                continue
            if not record:
                break
            content += record
    finally:
        os.close(file)
    return content.decode(errors="replace")


def _records(content: str) -> Iterator[Said]:
    for line in content.splitlines():
        if match := _RECORD_HEAD.match(line):  # the others belong to the record before
            yield Said(int(match[1]) / 1e6, match[2])


def _from_journald() -> list[Said] | None:
    """What journald has kept of it, for those who may read that and not the kernel's own."""
    program = shutil.which("journalctl")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            [program, "--dmesg", "--boot", "--quiet", "--output", "json"],
            capture_output=True, timeout=_JOURNALCTL_MAY_TAKE_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = []
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        if isinstance(text := entry.get("MESSAGE"), str):
            said.append(Said(int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6, text))
    return said or None


def disconnects(log: Iterable[Said]) -> list[Disconnect]:
    """In the order in which they happened."""
    plugged: dict[str, Adapter] = {}
    gone = []
    for at, text in log:
        if match := _FOUND.search(text):
            plugged[match["usb"]] = Adapter(vid=match["vid"].lower(), pid=match["pid"].lower())
        elif match := _GONE.search(text):
            gone.append(Disconnect(at, plugged.pop(match["usb"], Adapter())))
        elif match := _PRODUCT.search(text):
            before = plugged.get(match["usb"], Adapter())
            plugged[match["usb"]] = replace(before, product=match["text"].strip())
        elif match := _SERIAL.search(text):
            before = plugged.get(match["usb"], Adapter())
            plugged[match["usb"]] = replace(before, serial=match["text"].strip())
        elif match := _TTY.search(text):
            before = plugged.get(match["usb"], Adapter())
            plugged[match["usb"]] = replace(before, ttys=before.ttys | {match["tty"]})
    return gone
