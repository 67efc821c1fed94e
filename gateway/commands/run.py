"""`sallyport run`: the daemon."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway import __version__, app, config, intercom
from gateway.commands.ending import ended
from gateway.dump import Dump
from gateway.health import Health
from gateway.logs import MessageId, Tail, about, start_logging
from gateway.systemd import ServiceManager, passed_sockets

log = logging.getLogger(__name__)

THREADS_MAY_TAKE_S = 1.0
THREADS_AT_LEAST = 128

_STDIN = 0


def run(path: Path, *, debug: bool) -> int:
    """Raises: ConfigError; Unreachable when the embedded broker cannot start."""
    loaded = config.load(path)
    tail = Tail()
    start_logging("debug" if debug else loaded.gateway.log_level, loaded.gateway.log_format, tail)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    count = len(loaded.devices)
    devices = "1 device" if count == 1 else f"{count} devices"
    log.info(
        "sallyport %s: gateway %s, %s", __version__, loaded.gateway.name, devices,
        extra=about(MessageId.GATEWAY_STARTED),
    )  # fmt: skip

    # Of a thread that keeps the interpreter to itself nobody else can say where it is.
    faulthandler.enable()
    # Opening a port and looking up a name block a thread each, and a stuck one must not keep others from theirs.
    # A reload may bring more devices; threads are made as they are needed.
    most = max(4 * len(loaded.devices) + 8, THREADS_AT_LEAST)
    executor = ThreadPoolExecutor(most, thread_name_prefix="worker")
    runner = asyncio.Runner(debug=debug)
    if debug:
        warnings.simplefilter("default", ResourceWarning)
        logging.captureWarnings(capture=True)
    runner.get_loop().set_default_executor(executor)
    try:
        runner.run(_until_signalled(loaded, path, tail, debug=debug))
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Python puts a handler of ours out of place as it ends
        # A name lookup, a connection attempt or a disk cannot be cancelled: a thread that is stuck in one
        # must not hold up the stop, and the interpreter would wait for it.
        executor.shutdown(wait=False, cancel_futures=True)
        workers = [each for each in threading.enumerate() if each.name.startswith(("worker", "journal"))]
        deadline = time.monotonic() + THREADS_MAY_TAKE_S
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        if any(worker.is_alive() for worker in workers):
            error = sys.exc_info()[1]
            status = 0 if error is None else ended(error, "run")
            logging.shutdown()
            os._exit(status)
        runner.close()
    return 0


async def _until_signalled(loaded: config.Config, path: Path, tail: Tail, *, debug: bool) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    dump = Dump()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("%s again: stopping at once", number.name)
            logging.shutdown()
            os._exit(128 + number)
        log.info("%s: stopping", number.name, extra=about(MessageId.GATEWAY_STOPPING))
        stop.set()

    on_terminal = os.isatty(_STDIN)

    def on_hang_up() -> None:
        if on_terminal and not os.isatty(_STDIN):  # it was closed, which hangs up, too
            on_signal(signal.SIGHUP)
        else:
            reload.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) has it
        loop.add_signal_handler(signal.SIGHUP, on_hang_up)
    folder = intercom.folder()
    # Not by the loop, which may stand still.
    signal.signal(signal.SIGUSR1, lambda _number, _frame: dump.ask())
    health = Health(ServiceManager.from_environment(), each_look=dump.look)
    surroundings = app.Surroundings(
        health=health,
        dump=dump,
        file=path,
        reload=reload,
        adjust=lambda changed: start_logging(
            "debug" if debug else changed.gateway.log_level, changed.gateway.log_format, tail
        ),
        log=tail,
        intercom=folder and folder / f"{loaded.gateway.name}{intercom.SUFFIX}",
        live=passed_sockets("live"),
    )
    with health.watched():
        await app.run(loaded, stop, surroundings=surroundings)
