"""A site with rules: an instrument, a broker, a receiver of webhooks; and what has been heard of its alerts."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.hook import Hook, Post
from tests.support.mosquitto import Mosquitto
from tests.support.relay import Relay
from tests.support.subscriber import Got, Subscriber

SECRET = "a key"
MARK = "mark"
"""A rule that fires when it is told to: what came before it has been dealt with then."""


class Told(NamedTuple):
    rule: str
    device: str
    state: str
    quiet: str


class Alarms:
    hook: Hook
    heard: Subscriber

    def __init__(self, folder: Path, board: PtyInstrument, broker: Mosquitto, network: Relay) -> None:
        self.folder = folder
        self.board = board
        self.broker = broker
        self.network = network
        self._marks = 0

    @classmethod
    @asynccontextmanager
    async def at(cls, folder: Path) -> AsyncIterator[Self]:
        folder.mkdir(exist_ok=True)
        with Mosquitto.running(folder) as broker, PtyInstrument.plugged_in(folder / "board") as board:
            async with (
                Hook.running() as hook,
                Relay.to(broker.port) as network,
                Subscriber.listening(broker.host, broker.port) as heard,
            ):
                site = cls(folder, board, broker, network)
                site.hook, site.heard = hook, heard
                yield site

    def config(self, rules: str, *, stale_after: str = "1m", group_wait: str = "0s") -> Path:
        """`rules`: tables, as they are written."""
        file = self.folder / "gateway.toml"
        file.write_text(
            f'[gateway]\nname = "test"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.network.port}"\nretry_max = "100ms"\n'
            f'[devices.board]\ndriver = "json"\nport = "{self.board.path}"\n'
            f'stale_after = "{stale_after}"\nretry_max = "100ms"\n'
            f'[notify.oncall]\nurl = "http://127.0.0.1:{self.hook.port}/alerts"\nsecret = "{SECRET}"\n'
            f'group_wait = "{group_wait}"\ngroup_interval = "1s"\nper_minute = 6000\nretry_max = "1s"\n'
            f'[rules.{MARK}]\nwhen = "board.mark > previous(board.mark)"\nmessage = "{{board.mark}}"\n'
            f"[rules.clock_unsynchronised]\nenabled = false\n{rules}\n"
        )
        return file

    @asynccontextmanager
    async def running(
        self, config: Path, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[GatewayProcess]:
        """What it has logged goes with a failure's report."""
        async with GatewayProcess.running(config, environment=environment) as gateway:
            try:
                yield gateway
            finally:
                print("\n".join(gateway.log))  # noqa: T201 - pytest shows it where a test fails

    async def open(self, gateway: GatewayProcess) -> None:
        """Until the gateway reads the port: what is said before that is lost, as on any serial line."""
        await until(lambda: gateway.listens_to([self.board.path]))

    async def say(self, **values: Any) -> None:
        await self.board.say(json.dumps(values).encode() + b"\n")

    async def dealt_with(self, **values: Any) -> None:
        """Says `values` until all that was said before is judged and the alerts have arrived."""
        self._marks += 1
        for mark in (0, 0, self._marks):  # after a restart it may fire still, and the first one tells nothing
            await self.say(mark=mark, **values)
        await until(lambda: str(self._marks) in [each["message"] for each in self.alerts(MARK)])
        await self.say(mark=0, **values)

    @property
    def told(self) -> list[Told]:
        """The alerts published, in order, without repeats: one that is said again after a restart is the same."""
        return [
            Told(each["rule"], each["device"], each["state"], _quiet(each["labels"]))
            for each in map(orjson.loads, dict.fromkeys(each.payload for each in self._alerts))
            if each["rule"] != MARK
        ]

    @property
    def stories(self) -> list[tuple[str, str]]:
        return [(each.rule, each.state) for each in self.told]

    def alerts(self, rule: str) -> list[Any]:
        """Its messages, as they came."""
        return [each.json for each in self._alerts if each.json["rule"] == rule]

    @property
    def _alerts(self) -> list[Got]:
        return [each for each in self.heard.got if each.topic.startswith("sallyport/test/alerts/")]

    @property
    def rung(self) -> list[tuple[str, str]]:
        """Rule and state of what the receiver was told, one message after the other; repeats by their id."""
        messages = {each["id"]: each for each in map(orjson.loads, self.hook.bodies)}
        return [
            (alert["rule"], alert["state"]) for message in messages.values() for alert in message["alerts"]
        ]

    @property
    def remembered(self) -> Any:
        """What the gateway's rules have written down; empty before that."""
        file = self.folder / "state" / "journal.db-rules.json"
        return orjson.loads(file.read_bytes())["parts"]["rules"]["alerts"] if file.exists() else []


def genuine(post: Post) -> bool:
    """As docs/notifications.md says that a receiver should look."""
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    ours = "v1," + base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    return hmac.compare_digest(ours, post.headers["webhook-signature"])


def _quiet(labels: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} by {labels[name]}" for name in ("acknowledged", "silenced", "inhibited") if name in labels
    )
