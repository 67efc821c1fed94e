"""Our unit, as systemd knows it: which one runs with a configuration, and what it says of it."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.ports import Account
from gateway.config import JournalOptions

UNIT = "sallyport"
_SYSTEMD = Path("/run/systemd/system")
_SYSTEMCTL_MAY_TAKE_S = 10.0
_STATE = Path("/var/lib")
_PSEUDO_TERMINALS = range(136, 144)


@dataclass(frozen=True, slots=True)
class Service:
    """What systemd says of our unit."""

    name: str
    shown: Mapping[str, str]
    allowed: Sequence[str] = ()
    """What its DeviceAllow= says, each as `char-188 rw` or `/dev/ttyUSB0 rw`."""

    @property
    def account(self) -> Account | None:
        """Whom it runs as; None where that cannot be known before it runs."""
        try:
            return Account.of(
                self.shown.get("User") or "root", self.shown.get("SupplementaryGroups", "").split()
            )
        except KeyError:
            return None

    @property
    def state(self) -> Path | None:
        """The folder that systemd has it keep its state in."""
        folder = self.shown.get("StateDirectory", "").partition(" ")[0]
        return _STATE / folder if folder else None

    def admits(self, device: Path, port: os.stat_result) -> bool:
        """Whether its sandbox lets it open such a device at all."""
        major = os.major(port.st_rdev)
        if self.shown.get("DevicePolicy", "auto") == "auto" and not self.allowed:
            return True
        if major in _PSEUDO_TERMINALS:  # whatever the policy (systemd.resource-control(5))
            return True
        numbers = _character_devices()
        for each in self.allowed:
            what = each.partition(" ")[0]
            kind = what.removeprefix("char-")
            if what == str(device) or kind == str(major) or (kind, major) in numbers:
                return True
        return False


def service(path: Path) -> Service | None:
    """The one that runs with this configuration; None where systemd does not run, or has no such unit."""
    program = shutil.which("systemctl")
    if program is None or not _SYSTEMD.is_dir():
        return None
    for name in (UNIT, f"sallyport@{path.stem}"):
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and systemctl takes it for a unit's name, whatever it is
                [program, "show", "--", f"{name}.service"],
                capture_output=True, text=True, timeout=_SYSTEMCTL_MAY_TAKE_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        lines = [line.partition("=") for line in done.stdout.splitlines()]
        shown = {key: value for key, _, value in lines}
        if shown.get("LoadState") == "loaded" and str(path.resolve()) in shown.get("ExecStart", "").split():
            return Service(name, shown, [value for key, _, value in lines if key == "DeviceAllow"])
    return None


def journal_path(options: JournalOptions, unit: Service | None) -> Path:
    """That of the unit which runs with this configuration, unless the file says otherwise, or there is none."""
    if unit is None or unit.state is None or "path" in options.model_fields_set:
        return options.path
    return unit.state / options.path.name


def _character_devices() -> set[tuple[str, int]]:
    """The names of their drivers, with the numbers that these have."""
    characters, _, _ = Path("/proc/devices").read_text().partition("Block devices:")
    lines = (line.split() for line in characters.splitlines()[1:])
    return {(name, int(number)) for number, name in filter(None, lines)}
