"""The clocks of this machine, and whether the one on the wall can be believed."""

import ctypes
import logging
import time
from collections.abc import Callable
from pathlib import Path

from gateway.model import Stamp

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0

_TIMESYNCD = Path("/run/systemd/timesync")
_UNKNOWN_US = 16_000_000
"""What the kernel takes its greatest error to be when nobody has told it better (NTP_PHASE_LIMIT)."""


class _Timex(ctypes.Structure):
    """The beginning of adjtimex(2)'s struct; all zero, it asks and sets nothing."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_error_us() -> int:
    """How wrong the system's clock may be, as the kernel sees it. Raises: OSError, where that may not be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = _Timex()
    if libc.adjtimex(ctypes.byref(state)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
    return int(state.maxerror)


def synchronised(error_us: Callable[[], int] = kernel_error_us, timesyncd: Path = _TIMESYNCD) -> bool:
    """Whether something keeps the system's clock right; where nobody can say, it is believed.

    By the error and not by STA_UNSYNC, as timedatectl does it: chrony without `rtcsync` leaves that flag
    set, to keep the kernel's hands off the clock on the board.
    Source: adjtimex(2); systemd, src/basic/time-util.c, ntp_synced().
    """
    try:
        return error_us() < _UNKNOWN_US
    except OSError:  # a container, or a unit with ProtectClock=
        return not timesyncd.is_dir() or (timesyncd / "synchronized").exists()


class SystemClock:
    def __init__(
        self, synchronised: Callable[[], bool] = synchronised, *, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._ask = synchronised
        self._look_every_s = look_every_s
        self._look_at = 0.0
        self._synchronised = True

    def __call__(self) -> Stamp:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look_every_s
            self._look()
        return Stamp(time.time_ns(), now, self._synchronised)

    def _look(self) -> None:
        before, self._synchronised = self._synchronised, self._ask()
        if before and not self._synchronised:
            log.info("clock: not synchronised; until it is, readings say so")
        elif self._synchronised and not before:
            log.info("clock: synchronised")


system_clock = SystemClock()
