"""The live feed on a socket that systemd holds, by the unit that comes with Sallyport."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.box import PROJECT, Box
from tests.support.box_site import CONFIG, clear, configure, start_board
from tests.support.gateway_process import until

pytestmark = pytest.mark.real_time

UNIT = "/etc/systemd/system/sallyport-live.socket"


@pytest.fixture
def service(box: Box) -> Iterator[Box]:
    yield box
    box.sh(f"systemctl stop sallyport-live.socket; rm -f {UNIT}; systemctl daemon-reload")
    clear(box)


def first_lines(box: Box, address: str, count: int, *, user: str = "") -> list[Any]:
    said = box.run("sh", "-c", f"socat -u {address} - | head -n {count}", user=user).stdout
    return [json.loads(line) for line in said.splitlines()]


async def test_feed_is_served_on_the_sockets_that_systemd_holds_and_nobody_is_refused_during_a_restart(
    service: Box,
) -> None:
    configure(service, CONFIG)
    start_board(service)
    service.sh(f"cp {PROJECT}/systemd/sallyport-live.socket {UNIT}; systemctl daemon-reload")
    service.systemctl("start", "sallyport-live.socket")
    # Whoever connects starts the gateway.
    assert service.properties("sallyport", "ActiveState") == {"ActiveState": "inactive"}
    gateway, device, *events = first_lines(service, "TCP:127.0.0.1:4040", 8)
    assert (gateway["gateway"], device["device"]) == ("test", "board")
    assert "reading" in {each["event"] for each in events}
    assert service.properties("sallyport", "ActiveState") == {"ActiveState": "active"}
    by_path = first_lines(service, "UNIX-CONNECT:/run/sallyport-live.sock", 1, user="sallyport")
    assert [each["event"] for each in by_path] == ["gateway"]
    denied = service.run(
        "socat", "-u", "UNIX-CONNECT:/run/sallyport-live.sock", "-", user="nobody", check=False
    )
    assert "Permission denied" in denied.stderr
    # Stopped: what is connected meanwhile waits for the next one, which it starts.
    service.systemctl("stop", "sallyport")
    assert service.sh("test -S /run/sallyport-live.sock && echo there") == "there"
    with service.started("socat", "-u", "TCP:127.0.0.1:4040", "-") as waiting:
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.readline())["gateway"] == "test"
        service.systemctl("restart", "sallyport")
        rest = waiting.stdout.read().splitlines()
    assert json.loads(rest[-1]).get("reason") == "the gateway was stopped"
    assert first_lines(service, "TCP:127.0.0.1:4040", 1)[0]["event"] == "gateway"
    # A feed beside the requests is not taken for a gateway that answers them.
    configure(service, f'{CONFIG}[live]\nlisten = "/run/sallyport/live.sock"\n')
    assert service.sh("sallyport reload") == "change: live (listen)"
    await until(lambda: service.run("test", "-S", "/run/sallyport/live.sock", check=False).returncode == 0)
    assert service.sh("stat -c '%U %G %a' /run/sallyport/live.sock") == "sallyport sallyport 660"
    assert service.sh("sallyport reload") == "nothing changes"
    assert first_lines(service, "UNIX-CONNECT:/run/sallyport/live.sock", 1)[0]["event"] == "gateway"
