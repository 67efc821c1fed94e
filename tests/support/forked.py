"""`sallyport …` as a process of its own, forked from one that has loaded the program already.

Loading takes most of the CPU time that such a process costs, and the tests start hundreds. All else is as if it had
been started by itself; how it starts is seen where a test runs `python -m gateway`, and in every box.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from tests.support.documents import ROOT

PATIENCE_S = 60.0
_OF_THE_TESTER = {"JOURNAL_STREAM", "NO_COLOR", "COLUMNS", "LINES"}
_OF_THE_START = ("PYTHON", "LD_")
"""What a process is given in variables of such names matters before, and while, the program is loaded."""


def clean_environment() -> dict[str, str]:
    """That of the tests, without where they themselves are shown."""
    return {name: each for name, each in os.environ.items() if name not in _OF_THE_TESTER}


def _forkery() -> socket.socket:
    """It ends when nobody has this open any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Coverage follows what it forks, not itself.
    environment = {name: each for name, each in os.environ.items() if not name.startswith("COVERAGE_")}
    with theirs:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tests.support.forkery"],
            {**environment, "PYTHONPATH": str(ROOT)},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
        )
    return ours


_FORKERY = _forkery()


def _fork(
    arguments: tuple[str | Path, ...],
    descriptors: tuple[int, int, int],
    environment: Mapping[str, str] | None,
    cwd: Path | None,
    *,
    anew: bool,
    has_terminal: bool = False,
) -> socket.socket:
    """What says its pid, and then its exit status, a line each."""
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "arguments": [*map(str, arguments)],
        "environment": {**clean_environment(), **(environment or {})},
        "cwd": str(cwd or Path.cwd()),
        "umask": umask,
        "has_terminal": has_terminal,
        "anew": anew or any(name.startswith(_OF_THE_START) for name in environment or {}),
    }
    reports, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_FORKERY, [json.dumps(request).encode()], [*descriptors, theirs.fileno()])
    return reports


def run_sallyport(
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Until it has ended; as `Forked.running`."""
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        descriptors = (given.fileno(), out.fileno(), err.fileno())
        reports = stack.enter_context(_fork(arguments, descriptors, environment, cwd, anew=False))
        reports.settimeout(PATIENCE_S)
        lines = stack.enter_context(reports.makefile())
        pid = int(lines.readline())
        try:
            status = int(lines.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read().decode(), err.read().decode())


async def sallyport(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience_s: float = PATIENCE_S,
) -> tuple[int, str, str]:
    """Its exit status, standard output and standard error."""
    async with Forked.running(*arguments, environment=environment, cwd=cwd) as process:
        async with asyncio.timeout(patience_s):
            out, err = await process.communicate()
        return await process.wait(), out.decode(), err.decode()


class Forked:
    """As far as tests want it like `asyncio.subprocess.Process`."""

    def __init__(
        self, pid: int, stdout: asyncio.StreamReader | None, stderr: asyncio.StreamReader | None
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *arguments: str | Path,
        stdin: int = DEVNULL,
        stdout: int = PIPE,
        stderr: int = PIPE,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        anew: bool = False,
        has_terminal: bool = False,
    ) -> AsyncIterator[Self]:
        """Ended by force if the test does not end it.

        Args:
            environment: in addition to that of the tests.
            anew: it is `python -m gateway`, and loads the program by itself: the kernel shows its arguments and its
                environment. So it is, too, where `environment` has what matters to the loading.
            has_terminal: its standard input is a terminal that is to control it.
        """
        async with AsyncExitStack() as stack:
            with ExitStack() as sent:
                devnull = os.open(os.devnull, os.O_RDWR)
                sent.callback(os.close, devnull)

                async def output(wanted: int) -> tuple[int, asyncio.StreamReader | None]:
                    if wanted != PIPE:
                        return devnull if wanted == DEVNULL else wanted, None
                    reading, writing = os.pipe()
                    sent.callback(os.close, writing)
                    return writing, await stack.enter_async_context(_read(reading))

                out, said = await output(stdout)
                err, told = await output(out if stderr == STDOUT else stderr)
                descriptors = (devnull if stdin == DEVNULL else stdin, out, err)
                reports = _fork(
                    arguments, descriptors, environment, cwd, anew=anew, has_terminal=has_terminal
                )
            lines, writer = await asyncio.open_connection(sock=reports)
            stack.callback(writer.close)
            process = cls(int(await lines.readline()), said, told)
            following = asyncio.create_task(process._follow(lines))
            try:
                yield process
            finally:
                process.kill()
                await following

    async def _follow(self, reports: asyncio.StreamReader) -> None:
        self.returncode = int(await reports.readline())
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """All else that it says, until it has ended."""
        out, err, _ = await asyncio.gather(_rest(self.stdout), _rest(self.stderr), self.wait())
        return out, err

    def send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            if self.returncode is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def _rest(output: asyncio.StreamReader | None) -> bytes:
    return b"" if output is None else await output.read()


@asynccontextmanager
async def _read(descriptor: int) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        yield reader
    finally:
        transport.close()
