"""`sallyport doctor` beside a real service: as root, who may do everything, it says what the service may not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.box import Box
from tests.support.box_site import CONFIG, clear, configure, start_board, start_broker

pytestmark = pytest.mark.real_time

TOLD = "/opt/sallyport/current/bin/sallyport"


@pytest.fixture
def service(box: Box) -> Iterator[Box]:
    """A box whose gateway nobody has configured yet; everything is as before at the end."""
    yield box
    clear(box)


def doctor(box: Box, *arguments: str, user: str = "") -> dict[str, dict[str, Any]]:
    done = box.run(TOLD, "doctor", "--json", "--wait", "1s", *arguments, check=False, user=user)
    assert "Traceback" not in done.stderr
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (1 if any(each["state"] == "failed" for each in findings) else 0)
    return {each["name"] or each["about"]: each for each in findings}


def test_service_that_runs_is_asked_and_left_alone(service: Box) -> None:
    start_broker(service)
    start_board(service)
    configure(service, CONFIG + '[mqtt.second]\nurl = "mqtt://127.0.0.1:1883"\nusername = "me"\n'
              'password = { credential = "second" }\n')  # fmt: skip
    service.write("/etc/sallyport/credentials/second", "secret\n", mode="600")
    service.systemctl("daemon-reload")
    assert doctor(service)["service"]["cause"] == "not started"
    service.systemctl("start", "sallyport")
    found = doctor(service)
    assert [found[name]["state"] for name in ("config", "service", "broker", "broker second")] == ["ok"] * 4
    assert found["service"]["verdict"].startswith("sallyport runs (pid ")
    assert found["journal"]["verdict"].startswith("/var/lib/sallyport/journal.db: may be written")
    assert "used by" in found["journal"]["verdict"]
    assert found["board"]["verdict"].startswith("read by the gateway that runs (pid ")
    strangers = doctor(service, user="nobody")
    assert strangers["config"]["cause"] == "permission"


def test_port_that_the_service_may_not_open_is_found_by_root_who_may(service: Box) -> None:
    start_board(service, user="root")
    configure(service)
    service.sh('port=$(readlink -f /run/board); chgrp tape "$port"; chmod 660 "$port"')
    board = doctor(service, "board")["board"]
    assert board["cause"] == "permission"
    assert "it belongs to group tape, and user sallyport may not open it" in board["verdict"]
    assert board["do"].startswith("sudo usermod -aG tape sallyport")


def test_port_that_the_gateway_cannot_open_is_told_while_it_runs(service: Box) -> None:
    start_broker(service)
    start_board(service, user="root")
    configure(service)
    service.sh('port=$(readlink -f /run/board); chgrp tape "$port"; chmod 660 "$port"')
    service.systemctl("start", "sallyport")
    board = doctor(service)["board"]
    assert board["cause"] == "permission"
    assert board["do"].startswith("sudo usermod -aG tape sallyport")


def test_sort_of_port_that_the_units_sandbox_does_not_know_is_told_with_the_line_it_needs(
    service: Box,
) -> None:
    service.sh(
        "mknod -m 660 /dev/odd c 266 0; mknod -m 660 /dev/even c 188 0; chgrp dialout /dev/odd /dev/even"
    )
    devices = "".join(
        f'[devices.{name}]\ndriver = "json"\nport = "/dev/{name}"\n' for name in ("odd", "even")
    )
    configure(service, devices)
    found = doctor(service, "odd", "even")
    service.sh("rm /dev/odd /dev/even")
    assert found["odd"]["cause"] == "sandbox"
    assert "DeviceAllow=char-266 rw" in found["odd"]["do"]
    assert found["even"]["cause"] == "absent"


def test_service_that_gave_up_is_told_with_its_reason(service: Box) -> None:
    configure(service, "[mqtt]\nprot = 1\n")
    service.systemctl("start", "sallyport", check=False)
    found = doctor(service)
    assert found["config"]["cause"] == "mistakes"
    assert found["service"]["cause"] == "failing"
    assert "exit status 78" in found["service"]["verdict"]
    assert "sallyport check" in found["service"]["do"]
