"""`sallyport tail`: what subscribers see."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import orjson

from gateway import config
from gateway.config import MqttOptions
from gateway.config.broker_url import BrokerUrl
from gateway.errors import Unreachable, UsageError
from gateway.publish.aiomqtt_publisher import client as listener
from gateway.publish.aiomqtt_publisher import reason
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
    count: int | None,
) -> int:
    """Raises: ConfigError; UsageError; Unreachable."""
    if url is None:
        loaded = config.load(path)
        broker = Broker.of(loaded.mqtt, client_id=_client_id())
        topic = topic or Topics(prefix=loaded.mqtt.prefix, gateway=loaded.gateway.name).everything
    else:
        broker = _broker(url, username, password)
        topic = topic or "sallyport/#"
    asyncio.run(_follow(broker, topic, as_json=as_json, count=count))
    return 0


async def _follow(broker: Broker, topic: str, *, as_json: bool, count: int | None) -> None:
    print(f"{topic} on {broker.host}:{broker.port}; Ctrl-C ends it", file=sys.stderr)
    seen = 0
    async for message in messages(broker, topic):
        print(as_line(message) if not as_json else as_json_line(message), flush=True)
        seen += 1
        if seen == count:
            return


async def messages(broker: Broker, topic: str) -> AsyncIterator[aiomqtt.Message]:
    """What the broker has on this topic filter, until the connection ends. Raises: Unreachable."""
    try:
        async with listener(broker) as client:
            await client.subscribe(topic, qos=1)
            async for message in client.messages:
                yield message
    except aiomqtt.MqttError as error:
        raise Unreachable(f"{broker.host}:{broker.port}: {reason(error)}") from error


def as_line(message: aiomqtt.Message) -> str:
    """`17:07:01.123  boiler  temperature=21.5  running=true`; what is no reading is shown as it came."""
    topic = str(message.topic)
    found = parsed(message)
    if isinstance(found, dict) and isinstance(values := found.get("values"), dict):
        clock = str(found.get("time", ""))[11:23]
        shown = "  ".join(f"{metric}={plain(value)}" for metric, value in values.items())
        return f"{clock:12}  {topic.rsplit('/', 1)[-1]}  {shown}"
    return f"{'':12}  {topic}  {plain(found)}"


def as_json_line(message: aiomqtt.Message) -> str:
    return orjson.dumps({"topic": str(message.topic), "payload": parsed(message)}).decode()


def parsed(message: aiomqtt.Message) -> Any:
    payload = message.payload
    assert isinstance(payload, bytes)
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="backslashreplace")


def plain(value: Any) -> str:
    """For a terminal: text without control characters, all else as JSON."""
    if isinstance(value, str):
        return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in value)
    return orjson.dumps(value).decode()


def _broker(url: str, username: str | None, password: str | None) -> Broker:
    try:
        parsed_url = BrokerUrl.parse(url)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from None  # the url may hold a password
    if parsed_url.embedded:
        raise UsageError("--url: the embedded broker of a running gateway is mqtt://127.0.0.1:1883")
    # 3.1.1, which every broker speaks: to listen, version 5 brings nothing.
    options = MqttOptions.model_validate(
        {"url": url, "username": username, "password": password, "version": "3.1.1"}
    )
    return Broker.of(options, client_id=_client_id())


def _client_id() -> str:
    return f"sallyport-tail-{os.getpid()}"
