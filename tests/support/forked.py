"""`sallyport …` as a process of its own, forked from one that has loaded the program already.

Loading takes most of the CPU time that such a process costs, and the tests start hundreds. What is settled before
that is as for all others that come from there: the seed of hashes, the encoding (UTF-8), and what the kernel shows as
arguments and environment. Where any of this matters, or the loading itself, a test wants it `anew`.
"""

import asyncio
import json
import os
import re
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
"""With variables of such names the program is always loaded anew: they matter before that, or meanwhile."""


def clean_environment() -> dict[str, str]:
    """That of the tests, without where they themselves are shown."""
    return {name: each for name, each in os.environ.items() if name not in _OF_THE_TESTER}


def _forkery() -> socket.socket:
    """Begun when this is imported: what a test opens must not outlive it. It ends with who has this open."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Coverage follows what it forks, not itself.
    environment = {name: each for name, each in os.environ.items() if not name.startswith("COVERAGE_")}
    with theirs:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tests.support.forkery"],
            {**environment, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
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
) -> socket.socket:
    """What says its pid, and then its exit status, a line each. Its end is that of the process."""
    [umask] = re.findall(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    request = {
        "arguments": [*map(str, arguments)],
        "environment": {**clean_environment(), **(environment or {})},
        "cwd": str(cwd or Path.cwd()),
        "umask": int(umask, 8),
        "anew": anew or any(name.startswith(_OF_THE_START) for name in environment or {}),
    }
    reports, theirs = socket.socketpair()
    with theirs, suppress(ConnectionError):
        socket.send_fds(_FORKERY, [json.dumps(request).encode()], [*descriptors, theirs.fileno()])
    return reports


def _number(line: bytes) -> int:
    assert line, (
        "the process from which this one was to be forked has ended: see what it says on standard error"
    )
    return int(line)


def run_sallyport(
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Until it has ended; as `Forked.running`."""
    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        given, giving = os.pipe()
        with os.fdopen(given), os.fdopen(giving, "wb") as pipe:
            pipe.write(stdin)
            pipe.close()
            descriptors = (given, out.fileno(), err.fileno())
            reports = stack.enter_context(_fork(arguments, descriptors, environment, cwd, anew=False))
        reports.settimeout(PATIENCE_S)
        lines = stack.enter_context(reports.makefile("rb"))
        _number(lines.readline())
        status = _number(lines.readline())
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
        self,
        pid: int,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
        reports: asyncio.StreamReader,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._reports = reports
        self._following = asyncio.create_task(self._follow())

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
    ) -> AsyncIterator[Self]:
        """Ended by force if the test does not end it.

        Args:
            stdin: if it is a terminal, it controls the process.
            environment: in addition to that of the tests.
            anew: it is `python -m gateway`, and loads the program by itself.
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
                asked = _fork(arguments, descriptors, environment, cwd, anew=anew)
            reports, writer = await asyncio.open_connection(sock=asked)
            stack.callback(writer.close)
            process = cls(_number(await reports.readline()), said, told, reports)
            try:
                yield process
            finally:
                process.kill()
                await process.wait()

    async def _follow(self) -> int:
        self.returncode = _number(await self._reports.readline())
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._following)

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
