"""Requests from this machine, whether or not a broker is there: a line of JSON in, a line of JSON out.

    {"verb": "reload"} → {"status": "ok", "plan": ["restart: devices.boiler (baudrate)"], …}
    {"verb": "alert/ack", "rule": "overheat"} → {"status": "ok", "acknowledged": […]}

Who may write to the socket may ask: its folder is the service's own.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import Refused, Unreachable, UsageError
from gateway.health import Patience
from gateway.request import LARGEST, Verb, carried_out, failed, parsed
from gateway.supervisor import refusing

log = logging.getLogger(__name__)

SUFFIX = ".sock"
MOST_CALLERS = 8
PATIENCE_S = 60.0
"""For a line of a caller, and for him to take the answer."""
ANSWER_S = Patience().long_s + 60.0
"""A gateway that is stuck in a reload is ended before by its watchdog, and says no more."""
SOON_S = 5.0
"""Of what is answered at once. Whoever watches a gateway by `status` does not wait much longer for that."""
LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. Of 32 devices with 20 metrics each, the last minutes take some 2 MB."""


@asynccontextmanager
async def intercom(path: Path | None, verbs: Mapping[str, Verb]) -> AsyncIterator[None]:
    """Answer on this socket. Where it cannot be made, the log says so, and nobody is answered."""
    async with asyncio.TaskGroup() as group:
        callers = _Callers(verbs, group)
        server = None if path is None else await _listening(path, callers)
        try:
            yield
        finally:
            callers.hang_up()
            if path is not None and server is not None:
                await _close(server)
                _remove(path)


def folder() -> Path | None:
    """Where the service manager or the login keeps what lasts as long as we run; None: nowhere.

    Source: systemd.exec(5), RuntimeDirectory=; XDG Base Directory Specification 0.8.
    """
    return next(_folders(), None)


def ask(
    verb: str,
    gateway: str | None = None,
    request: Mapping[str, Any] | None = None,
    *,
    or_the_only_one: bool = False,
    patience_s: float = ANSWER_S,
) -> dict[str, Any]:
    """The answer of the gateway that runs on this machine.

    Args:
        verb: what is asked for.
        gateway: as for `place`.
        request: what is to be said besides.
        or_the_only_one: as for `place`.
        patience_s: for the answer.

    Raises: Refused, as it says; Unreachable, when none answers.
    """
    where = place(gateway, or_the_only_one=or_the_only_one)
    return asyncio.run(put(where, verb, request, patience_s=patience_s))


def place(gateway: str | None = None, *, or_the_only_one: bool = False) -> Path:
    """The socket of the gateway that runs on this machine.

    Args:
        gateway: the name of the one that is meant; None: there is only one.
        or_the_only_one: whether another one will do, if it is the only one.

    Raises: Unreachable, when there is none; UsageError, when there are several.
    """
    found = running()
    meant = [path for path in found if path.stem == gateway]
    if not found or (gateway is not None and not meant and not or_the_only_one):
        which = f"gateway {gateway}" if gateway else "gateway"
        raise Unreachable(f"no {which} runs on this machine, or this user may not see it: try sudo")
    names = sorted({path.stem for path in meant or found})
    if len(names) > 1:
        raise UsageError(f"several gateways run here: say which with --gateway: {', '.join(names)}")
    path, *more = meant or found
    if more:
        raise UsageError(
            f"several gateways called {names[0]} run here: systemctl reload knows them by their units;"
            " better give each a gateway.name of its own"
        )
    return path


def running() -> list[Path]:
    """The sockets of those that run on this machine, as far as this user can see."""
    found = (path for folder in _folders() for path in sorted(folder.glob(f"*{SUFFIX}")))
    return [path for path in found if _is_ours(path) and not _is_deserted(path)]


async def put(
    path: Path, verb: str, request: Mapping[str, Any] | None = None, *, patience_s: float = ANSWER_S
) -> dict[str, Any]:
    """The answer of the gateway behind this socket. Raises: UsageError; else as `ask`."""
    try:
        line = orjson.dumps({**(request or {}), "verb": verb}) + b"\n"
    except TypeError as error:  # half a character, from an argument that is no text
        raise UsageError(f"cannot be asked for: {error}") from None
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=LARGEST_ANSWER)
            try:
                writer.write(line)
                said = await reader.readline()
            finally:
                writer.close()
    except PermissionError:
        raise Unreachable(f"{path}: this user may not ask the gateway: try sudo") from None
    except TimeoutError:
        raise Unreachable(f"{path}: the gateway does not answer: nothing for {patience_s:.0f} s") from None
    except OSError as error:
        raise Unreachable(f"{path}: the gateway does not answer: {error.strerror or error}") from None
    except ValueError:
        most = f"{LARGEST_ANSWER // 1024**2} MB"
        raise Unreachable(f"{path}: the gateway's answer is larger than {most}: ask for less") from None
    try:
        answer = orjson.loads(said)
    except ValueError:
        raise Unreachable(f"{path}: the gateway has hung up without an answer: its log says why") from None
    if answer.pop("status", None) != "ok":
        raise Refused(str(answer.get("error", "the gateway did not say why")))
    return dict(answer)


def _folders() -> Iterator[Path]:
    ours, _, _ = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")
    if ours:
        yield Path(ours)
        return
    if os.geteuid() != 0 and (login := os.environ.get("XDG_RUNTIME_DIR")):
        yield Path(login) / "sallyport"
    yield Path("/run/sallyport")
    yield from sorted(Path("/run").glob("sallyport@*"))


def _is_ours(path: Path) -> bool:
    """The live feed may lie beside it: that one is not for its user alone."""
    try:
        return not path.stat().st_mode & 0o077
    except OSError:  # it has just gone, or we may not see
        return False


def _is_deserted(path: Path) -> bool:
    """Whoever answered there was killed."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


async def _listening(path: Path, callers: "_Callers") -> asyncio.Server | None:
    try:
        if await _somebody_answers(path):
            log.warning("%s: another gateway of this name answers there", path)
            return None
        return await asyncio.start_unix_server(callers.greet, sock=_bound(path), limit=LARGEST)
    except OSError as error:
        log.warning("%s: requests from this machine cannot be taken: %s", path, error.strerror or error)
        return None


def _bound(path: Path) -> socket.socket:
    """In the place of one that a process before us has left. Raises: OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _remove(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    return bound


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _close(server: asyncio.Server) -> None:
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener)
    # Python 3.11 fails for a caller whom it has just let in: it has a turn to do that.
    await asyncio.sleep(0)
    server.close()


async def _somebody_answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


class _Callers:
    def __init__(self, verbs: Mapping[str, Verb], group: asyncio.TaskGroup) -> None:
        self._verbs = verbs
        self._group = group
        self._waiting: set[asyncio.Task[None]] = set()
        self._over = False

    def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._over:  # he had been let in before the door was shut
            writer.close()
            return
        task = self._group.create_task(self._serve(reader, writer), name="intercom: caller")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        task.add_done_callback(lambda _: writer.close())  # also when it is cancelled before it has begun

    def hang_up(self) -> None:
        """Nobody is answered any more."""
        self._over = True
        for task in self._waiting:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; then the caller is left."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await reader.readline()
            writer.write(await self._answered(line) + b"\n")
            async with asyncio.timeout(PATIENCE_S):
                await writer.drain()
        except ValueError:
            writer.write(orjson.dumps(failed(f"the request is larger than {LARGEST} bytes")) + b"\n")
        except (TimeoutError, OSError):
            log.debug("intercom: a caller has gone, or says nothing")

    async def _answered(self, line: bytes) -> bytes:
        if len(self._waiting) > MOST_CALLERS:
            return orjson.dumps(failed("too many ask at once"))
        try:
            with refusing("intercom"):
                request = parsed(line)
                verb = str(request.pop("verb", ""))
                answer = await carried_out(self._verbs, verb, request, asked="asked on this machine")
                return orjson.dumps(answer)
        except Refused as error:
            return orjson.dumps(failed(str(error)))
