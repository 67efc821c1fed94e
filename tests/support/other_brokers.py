"""NATS and RabbitMQ with their MQTT, from Debian's packages: both speak 3.1.1 only."""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tests.support.mosquitto import program
from tests.support.ports import free_port


class OtherBroker(ABC):
    start_s = 10.0

    def __init__(self, folder: Path) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment(),
            cwd=self._folder,  # where Erlang leaves MnesiaCore.* when it is killed
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(round(self.start_s / 0.05)):
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{type(self).__name__} did not start")

    def stop(self) -> None:
        """Safe to call twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would: no goodbye to anybody."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            # RabbitMQ's broker is the child of a shell: all of the session that we began is meant.
            os.killpg(self._process.pid, how)
            self._process.wait(60)
            self._process = None


class Nats(OtherBroker):
    def _command(self) -> list[str]:
        file = self._folder / "nats.conf"
        file.write_text(
            f"server_name: test\nhost: {self.host}\nport: {free_port()}\n"
            f'jetstream {{ store_dir: "{self._folder}/nats" }}\n'
            f"max_payload: 8MB\nmqtt {{ host: {self.host}, port: {self.port}, max_ack_pending: 1000 }}\n"
        )
        return [program("nats-server"), "-c", str(file)]


class RabbitMq(OtherBroker):
    """Erlang's own program is started, not Debian's wrapper, which wants the system's user and folders."""

    start_s = 60.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._epmd_port = free_port()

    def _command(self) -> list[str]:
        program("rabbitmq-server")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.host}:{free_port()}\nmqtt.listeners.tcp.1 = {self.host}:{self.port}\n"
            "mqtt.allow_anonymous = true\nmqtt.retained_message_store = rabbit_mqtt_retained_msg_store_ets\n"
        )
        (self._folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self._epmd_port),
        }

    def _end(self, how: signal.Signals) -> None:
        super()._end(how)
        for _ in range(100):  # Erlang's port mapper is a daemon of its own, and stays while it knows a node
            epmd = [program("epmd"), "-port", str(self._epmd_port), "-kill"]
            if b"Killed" in subprocess.run(epmd, capture_output=True, check=False, timeout=10).stdout:
                break
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self._epmd_port)) != 0:
                    break
            time.sleep(0.05)
        shutil.rmtree(self._folder / "mnesia", ignore_errors=True)  # what a first start finds: nothing
