"""What is said to systemd: datagrams on a socket, without its library; to nobody where nobody asked for them.

And the sockets that it has opened for us.

Source: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3); systemd.service(5), Type=notify-reload.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

STATUS_BYTES = 1024
"""A longer status is cut; systemd takes no datagram above 4 KiB."""

_FIRST_PASSED = 3

OWED = 8
"""Messages about our state that are kept while systemd's socket is full."""


class ServiceManager:
    """Whoever started us and wants to know how we are.

    Nothing here waits or raises: a gateway does not fail because its supervisor is busy. What changes our state
    (ready, reloading, stopping) is kept while it cannot be sent, and goes before whatever is said next.
    To be called from any thread.
    """

    def __init__(
        self,
        address: str = "",
        *,
        watchdog_s: float | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`address`: of its socket, a path or `@name`; empty: nobody listens."""
        self.watchdog_s = watchdog_s if address else None
        """It takes us for dead when it is not fed for so long; None: it does not mind."""
        self.is_reloading = False
        """Between `reloading` and `ready` or `stopping`."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._monotonic_ns = monotonic_ns
        self._status = ""
        self._owed: deque[str] = deque(maxlen=OWED)
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ServiceManager":
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # a virtual machine's is "vsock:…", and for its PID 1 only
            address = ""
        return cls(address, watchdog_s=_watchdog_s(environment))

    def ready(self) -> None:
        """Everything runs; or, after `reloading`, the new configuration does."""
        self.is_reloading = False
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; said only if it is another one than before."""
        line = " ".join(text.split())
        with self._lock:
            if line == self._status:
                return
        cut = line.encode(errors="replace")[:STATUS_BYTES].decode(errors="ignore")
        if self._say(f"STATUS={cut}"):
            self._status = line

    def reloading(self) -> None:
        """To be followed by `ready`, whatever became of it."""
        self.is_reloading = True
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.is_reloading = False
        self._tell("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Starting, reloading or stopping is not over, but goes on: from now on it may take so long again."""
        self._say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def feed(self) -> None:
        """Everything is well: to be said in less than each `watchdog_s`."""
        self._say("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        """Say it, now or later."""
        with self._lock:
            self._owed.append(message)
            self._pay()

    def _say(self, message: str) -> bool:
        """Say it now or never; whether it was said."""
        with self._lock:
            return self._pay() and self._send(message)

    def _pay(self) -> bool:
        """Whether nothing is owed any more."""
        while self._owed:
            if not self._send(self._owed[0]):
                return False
            self._owed.popleft()
        return True

    def _send(self, message: str) -> bool:
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), socket.MSG_NOSIGNAL, self._address)
        except OSError:  # full, or gone: it is systemd that must act, and it does when it hears nothing
            return False
        return True


def passed_sockets(name: str, environment: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """Those that listen for us under this name (`FileDescriptorName=` of their unit): ours from now on.

    To be asked for once: a second time they would be somebody else's.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for number in range(min(int(count), len(names))):
        if names[number] == name:
            passed = socket.socket(fileno=_FIRST_PASSED + number)
            if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                passed.close()
                log.warning(
                    "what the service manager hands over as %s does not listen, and is not used: its unit needs"
                    " ListenStream= and Accept=no", name,
                )  # fmt: skip
                continue
            passed.set_inheritable(False)
            passed.setblocking(False)
            found.append(passed)
    return found


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """How often it wants to be fed, if that is for this process."""
    for_whom = environment.get("WATCHDOG_PID", "")
    if for_whom and for_whom != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None
