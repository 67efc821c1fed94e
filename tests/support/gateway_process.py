"""The daemon as an operator runs it: a process with a configuration, a log and signals."""

import asyncio
import json
import os
import re
import resource
import signal
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.support.forked import Forked

PATIENCE_S = 30.0
"""Far beyond what anything here takes; only a hang reaches it."""


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def _environment(folder: Path) -> dict[str, str]:
    """As a service manager gives it: a folder for what it keeps, and one for what lasts as long as it runs."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    return {"STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(folder / "run")}


class GatewayProcess:
    def __init__(self, process: Forked) -> None:
        self._process = process
        self._following = asyncio.create_task(self._follow_log())
        self.log: list[str] = []

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        config: Path,
        *arguments: str,
        command: str = "run",
        environment: Mapping[str, str] | None = None,
        anew: bool = False,
    ) -> AsyncIterator[Self]:
        """`sallyport run --config …`; ended by force if the test does not end it. `anew`: see `Forked.running`."""
        async with Forked.running(
            command, "--config", config, *arguments,
            stdout=DEVNULL, environment={**_environment(config.parent), **(environment or {})}, anew=anew,
        ) as process:  # fmt: skip
            gateway = cls(process)
            try:
                yield gateway
            finally:
                process.kill()
                await gateway._following

    async def ask(self, folder: Path, verb: str) -> dict[str, Any]:
        """What it answers on the socket for requests from this machine; `folder`: of its configuration."""
        [path] = (folder / "run").glob("*.sock")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(json.dumps({"verb": verb}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer

    @property
    def proc(self) -> Path:
        """What the kernel says of it: proc(5)."""
        return Path(f"/proc/{self._process.pid}")

    @property
    def threads(self) -> int:
        return len([*Path(f"/proc/{self._process.pid}/task").iterdir()])

    def ignores(self, number: signal.Signals) -> bool:
        [ignored] = re.findall(r"^SigIgn:\s*(\w+)", (self.proc / "status").read_text(), re.MULTILINE)
        return bool(int(ignored, 16) & 1 << number - 1)

    @property
    def descriptors(self) -> Counter[str]:
        """What it has open, sockets and pipes without their numbers."""
        names: Counter[str] = Counter()
        for each in Path(f"/proc/{self._process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it has just been closed
                names[re.sub(r":\[\d+\]", "", str(each.readlink()))] += 1
        return names

    def kill(self) -> None:
        """`kill -9`. It has ended when `running` is left."""
        self._process.kill()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()

    async def ended(self) -> int:
        """Its exit status; all that it has said is in the log then."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._following)
            return await self._process.wait()

    async def said(self, text: str, *, times: int = 1) -> None:
        """Wait until the log holds this text."""
        try:
            await until(lambda: sum(text in line for line in self.log) >= times)
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in the log:\n" + "\n".join(self.log)) from None

    def lines(self, about: str) -> list[str]:
        """The log's lines about one thing, without time and level."""
        return [line[28:] for line in self.log if line[28:].startswith(about)]

    def let_files_grow_to(self, size: int) -> None:
        """No file of its grows beyond so many bytes, as if the disk were full."""
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def listens_to(self, ports: Iterable[Path]) -> bool:
        """Whether its event loop waits for bytes of all these: they are open, and flushed, which opening does."""
        process = Path(f"/proc/{self._process.pid}")
        watched: set[str] = set()
        try:
            names = {entry.name: str(entry.readlink()) for entry in (process / "fd").iterdir()}
            for number, name in names.items():
                if name == "anon_inode:[eventpoll]":
                    found = re.findall(r"tfd:\s*(\d+)", (process / "fdinfo" / number).read_text())
                    watched.update(names[each] for each in found if each in names)
        except OSError:  # it has just closed what we look at, or it ends
            return False
        return watched.issuperset(os.path.realpath(port) for port in ports)

    def held_up_s(self) -> float:
        """For how long its event loop was ready to run, and another process had the core.

        Not the sum over its threads: on a busy machine that grows faster than time.
        """
        return (
            int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/schedstat").read_text().split()[1])
            / 1e9
        )

    async def _follow_log(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode().rstrip())
