"""A site in a box: a mosquitto, and an instrument that counts aloud. `Subscriber` listens through a UNIX socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.box import PROJECT, SHARED, Box
from tests.support.subscriber import Subscriber

BROKER = f"""\
user root
max_queued_messages 0
persistence true
persistence_location /run/broker/
listener 1883 127.0.0.1
allow_anonymous true
listener 0 {SHARED}/mosquitto.sock
allow_anonymous true
"""

BOARD = """\
[devices.board]
driver = "json"
port = "/run/board"
retry_max = "200ms"
"""

CONFIG = f"""\
[gateway]
name = "test"

[mqtt]
retry_max = "200ms"

{BOARD}"""


def start_broker(box: Box, further: str = "") -> None:
    """For the first time, or once more: it knows its subscribers again, and what they have still to get.

    `further`: another listener, with settings of its own. mosquitto 2.0.11 then keeps nothing for who is away.
    """
    each = "per_listener_settings true\n" if further else ""
    box.write("/etc/broker.conf", each + BROKER + further)
    box.sh(
        f"systemctl stop mosquitto; mkdir -p /run/broker; rm -f {SHARED}/mosquitto.sock;"
        "systemd-run --quiet --unit broker mosquitto -c /etc/broker.conf;"
        f"until [ -S {SHARED}/mosquitto.sock ]; do sleep 0.02; done"
    )


def start_board(box: Box, *, every_s: float = 0.02, user: str = "sallyport") -> None:
    """It says `{"n": 1}` and so on, whether somebody listens or not."""
    ticker = f"/usr/bin/python3 {PROJECT}/tests/support/ticker.py /run/board {user} {every_s}"
    box.sh(f"systemd-run --quiet --unit board {ticker}; until [ -e /run/board ]; do sleep 0.02; done")


@asynccontextmanager
async def subscribed(box: Box) -> AsyncIterator[Subscriber]:
    async with Subscriber.listening(str(box.shared / "mosquitto.sock"), 1883, transport="unix") as subscriber:
        yield subscriber


def configure(box: Box, text: str = CONFIG, *, name: str = "gateway") -> None:
    box.write(f"/etc/sallyport/{name}.toml", text, mode="640", owner="root:sallyport")


def clear(box: Box) -> None:
    """Nobody serves, counts or is configured any more, and the log is empty."""
    box.sh(
        "systemctl stop 'sallyport*'; systemctl stop broker board remote hook || true; systemctl reset-failed;"
        "rm -rf /etc/broker.conf /run/broker /etc/systemd/system/sallyport*.d /var/lib/sallyport"
        " /etc/sallyport/*.toml /etc/sallyport/ca.pem /etc/sallyport/credentials/*; systemctl daemon-reload;"
        "journalctl --quiet --rotate --vacuum-time=1us"
    )
