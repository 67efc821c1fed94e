import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.systemd import OWED, STATUS_BYTES, ServiceManager, passed_sockets
from tests.support.service_manager import FakeServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeServiceManager]:
    with FakeServiceManager.listening(tmp_path / "notify") as manager:
        yield manager


def _told(manager: FakeServiceManager) -> ServiceManager:
    return ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address})


def test_each_state_is_one_datagram_in_its_documented_form(manager: FakeServiceManager) -> None:
    told = ServiceManager(manager.address, monotonic_ns=lambda: 12_345_678_999)
    told.status("2 devices")
    told.ready()
    told.reloading()
    told.ready()
    told.extend(1.5)
    told.feed()
    told.stopping()
    assert manager.listen() == [
        "STATUS=2 devices",
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=12345678",
        "READY=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_moment_of_a_reload_is_on_the_clock_that_systemd_compares_it_with(
    manager: FakeServiceManager,
) -> None:
    _told(manager).reloading()
    [message] = manager.listen()
    said_us = int(message.removeprefix("RELOADING=1\nMONOTONIC_USEC="))
    uptime_us = float(Path("/proc/uptime").read_text().split()[0]) * 1e6
    assert 0 < said_us <= uptime_us + 1e6  # monotonic, not since 1970; a machine that slept is ahead of it


def test_socket_in_the_abstract_namespace_is_reached() -> None:
    with FakeServiceManager.listening(f"@sallyport-test-{os.getpid()}") as manager:
        _told(manager).ready()
        assert manager.listen() == ["READY=1"]


def test_status_is_said_when_it_changes(manager: FakeServiceManager) -> None:
    told = _told(manager)
    for text in ("one", "one", "two", "two", "one"):
        told.status(text)
    assert manager.listen() == ["STATUS=one", "STATUS=two", "STATUS=one"]


def test_status_stays_one_line_that_systemd_takes(manager: FakeServiceManager) -> None:
    told = _told(manager)
    told.status("broker said:\nREADY=1\r\n\tgo away")
    told.status("ü" * 10_000)
    told.status("half a sign: \udcff")
    hostile, long, broken = manager.listen()
    assert hostile == "STATUS=broker said: READY=1 go away"
    assert long == "STATUS=" + "ü" * (STATUS_BYTES // 2)
    assert broken == "STATUS=half a sign: ?"


def test_nobody_is_told_where_nobody_listens() -> None:
    for environment in (
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "tmp"},
    ):
        told = ServiceManager.from_environment({**environment, "WATCHDOG_USEC": "30000000"})
        told.reloading()
        told.ready()
        told.status("2 devices")
        told.feed()
        assert told.watchdog_s is None


def test_service_manager_that_is_gone_does_not_trouble_us(tmp_path: Path) -> None:
    for address in (tmp_path / "never", "/" + "long" * 100):
        told = ServiceManager.from_environment({"NOTIFY_SOCKET": str(address)})
        for _ in range(3 * OWED):
            told.ready()
        told.status("2 devices")
        told.feed()


def test_state_that_could_not_be_said_is_said_before_the_next(tmp_path: Path) -> None:
    told = ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    told.ready()
    told.status("2 devices")
    told.feed()
    with FakeServiceManager.listening(tmp_path / "notify") as manager:
        told.feed()
        told.status("2 devices")
        assert manager.listen() == ["READY=1", "WATCHDOG=1", "STATUS=2 devices"]


def test_full_socket_does_not_hold_us_up(manager: FakeServiceManager) -> None:
    told = _told(manager)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"X", manager.address)
    told.stopping()  # in a socket that waits, this would hang
    told.feed()
    manager.clear()
    told.feed()
    assert manager.listen() == ["STOPPING=1", "WATCHDOG=1"]


def test_many_threads_may_speak_at_once(manager: FakeServiceManager) -> None:
    told = _told(manager)
    speakers = [threading.Thread(target=told.feed) for _ in range(8)]
    for each in speakers:
        each.start()
    for each in speakers:
        each.join()
    assert manager.listen() == ["WATCHDOG=1"] * 8


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getppid())}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "³"}, None),
        ({}, None),
    ],
)
def test_watchdog_is_the_one_that_is_meant_for_this_process(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    told = ServiceManager.from_environment({"NOTIFY_SOCKET": "/run/systemd/notify", **environment})
    assert told.watchdog_s == watchdog_s


RECEIVER = """\
from gateway.systemd import passed_sockets
for name in ("live", "other"):
    for passed in passed_sockets(name):
        print(name, passed.getsockname()[1], passed.get_inheritable(), passed.gettimeout())
"""


def _passed(names: str, *sockets: socket.socket, pid: str = "$$") -> list[str]:
    """What a process says of those that it is given as systemd gives them: sd_listen_fds(3)."""
    moved = " ".join(f"{number}<&{each.fileno()}" for number, each in enumerate(sockets, 3))
    told = f"LISTEN_PID={pid} LISTEN_FDS={len(sockets)} LISTEN_FDNAMES={names}"
    done = subprocess.run(
        ["bash", "-c", f'{told} exec "$0" -c "$1" {moved}', sys.executable, RECEIVER],
        pass_fds=[each.fileno() for each in sockets], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_sockets_that_systemd_passes_are_found_by_their_names_and_go_to_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [each.getsockname()[1] for each in (one, two)]
        assert _passed("live:live", one, two) == [f"live {port} False 0.0" for port in ports]
        assert _passed("other:live", one, two) == [
            f"live {ports[1]} False 0.0",
            f"other {ports[0]} False 0.0",
        ]
        assert _passed("sallyport.socket", one) == []
        assert _passed("", one) == []


def test_socket_that_does_not_listen_is_not_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        two.bind(("127.0.0.1", 0))
        assert _passed("live:live", two, one) == [f"live {one.getsockname()[1]} False 0.0"]


def test_sockets_that_are_passed_to_another_process_are_not_touched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert _passed("live", one, pid="1") == []
    assert passed_sockets("live", {}) == []
    assert passed_sockets("live", {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"}) == []
