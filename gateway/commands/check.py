"""`sallyport check`: every problem of a configuration, and with `--connect` of what it points to."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import drivers
from drivers.driver import DriverOptions
from gateway import config, intercom
from gateway.clock import system_clock
from gateway.config import MqttOptions
from gateway.errors import LinkError, Unreachable
from gateway.notify.apprise_receiver import knows
from gateway.publish.broker import Broker
from gateway.publish.embedded import embedded_broker
from gateway.publish.way import publisher_to


def run(path: Path, *, connect: bool, plans: bool) -> int:
    """Raises: ConfigError; with `plans` also Refused and Unreachable, as `intercom.ask`."""
    loaded = config.load(path, knows_service=knows)
    # A certificate that cannot be used is a problem of the configuration too.
    brokers = {
        name: Broker.ways(mqtt, client_id=f"{loaded.client_id(name)}-check")
        for name, mqtt in loaded.brokers.items()
    }
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    names = ", ".join(loaded.devices) or "no devices"
    ways = ", ".join(str(way) for mqtt in loaded.brokers.values() for way in mqtt.ways)
    print(f"{path}: good: gateway {loaded.gateway.name}, {names}, broker {ways}")
    if plans:
        _plan(loaded.gateway.name, path)
    return asyncio.run(_connect(loaded, brokers)) if connect else 0


def _plan(gateway: str, path: Path) -> None:
    """Raises: Refused, Unreachable."""
    answer = intercom.ask("plan", gateway, or_the_only_one=True)
    theirs = Path(answer["file"])
    if not (theirs.exists() and path.samefile(theirs)):
        print(
            f"warning: the gateway runs with {theirs}, and this is what a reload of that would do",
            file=sys.stderr,
        )
    for line in answer["plan"]:
        print(f"reload: {line}")


async def _connect(loaded: config.Config, brokers: Mapping[str, Sequence[Broker]]) -> int:
    checks = [
        *(_broker(loaded.brokers[name], way) for name, ways in brokers.items() for way in ways),
        *(_device(name, options) for name, options in loaded.devices.items()),
    ]
    good = True
    for check in asyncio.as_completed(checks):
        well, line = await check
        good &= well
        print(f"{'ok' if well else 'FAILED':6}  {line}", flush=True)
    return 0 if good else 1


async def _device(name: str, options: DriverOptions) -> tuple[bool, str]:
    try:
        async with drivers.find(options.driver).open(name, options, system_clock):
            return True, f"{name}: {options.port} opened"
    except LinkError as error:
        return False, f"{name}: {error}"


async def _broker(mqtt: MqttOptions, broker: Broker) -> tuple[bool, str]:
    try:
        return True, f"broker: {await let_in(mqtt, broker)}"
    except Unreachable as error:
        return False, f"broker: {error}"


async def let_in(mqtt: MqttOptions, broker: Broker, *, runs: bool = False) -> str:
    """That a broker takes us, by a client identifier of our own and without a will: who is there is not disturbed.

    `runs`: whether a gateway does, and with it the broker that is embedded in it. Raises: Unreachable.
    """
    publisher = publisher_to(broker)
    if mqtt.embedded and not runs:
        async with embedded_broker(mqtt.embedded_port):
            return f"embedded, {publisher.name} is free"
    async with publisher.connect():
        return f"{publisher.name} let us in, MQTT {broker.version}"
