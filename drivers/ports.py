"""The machine's serial ports: which there are, who may open them, who has them; and what a refusal means."""

import errno
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator
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


class Account(NamedTuple):
    """Somebody who may or may not open a port."""

    name: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def ours(cls) -> Self:
        uid = os.geteuid()
        return cls(_user_name(uid), uid, frozenset({os.getegid(), *os.getgroups()}))

    @classmethod
    def of(cls, name: str, further_groups: Iterable[str] = ()) -> Self:
        """Raises: KeyError, when there is no such user or group."""
        user = pwd.getpwnam(name)
        further = (grp.getgrnam(group).gr_gid for group in further_groups)
        return cls(name, user.pw_uid, frozenset({*os.getgrouplist(name, user.pw_gid), *further}))

    @classmethod
    def of_process(cls, pid: int) -> Self:
        """Raises: OSError, when it has ended."""
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        status = {key: values for key, *values in filter(None, lines)}
        uid, groups = int(status["Uid:"][1]), [status["Gid:"][1], *status["Groups:"]]
        return cls(_user_name(uid), uid, frozenset(map(int, groups)))

    def may_write(self, file: os.stat_result) -> bool:
        """Read and write it, by its mode: access lists are not looked at."""
        if self.uid == 0:
            return True
        if self.uid == file.st_uid:
            needed = stat.S_IRUSR | stat.S_IWUSR
        elif file.st_gid in self.groups:
            needed = stat.S_IRGRP | stat.S_IWGRP
        else:
            needed = stat.S_IROTH | stat.S_IWOTH
        return file.st_mode & needed == needed


def who_may(port: str) -> str:
    """Why we may not open it and what helps, as the end of a sentence; `""` for a port that is not there."""
    try:
        owner = Path(port).stat()
    except OSError:
        return ""
    why, remedy = refusal(owner, Account.ours())
    return f": {why} ({remedy})"


def refusal(port: os.stat_result, account: Account) -> tuple[str, str]:
    """Why somebody may not open a port, and what helps."""
    group = _group_name(port.st_gid)
    why = f"it belongs to group {group}, and user {account.name} may not open it"
    needed = stat.S_IRGRP | stat.S_IWGRP
    if port.st_mode & needed != needed:
        return f"{why}; nor may the group (mode {stat.filemode(port.st_mode)})", "a udev rule must let it"
    if port.st_gid == 0:  # nobody should have to join root's group for a serial port
        return why, "a udev rule must give it to a group such as dialout"
    join = f"sudo usermod -aG {group} {account.name}"
    return why, f"{join}, then log in again or restart the service"


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
    """The processes that have this port open or locked, as far as we may know, as `name (pid 812)`."""
    ours = os.getpid()
    return [
        f"{name} (pid {pid})" + (" (another device of this gateway)" if pid == ours else "")
        for pid, name in holding(port).items()
    ]


def holding(port: str) -> dict[int, str]:
    """The processes that have this port open or locked, as far as we may know: names by pid."""
    device = os.path.realpath(port)
    pids = set(_locking(device))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(_leads_to(descriptor, device) for descriptor in (process / "fd").iterdir()):
                pids.add(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or it is not ours to look into
    found = {}
    for pid in sorted(pids):
        try:
            found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue  # ended, or in a container that we do not see into
    return found


def _leads_to(descriptor: Path, device: str) -> bool:
    """Raises: OSError, when one of them has gone."""
    # A container's device may have the same name, and is another one.
    return os.path.realpath(descriptor) == device and descriptor.samefile(device)


def _locking(device: str) -> Iterator[int]:
    """Who locks it: everybody may know that, even of processes that are not theirs to look into.

    Source: proc_locks(5); the file is named by the numbers of its file system's device in hex, and its own.
    """
    try:
        file = Path(device).stat()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return
    name = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in locks.splitlines():
        match line.split():
            case [_, "FLOCK" | "OFDLCK" | "POSIX", _, _, pid, locked, *_] if locked == name:
                yield int(pid)
