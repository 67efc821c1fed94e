"""`sallyport demo`: the main job without hardware. Simulated instruments, real everything else."""

import asyncio
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import drivers.json.simulator
import drivers.nmea0183.simulator
from drivers.instrument import PtyInstrument
from gateway import app, config
from gateway.commands.listening import messages
from gateway.commands.live_table import Lines, live_table
from gateway.errors import Unreachable, UsageError
from gateway.logs import start_logging
from gateway.publish import embedded
from gateway.publish.broker import Broker
from gateway.supervisor import first_cause
from gateway.units import duration

INSTRUMENTS = {
    "weather": ("json", drivers.json.simulator.telegrams),
    "boat": ("nmea0183", drivers.nmea0183.simulator.telegrams),
}

OPTIONS = {"boat": 'ignore = ["GGA", "GSV", "VTG"]\n'}
"""What would make the table too long for a small terminal."""


def run(*, stop_after: str | None, port: int) -> int:
    """Raises: UsageError for a bad duration; Unreachable without amqtt."""
    try:
        seconds = None if stop_after is None else duration(stop_after)
    except ValueError as error:
        raise UsageError(f"--for {stop_after}: {error}") from None
    start_logging("warning")
    try:
        asyncio.run(_demonstrate(seconds, _free(port)))
    except ExceptionGroup as group:
        raise first_cause(group) from group
    print("\nThat was the main job. Next: `sallyport drivers`, and a configuration of your own.", flush=True)
    return 0


async def _demonstrate(seconds: float | None, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    with tempfile.TemporaryDirectory(prefix="sallyport-demo-") as name, ExitStack() as plugged:
        folder = Path(name)
        file = folder / "gateway.toml"
        file.write_text(_configuration(folder, port))
        lines = {each: plugged.enter_context(PtyInstrument.plugged_in(folder / each)) for each in INSTRUMENTS}
        print(_introduction(folder, port), flush=True)
        async with asyncio.TaskGroup() as group:
            gateway = group.create_task(app.run(config.load(file), stop))
            bystanders = [group.create_task(_show(port))]
            for each, (_, telegrams) in INSTRUMENTS.items():
                bystanders.append(group.create_task(lines[each].play(telegrams(), every_s=1.0)))
            await stop.wait()
            for task in bystanders:
                task.cancel()
            await gateway


def _configuration(folder: Path, port: int) -> str:
    devices = "".join(
        f'\n[devices.{name}]\ndriver = "{driver}"\nport = "{folder / name}"\nstale_after = "5s"\n'
        f"{OPTIONS.get(name, '')}"
        for name, (driver, _) in INSTRUMENTS.items()
    )
    mqtt = f'[mqtt]\nurl = "embedded"\nembedded_port = {port}\n'
    return f'[gateway]\nname = "demo"\n\n{mqtt}\n[journal]\npath = "memory"\n{devices}'


def _introduction(folder: Path, port: int) -> str:
    return (
        f"instruments: {', '.join(f'{folder / name} ({driver})' for name, (driver, _) in INSTRUMENTS.items())}\n"
        f"broker:      mqtt://{embedded.HOST}:{port}, inside this process\n"
        "to subscribe, paste one of these into another terminal:\n\n"
        f"    mosquitto_sub -h {embedded.HOST} -p {port} -t 'sallyport/#' -v\n"
        f"    sallyport tail --url mqtt://{embedded.HOST}:{port}\n\n"
        "Ctrl-C ends it.\n"
    )


async def _show(port: int) -> None:
    broker = Broker(host=embedded.HOST, port=port, version="3.1.1", client_id="sallyport-demo-table")
    with live_table() if sys.stdout.isatty() else Lines() as display:
        while True:
            try:
                async for message in messages(broker, "sallyport/demo/#"):
                    display.show(message)
            except Unreachable:
                await asyncio.sleep(0.05)  # the broker is still starting


def _free(port: int) -> int:
    """This port, or if it is taken any other."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((embedded.HOST, port))
        except OSError:
            probe.bind((embedded.HOST, 0))
        taken: int = probe.getsockname()[1]
        return taken
