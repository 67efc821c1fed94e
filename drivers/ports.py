"""The machine's serial ports: which there are, who may open them, who has them; and what a refusal means."""

import errno
import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import serialx

from gateway.errors import LinkAbsent, LinkBusy, LinkDenied, LinkError

DEV = Path("/dev")

_HEX_ID = re.compile("[0-9a-fA-F]{1,4}")


class UsbIdentity(NamedTuple):
    """A port by what is plugged in, wherever that is plugged in."""

    vid: int
    pid: int
    serial: str = ""
    """The adapter's serial number; `""`: any."""
    interface: int | None = None
    """Of an adapter with several ports; counted from 0, as in /dev/serial/by-id/…-if01."""

    @classmethod
    def parse(cls, written: str) -> Self:
        """From `usb:VID:PID[:serial[:interface]]`, the numbers of the vendor and the product in hex.

        Raises: ValueError, with the allowed form.
        """
        scheme, *parts = written.split(":")
        vid, pid, *rest = [*parts, "", ""] if len(parts) < 2 else parts  # noqa: PLR2004 - VID and PID
        *serial, interface = rest if len(rest) in (2, 7) else [*rest, ""]
        if (
            scheme.lower() != "usb"
            or len(serial) not in (0, 1, 6)  # 6: some are written as a MAC address
            or not (_HEX_ID.fullmatch(vid) and _HEX_ID.fullmatch(pid))
            or not (interface == "" or (interface.isascii() and interface.isdigit()))
        ):
            raise ValueError(
                'must be usb:VID:PID[:serial[:interface]], such as "usb:0403:6001" or "usb:0403:6010:FT1234:1"'
            )
        return cls(int(vid, 16), int(pid, 16), ":".join(serial), int(interface) if interface else None)

    def __str__(self) -> str:
        text = f"usb:{self.vid:04x}:{self.pid:04x}"
        if self.serial or self.interface is not None:
            text += f":{self.serial}"
        return text if self.interface is None else f"{text}:{self.interface}"

    def path(self) -> str:
        """The device file of the one port that this is. Blocks briefly.

        Raises: LinkAbsent, when there is none; LinkError, when there are several.
        """
        fitting = [port for port in found() if port.usb is not None and self._fits(port.usb)]
        if not fitting:
            raise LinkAbsent(f"{self}: not plugged in")
        if len(fitting) > 1:
            names = ", ".join(str(port.usb) for port in fitting)
            raise LinkError(f"{self}: {len(fitting)} ports are such; say which: {names}")
        return fitting[0].path

    def _fits(self, other: "UsbIdentity") -> bool:
        return (
            (self.vid, self.pid) == (other.vid, other.pid)
            and self.serial in ("", other.serial)
            and self.interface in (None, other.interface)
        )


@dataclass(frozen=True, slots=True)
class FoundPort:
    """A serial port of this machine."""

    device: str
    """The system's name for it, such as /dev/ttyUSB0."""
    path: str
    """Where it is best found: below /dev/serial/by-id if it is there."""
    usb: UsbIdentity | None
    description: str

    def group(self) -> str:
        """Whose members may open it, as a rule; `""` if it went."""
        try:
            return _group_name(Path(self.device).stat().st_gid)
        except OSError:
            return ""

    def openable(self) -> bool:
        """Whether the user that we are may open it."""
        return os.access(self.device, os.R_OK | os.W_OK)


def found() -> list[FoundPort]:
    """The ports that have a device behind them, sorted by their names. Blocks briefly."""
    ports = []
    for info in serialx.list_serial_ports():
        usb = None
        if info.vid is not None and info.pid is not None:
            usb = UsbIdentity(info.vid, info.pid, info.serial_number or "", info.interface_num)
        about = [info.manufacturer, info.product, info.interface_description]
        description = " ".join(dict.fromkeys(part.strip() for part in about if part and part.strip()))
        ports.append(FoundPort(info.resolved_device, info.device, usb, description))
    return sorted(ports, key=lambda port: port.device)


def whole(port: str) -> str:
    """As the configuration wants it: paths from the root on. For what was typed in some folder."""
    is_path = not ("://" in port or port.lower().startswith("usb:")) and ("/" in port or Path(port).exists())
    return os.path.abspath(port) if is_path else port  # noqa: PTH100 - links stay links


def lasting(port: str) -> str:
    """The name of the same port that outlasts being plugged in elsewhere, if it has one. Blocks briefly."""
    device = os.path.realpath(port)
    return next((each.path for each in found() if os.path.realpath(each.device) == device), port)


def explain(error: OSError, port: str) -> LinkError:
    """What the system's refusal to open a device means to the person who must mend it. Blocks briefly."""
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return LinkAbsent(f"{port}: no such device")
        case errno.EACCES | errno.EPERM:
            return LinkDenied(f"{port}: permission denied{who_may(port)}")
        case errno.EBUSY:
            return LinkBusy(f"{port}: in use by {' and '.join(holders(port)) or 'another process'}")
        case errno.ENOTTY | errno.EISDIR:
            return LinkError(f"{port}: not a serial port")
        case errno.EINVAL:
            return LinkError(f"{port}: cannot be set so: {plain(error)}")
        case _:
            return LinkAbsent(f"{port}: {plain(error)}")


def plain(error: Exception) -> str:
    """The system's words for what went wrong."""
    # asyncio adds the address, and puts several refusals into one text when a name has several addresses.
    if numbers := re.findall(r"\[Errno (\d+)\]", str(error)):
        return ", ".join(dict.fromkeys(os.strerror(int(number)) for number in numbers))
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def who_may(port: str) -> str:
    """Why we may not open it and what helps, as the end of a sentence; `""` for a port that is not there."""
    try:
        owner = Path(port).stat()
    except OSError:
        return ""
    user, group = _user_name(os.geteuid()), _group_name(owner.st_gid)
    refusal = f": it belongs to group {group}, and user {user} may not open it"
    needed = stat.S_IRGRP | stat.S_IWGRP
    if owner.st_mode & needed == needed:
        if owner.st_gid == 0:  # nobody should have to join root's group for a serial port
            return f"{refusal}: a udev rule must give it to a group such as dialout"
        return f"{refusal} (sudo usermod -aG {group} {user}, then log in again or restart the service)"
    return f"{refusal}; nor may the group (mode {stat.filemode(owner.st_mode)}): a udev rule must let it"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def holders(port: str) -> list[str]:
    """The processes that have this port open and that we may look into, as `name (pid 812)`."""
    device = os.path.realpath(port)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.path.realpath(descriptor) == device for descriptor in (process / "fd").iterdir()):
                ours = " (another device of this gateway)" if int(process.name) == os.getpid() else ""
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name}){ours}")
        except OSError:
            continue  # it ended meanwhile, or it is not ours to look into
    return found
