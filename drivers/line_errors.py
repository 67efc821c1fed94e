"""What a port's driver in the kernel has counted of its line: bytes that were spoilt on the way."""

import fcntl
import os
import struct
from typing import NamedTuple, Self

_TIOCGICOUNT = 0x545D
_COUNTERS = struct.Struct("=20i")
"""struct serial_icounter_struct (linux/serial.h): cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk,
buf_overrun, and nine for later."""


class LineErrors(NamedTuple):
    """Counted since the machine started, or since it was plugged in."""

    received: int
    framing: int
    """A byte without its stop bit: most often, the speed is set wrong."""
    parity: int
    overrun: int
    """The hardware had no room: the machine was too slow to fetch it."""
    breaks: int
    """The line was held low, as by a cut wire."""
    buffer_overrun: int

    @classmethod
    def of(cls, device: str) -> Self | None:
        """None where nobody counts, as on a pseudo-terminal or with many USB adapters, or where we may not ask.

        Disturbs nobody: also not who has the port open and locked.
        """
        try:
            # Without waiting for a carrier, and without becoming the terminal of this process.
            port = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            counters = _COUNTERS.unpack(fcntl.ioctl(port, _TIOCGICOUNT, bytes(_COUNTERS.size)))
        except OSError:
            return None
        finally:
            os.close(port)
        _, _, _, _, received, _, framing, overrun, parity, breaks, buffer_overrun, *_ = counters
        return cls(received, framing, parity, overrun, breaks, buffer_overrun)

    def since(self, before: Self) -> Self:
        # The kernel's counters are of 32 bits, and may have begun anew.
        return type(self)(*(max(0, now - then) for now, then in zip(self, before, strict=True)))

    @property
    def spoilt(self) -> int:
        return self.framing + self.parity + self.overrun + self.breaks + self.buffer_overrun

    def __str__(self) -> str:
        named = {
            "framing": self.framing, "parity": self.parity, "overrun": self.overrun, "break": self.breaks,
            "buffer overrun": self.buffer_overrun,
        }  # fmt: skip
        return ", ".join(f"{name} {count}" for name, count in named.items() if count) or "none"
