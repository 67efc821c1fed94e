"""NATS and RabbitMQ with their MQTT, from Debian's packages: both speak 3.1.1 only."""

import os
import shutil
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
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """As a power cut would: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
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
            "ERL_EPMD_PORT": str(free_port()),
        }

    def stop(self) -> None:
        super().stop()
        self._forget()

    def kill(self) -> None:
        super().kill()
        self._forget()

    def _forget(self) -> None:
        """What a first start finds: nothing."""
        shutil.rmtree(self._folder / "mnesia", ignore_errors=True)
