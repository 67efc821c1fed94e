"""What a subscriber gets, and how it looks on a terminal."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import orjson

from gateway.commands.listing import plain
from gateway.errors import Unreachable, UsageError
from gateway.publish.aiomqtt_publisher import client as listener
from gateway.publish.aiomqtt_publisher import reason
from gateway.publish.broker import Broker

_REFUSED = 0x80  # MQTT 3.1.1, section 3.9.3; MQTT 5.0, section 3.9.3


async def messages(broker: Broker, *topics: str) -> AsyncIterator[aiomqtt.Message]:
    """What the broker has on these topic filters, until the connection ends. Raises: Unreachable."""
    try:
        async with listener(broker) as client:
            for topic in topics:
                try:
                    [granted] = await client.subscribe(topic, qos=1)
                except ValueError:
                    raise UsageError(f"--topic {topic}: this is no MQTT topic filter") from None
                if (granted if isinstance(granted, int) else granted.value) >= _REFUSED:
                    raise Unreachable(
                        f"{broker.host}:{broker.port}: the broker refuses to let us listen on {topic}"
                    )
            async for message in client.messages:
                yield message
    except aiomqtt.MqttError as error:
        raise Unreachable(f"{broker.host}:{broker.port}: {reason(error)}") from error


def as_line(message: aiomqtt.Message) -> str:
    """`17:07:01.123  boiler  temperature=21.5  running=true`, one for each reading; what is none as it came."""
    if device_and_readings := readings(message):
        device, found = device_and_readings
        return "\n".join(_line(device, each) for each in found)
    return f"{'':12}  {plain(str(message.topic))}  {plain(parsed(message))}"


def _line(device: str, reading: dict[str, Any]) -> str:
    clock = str(reading.get("time", ""))[11:23]
    shown = "  ".join(f"{plain(metric)}={plain(value)}" for metric, value in reading["values"].items())
    return f"{plain(clock):12}  {plain(device)}  {shown}"


def readings(message: aiomqtt.Message) -> tuple[str, list[dict[str, Any]]] | None:
    """The device and what it has read, once or in a batch; None if that is something else."""
    *_, above, last = f"/{message.topic}".rsplit("/", 2)
    found = parsed(message)
    if isinstance(found, list):
        device = above if last == "batch" else ""
    else:
        device, found = last, [found]
    if (
        device
        and found
        and all(isinstance(each, dict) and isinstance(each.get("values"), dict) for each in found)
    ):
        return device, found
    return None


def as_json_line(message: aiomqtt.Message) -> str:
    # Not orjson: beyond ASCII it writes what may steer a terminal.
    return json.dumps({"topic": str(message.topic), "payload": parsed(message)})


def parsed(message: aiomqtt.Message) -> Any:
    payload = message.payload
    assert isinstance(payload, bytes)
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="backslashreplace")
