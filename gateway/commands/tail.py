"""`sallyport tail`: what subscribers see."""

import asyncio
import os
import sys
from pathlib import Path

from gateway import config
from gateway.commands.listening import as_json_line, as_line, messages
from gateway.commands.live_table import Lines, LiveTable, live_table
from gateway.config import MqttOptions
from gateway.config.broker_url import BrokerUrl
from gateway.errors import Unreachable, UsageError
from gateway.publish.broker import Broker
from gateway.publish.topics import Topics


def run(
    path: Path,
    url: str | None,
    username: str | None,
    password: str | None,
    *,
    topic: str | None,
    as_json: bool,
    as_table: bool,
    count: int | None,
) -> int:
    """Raises: ConfigError; UsageError; Unreachable."""
    if url is None:
        loaded = config.load(path)
        ways = Broker.ways(loaded.mqtt, client_id=_client_id())
        topic = topic or Topics(prefix=loaded.mqtt.prefix, gateway=loaded.gateway.name).everything
    else:
        ways = _ways(url, username, password)
        topic = topic or "sallyport/#"
    display = live_table() if as_table else Lines(as_json_line if as_json else as_line)
    asyncio.run(_follow(ways, topic, display, count))
    return 0


async def _follow(ways: list[Broker], topic: str, display: LiveTable | Lines, count: int | None) -> None:
    """On the first of them that answers; on the next one when that goes."""
    seen = 0
    with display:
        for broker in ways:
            print(f"{topic} on {broker.name}; Ctrl-C ends it", file=sys.stderr)
            try:
                async for message in messages(broker, topic):
                    display.show(message)
                    seen += 1
                    if seen == count:
                        return
            except Unreachable as error:
                if broker is ways[-1]:
                    raise
                print(error, file=sys.stderr)


def _ways(url: str, username: str | None, password: str | None) -> list[Broker]:
    try:
        parsed_url = BrokerUrl.parse(url)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from None  # the url may hold a password
    if parsed_url.embedded:
        raise UsageError("--url: the embedded broker of a running gateway is mqtt://127.0.0.1:1883")
    if password and not username:
        raise UsageError("$SALLYPORT_MQTT_PASSWORD needs --username")
    # 3.1.1, which every broker speaks: to listen, version 5 brings nothing.
    options = MqttOptions.model_validate(
        {"url": url, "username": username or None, "password": password or None, "version": "3.1.1"}
    )
    return Broker.ways(options, client_id=_client_id())


def _client_id() -> str:
    return f"sallyport-tail-{os.getpid()}"
