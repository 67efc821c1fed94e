"""A real mosquitto, started and stopped at will."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.support.ports import free_port


def program(name: str) -> str:
    """Of Debian's packages; skips the test with a clear word where it is not installed."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: scripts/test installs it where it may")
    return found


class Mosquitto:
    """`listener` holds further lines for the listener, such as `protocol websockets` or `cafile …`.

    `inflight`: how much may be unacknowledged at once, for each client in each direction; 0 is no limit.
    """

    def __init__(
        self, folder: Path, *, listener: str = "", port: int | None = None, inflight: int = 0
    ) -> None:
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self._file = folder / f"mosquitto-{self.port}.conf"
        self._file.write_text(
            f"listener {self.port} {self.host}\nallow_anonymous true\n"
            f"max_queued_messages 0\nmax_inflight_messages {inflight}\npersistence false\nuser root\n{listener}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(
        cls, folder: Path, *, listener: str = "", port: int | None = None, inflight: int = 0
    ) -> Iterator[Self]:
        broker = cls(folder, listener=listener, port=port, inflight=inflight)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [program("mosquitto"), "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"mosquitto did not start: {self._file.read_text()}")

    def stop(self) -> None:
        """Safe to call twice."""
        if self._process is not None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # it may be frozen
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """From now on it answers nobody, and hangs up on nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As a power cut would: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
