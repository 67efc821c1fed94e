"""A real ser2net: a serial port on the network, set and read through RFC 2217."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.mosquitto import program
from tests.support.ports import free_port

LISTENING = "0A"


class Ser2net:
    def __init__(self, folder: Path, device: Path) -> None:
        self._number = free_port()
        self.url = f"rfc2217://127.0.0.1:{self._number}"
        self._file = folder / f"ser2net-{self._number}.yaml"
        self._file.write_text(
            f"connection: &line\n"
            f"  accepter: telnet(rfc2217),tcp,127.0.0.1,{self._number}\n"
            f"  connector: serialdev,{device},9600n81,local\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def serving(cls, folder: Path, device: Path) -> Iterator[Self]:
        server = cls(folder, device)
        server.start()
        try:
            yield server
        finally:
            server.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [program("ser2net"), "-n", "-u", "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(500):
            if self._listens():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"ser2net did not start: {self._file.read_text()}")

    def kill(self) -> None:
        """As a power cut would. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _listens(self) -> bool:
        # Not by a trial connection: it would open the device, and ser2net serves one client at a time.
        sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
        ours = f":{self._number:04X}"
        return any(row.split()[1].endswith(ours) and row.split()[3] == LISTENING for row in sockets)
