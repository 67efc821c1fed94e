"""amqtt in a process of its own: MQTT 3.1.1 over TCP or WebSockets.

Run as `python -m tests.support.amqtt_process PORT tcp|ws`.
"""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from tests.support.ports import free_port

Transport = Literal["tcp", "ws"]


class AmqttProcess:
    def __init__(self, transport: Transport = "tcp") -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self._transport = transport
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls, transport: Transport = "tcp") -> Iterator[Self]:
        broker = cls(transport)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.amqtt_process", str(self.port), self._transport],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError("amqtt did not start")

    def stop(self) -> None:
        """Safe to call twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would: no goodbye to anybody."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None


async def _serve(port: int, transport: Transport) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 - only the process needs it

    broker = Broker(
        {
            "listeners": {"default": {"type": transport, "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), "ws" if sys.argv[2] == "ws" else "tcp"))
