"""`sallyport demo`: the main job without hardware. Simulated instruments, real everything else."""

import asyncio
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import drivers
from drivers.driver import Simulation
from drivers.instrument import PtyInstrument
from gateway import app, config
from gateway.commands.listening import messages
from gateway.commands.live_table import Lines, live_table
from gateway.commands.simulate import play, section, simulated
from gateway.errors import Unreachable, UsageError
from gateway.logs import Tail, start_logging
from gateway.publish import embedded
from gateway.publish.broker import Broker
from gateway.supervisor import first_cause
from gateway.units import duration

INSTRUMENTS = ("json", "nmea0183")
"""What is shown unless others are named."""

PAGE = 8080
"""The port of the status page; if it is taken any other."""

_DEVICE = re.compile(r"^(\[+devices\.)([\w-]+)", re.MULTILINE)


def run(names: Sequence[str], *, stop_after: str | None, port: int) -> int:
    """`names`: drivers whose instruments are simulated; none for a good few, "all" for every one.

    Raises: UsageError for a bad duration or an unknown driver; Unreachable without amqtt.
    """
    if names == ["all"]:
        names = [name for name in drivers.names() if drivers.find(name).simulation is not None]
    try:
        seconds = None if stop_after is None else duration(stop_after)
    except ValueError as error:
        raise UsageError(f"--for {stop_after}: {error}") from None
    simulations = {name: simulated(name) for name in names or INSTRUMENTS}
    tail = Tail()
    start_logging("warning", tail=tail)
    try:
        asyncio.run(_demonstrate(simulations, seconds, port, tail))
    except ExceptionGroup as group:
        raise first_cause(group) from group
    print("\nThat was the main job. Next: a configuration of your own, docs/getting-started.md", flush=True)
    return 0


async def _demonstrate(
    simulations: Mapping[str, Simulation], seconds: float | None, port: int, tail: Tail
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    with tempfile.TemporaryDirectory(prefix="sallyport-demo-") as name, ExitStack() as plugged:
        folder = Path(name)
        file = folder / "gateway.toml"
        port = _free(port, plugged)
        page = _free(PAGE, plugged) if find_spec("aiohttp") and find_spec("prometheus_client") else None
        file.write_text(_configuration(folder, simulations, port, page))
        lines = {name: plugged.enter_context(PtyInstrument.plugged_in(folder / name)) for name in simulations}
        print(_introduction(folder, simulations, port, page), flush=True)
        async with asyncio.TaskGroup() as group:
            gateway = group.create_task(
                app.run(config.load(file), stop, surroundings=app.Surroundings(log=tail))
            )
            gateway.add_done_callback(lambda _: stop.set())
            bystanders = [group.create_task(_show(port, stop))]
            bystanders += [
                group.create_task(play(lines[name], simulation)) for name, simulation in simulations.items()
            ]
            await stop.wait()
            for task in bystanders:
                task.cancel()
            await gateway


def _configuration(folder: Path, names: Iterable[str], port: int, page: int | None) -> str:
    devices = "\n".join(_sections(folder, names))
    mqtt = f'[mqtt]\nurl = "embedded"\nembedded_port = {port}\n'
    web = "" if page is None else f'[web]\nlisten = "{embedded.HOST}:{page}"\n\n'
    return f'[gateway]\nname = "demo"\n\n{mqtt}\n[journal]\npath = "memory"\n\n{web}{devices}'


def _sections(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """Each driver's sample; one whose device has a name that is taken is called as the driver."""
    taken: set[str] = set()
    for name in names:
        text = section(name, folder / name)
        device = _DEVICE.search(text)
        assert device is not None
        if device[2] in taken:
            text = _DEVICE.sub(rf"\1{name}", text)
        taken |= {device[2], name}
        yield text


def _introduction(folder: Path, names: Iterable[str], port: int, page: int | None) -> str:
    where = f"http://{embedded.HOST}:{page}/" if page is not None else "needs pip install 'sallyport[web]'"
    return (
        f"instruments: {', '.join(names)}, each on a pseudo-terminal of its name in {folder}\n"
        f"broker:      mqtt://{embedded.HOST}:{port}, inside this process\n"
        f"status page: {where}\n"
        "to subscribe, paste one of these into another terminal:\n\n"
        f"    mosquitto_sub -h {embedded.HOST} -p {port} -t 'sallyport/#' -v\n"
        f"    sallyport tail --url mqtt://{embedded.HOST}:{port}\n\n"
        "Ctrl-C ends it.\n"
    )


async def _show(port: int, stop: asyncio.Event) -> None:
    broker = Broker(host=embedded.HOST, port=port, version="3.1.1", client_id="sallyport-demo-table")
    with live_table() if sys.stdout.isatty() else Lines() as display:
        # Before Python 3.12, wait_for(), and so aiomqtt, forgets a cancellation that comes as the broker goes.
        while not stop.is_set():
            try:
                async for message in messages(broker, "sallyport/demo/#"):
                    display.show(message)
            except Unreachable:
                await asyncio.sleep(0.05)  # the broker is still starting


def _free(port: int, held: ExitStack) -> int:
    """This port, or if it is taken any other. Other demos leave it alone as long as it is held."""
    while True:
        with socket.socket() as probe, ExitStack() as claimed:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            claim = claimed.enter_context(socket.socket(socket.AF_UNIX))
            try:
                probe.bind((embedded.HOST, port))
                found: int = probe.getsockname()[1]
                claim.bind(f"\0sallyport-demo-{found}")  # it is a while until somebody listens there
            except OSError:
                if port == 0:
                    raise
                port = 0
                continue
            held.push(claimed.pop_all())
            return found
