"""From an unknown instrument to readings on MQTT, with nothing but `sniff` and what it prints."""

import asyncio
import signal
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import drivers
from drivers.instrument import PtyInstrument
from drivers.testing.instrument import UnrulyInstrument
from gateway.commands.ending import EXIT_INTERRUPTED
from gateway.commands.simulate import play
from tests.support.forked import Forked, sallyport
from tests.support.gateway_process import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time

DESCRIBED = {"frame"}
"""Drivers of instruments that have to be described: nothing can recognise them."""


async def sniffed(*arguments: str | Path) -> tuple[int, str, str]:
    return await sallyport("sniff", *arguments, patience_s=250)


CHANGING = {"d0"}
"""Drivers that agree on another speed with their instrument: the line cannot insist on one."""


def baudrate_of(name: str) -> int | None:
    """Of the instrument that the driver's sample describes."""
    if name in CHANGING:
        return None
    [sample, *_] = tomllib.loads(drivers.sample(name))["devices"].values()
    baudrate: int = sample.get("baudrate", drivers.find(name).options.model_fields["baudrate"].default)
    return baudrate


@asynccontextmanager
async def simulated(name: str, folder: Path) -> AsyncIterator[PtyInstrument]:
    """The driver's instrument, which can be understood at its own speed only."""
    simulation = drivers.find(name).simulation
    assert simulation is not None
    line = UnrulyInstrument.plugged_in(folder / name, baudrate=baudrate_of(name))
    with line as instrument:
        playing = asyncio.create_task(play(instrument, simulation))
        try:
            yield instrument
        finally:
            playing.cancel()
            await asyncio.wait([playing])


@pytest.mark.repetitive
@pytest.mark.timeout(300)  # all instruments are asked at once: much work on a busy machine
async def test_unknown_instruments_are_on_mqtt_with_what_is_printed(tmp_path: Path) -> None:
    names = sorted(drivers.DRIVERS.keys() - DESCRIBED)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(simulated(name, tmp_path)) for name in names]
        found = await asyncio.gather(*(sniffed(line.path, "--ask", "--wait", "5s") for line in lines))
        for name, (status, section, evidence) in zip(names, found, strict=True):
            assert status == 0, f"{name}: {evidence}"
            [device] = tomllib.loads(section)["devices"].values()
            assert device["driver"] == name, evidence
        broker = stack.enter_context(Mosquitto.running(tmp_path))
        file = tmp_path / "gateway.toml"
        head = f'[gateway]\nname = "test"\n[mqtt]\nurl = "mqtt://{broker.host}:{broker.port}"\n'
        file.write_text(head + "".join(section for _, section, _ in found))
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(file) as gateway,
        ):
            for name in names:
                await subscriber.has(1, name)
            await gateway.stop()


async def test_silence_is_told_apart_from_what_nobody_understands(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        status, section, evidence = await sniffed(instrument.path, "--wait", "500ms")
        assert (status, section) == (1, "")
        assert "found with --ask" in evidence
        async with asyncio.TaskGroup() as group:
            babbling = group.create_task(instrument.play(iter(lambda: b"\x91\xd3" * 20, b""), every_s=0.05))
            status, section, evidence = await sniffed(
                instrument.path, "--wait", "5s", "--driver", "json", "--driver", "nmea0183"
            )
            babbling.cancel()
    assert (status, section) == (1, "")
    assert "no driver makes good frames of it" in evidence


async def test_port_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    status, _, evidence = await sniffed(tmp_path / "nothing")
    assert status == 1
    assert "no such device" in evidence


async def test_asking_is_ended_by_one_signal(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with Forked.running("sniff", instrument.path, "--ask", "--wait", "200ms") as process:
            assert process.stderr is not None
            said = b""
            while b"asking as d0" not in said:
                said = await process.stderr.readline()
            await asyncio.sleep(0.3)  # somewhere within the exchange
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                _, rest = await process.communicate()
                assert await process.wait() == EXIT_INTERRUPTED
        assert b"Traceback" not in rest
