"""Commands of `sallyport`, each a process that is forked from one which has loaded the program already.

Loading takes half a second of CPU time, which is most of what such a command costs.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from tests.support.documents import ROOT

_LOADED = """
import json, os, pkgutil, signal, socket, traceback
import drivers, gateway.commands
from gateway import cli
for name in drivers.DRIVERS: drivers.find(name)
for module in pkgutil.walk_packages(gateway.commands.__path__, "gateway.commands."): __import__(module.name)

def command(caller):
    arguments, cwd, environment = json.loads(caller.makefile().readline())
    caller.sendall(b"%d\\n" % os.getpid())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for output in (1, 2): os.dup2(caller.fileno(), output)
    caller.close()
    os.chdir(cwd)
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        status = cli.main(arguments)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    print(f"\\0{status}", end="", flush=True)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
listener = socket.socket(fileno=0)
while True:
    caller, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        try:
            command(caller)
        finally:
            os._exit(1)
    caller.close()
"""


class Forkery:
    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    @asynccontextmanager
    async def at_work(cls, folder: Path) -> AsyncIterator[Self]:
        path = folder / "commands.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _LOADED,
                stdin=listener.fileno(),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            yield cls(path)
        finally:
            process.kill()
            await process.wait()

    @asynccontextmanager
    async def command(
        self, *arguments: str, cwd: Path, environment: Mapping[str, str]
    ) -> AsyncIterator["Forked"]:
        """`sallyport …`; ended by force if the test does not end it."""
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(json.dumps([arguments, str(cwd), dict(environment)]).encode() + b"\n")
        forked = Forked(int(await reader.readline()), reader)
        try:
            yield forked
        finally:
            if forked.status is None:
                forked.send(signal.SIGKILL)
            writer.close()
            await writer.wait_closed()


class Forked:
    def __init__(self, pid: int, output: asyncio.StreamReader) -> None:
        self.status: int | None = None
        self._pid = pid
        self._output = output

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(self._pid, number)

    async def line(self) -> bytes:
        """Of what it says, on standard output or standard error."""
        return await self._output.readline()

    async def rest(self) -> bytes:
        """All else that it says; `status` is known then."""
        said, ended, status = (await self._output.read()).rpartition(b"\0")
        assert ended, f"it was killed: {status.decode()}"
        self.status = int(status)
        return said
