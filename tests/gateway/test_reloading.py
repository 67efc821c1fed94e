"""What a gateway is made of while it is reloaded, seen from inside its process."""

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from gateway import app, config
from gateway.clock import system_clock
from gateway.errors import Refused
from gateway.intercom import MOST_CALLERS
from gateway.reloading import Change, Reloading
from gateway.request import carried_out
from gateway.systemd import ServiceManager
from tests.support.mosquitto import Mosquitto
from tests.support.papers import LOOPBACK, Authority

pytestmark = pytest.mark.real_time

PLAIN = """[gateway]
name = "test"
[mqtt]
url = "mqtt://127.0.0.1:1"
[devices.boiler]
driver = "json"
port = "/dev/nowhere"
"""
RICH = f"""{PLAIN}stale_after = "5s"
filters = [{{ heartbeat = "1m" }}]
[mqtt.second]
url = "mqtt://127.0.0.1:2"
[devices.gps]
driver = "nmea0183"
port = "/dev/nowhere-else"
[rules.hot]
when = "avg(boiler.t, '10s') > 80"
notify = ["phone"]
[notify.phone]
url = "http://127.0.0.1:3/"
"""


async def _ask(socket: Path, request: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(request + b"\n")
    answer = orjson.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


@asynccontextmanager
async def _running(
    folder: Path, text: str, adjust: Callable[[config.Config], None] = lambda _: None
) -> AsyncIterator[tuple[Path, Path]]:
    """The configuration and the socket of a gateway that runs in this process. `adjust`: at the end of a reload."""
    file, socket = folder / "gateway.toml", folder / "s"
    file.write_text(f"{text}[journal]\npath = '{folder / 'journal.db'}'\n")
    stop = asyncio.Event()
    surroundings = app.Surroundings(file=file, intercom=socket, adjust=adjust)
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(config.load(file), stop, system_clock, surroundings))
        async with asyncio.timeout(10):
            while not socket.is_socket() or (await _ask(socket, b'{"verb":"plan"}'))["status"] != "ok":
                await asyncio.sleep(0.01)
        yield file, socket
        stop.set()


def _made_of() -> tuple[Counter[str], int, int]:
    """Tasks by name, threads, descriptors."""
    tasks = Counter(task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())
    return tasks, threading.active_count(), len([*Path("/proc/self/fd").iterdir()])


async def test_gateway_is_made_of_the_same_after_many_reloads(tmp_path: Path) -> None:
    async with _running(tmp_path, PLAIN) as (file, socket):
        plain, rich = file.read_text(), file.read_text().replace(PLAIN, RICH)
        await asyncio.sleep(0.5)
        for _ in range(3):  # threads are made when they are first needed
            for text in (rich, plain):
                file.write_text(text)
                assert (await _ask(socket, b'{"verb":"reload"}'))["status"] == "ok"
        before = _made_of()
        for _ in range(20):
            for text in (rich, plain):
                file.write_text(text)
                answer = await _ask(socket, b'{"verb":"reload"}')
                assert len(answer["plan"]) == 5, answer
        async with asyncio.timeout(10):
            while not _is_no_more(_made_of(), before):
                await asyncio.sleep(0.05)


def _is_no_more(now: tuple[Counter[str], int, int], before: tuple[Counter[str], int, int]) -> bool:
    spare = 4  # threads of the loop's pool, which makes as many as are wanted at once
    return not now[0] - before[0] and now[1] <= before[1] + spare and now[2] <= before[2]


async def test_requests_are_taken_by_the_way_that_the_gateway_goes_whatever_becomes_of_its_files(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "tls", "Our authority")
    trusted = ssl.create_default_context(cafile=authority.file)
    papers = authority.papers("broker", LOOPBACK)
    listener = f"certfile {papers.certificate}\nkeyfile {papers.key}\n"
    with Mosquitto.running(tmp_path, listener=listener) as broker:
        mqtt = f'[mqtt]\nurl = "mqtts://127.0.0.1:{broker.port}"\ntls.ca = "{authority.file}"\n'

        def swap(_: config.Config) -> None:
            authority.file.write_text("somebody writes it just now")

        async with (
            aiomqtt.Client(broker.host, broker.port, tls_context=trusted) as client,
            _running(tmp_path, f'[gateway]\nname = "test"\n{mqtt}[control]\nenabled = false\n', swap) as (
                file,
                socket,
            ),
        ):
            await client.subscribe("sallyport/test/response/ping")
            file.write_text(file.read_text().replace("enabled = false", "enabled = true"))
            assert (await _ask(socket, b'{"verb":"reload"}'))["plan"] == ["change: control (enabled)"]

            async def ask() -> None:
                while True:  # what comes before it listens is not heard
                    await client.publish("sallyport/test/request/ping", b"{}")
                    await asyncio.sleep(0.05)

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                asking = group.create_task(ask())
                answer = await anext(aiter(client.messages))
                asking.cancel()
            assert isinstance(answer.payload, bytes)
            assert orjson.loads(answer.payload)["status"] == "ok"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"", "the request is empty: it must be a JSON object, if only {}"),
        (b"[]", "the request must be a JSON object, if only {}"),
        (b'{"verb":"reload","why":"?"}', "why: unknown key"),
        (b"x" * 70_000, "the request is larger than 65536 bytes"),
    ],
)
async def test_request_that_cannot_be_used_is_answered_so(
    tmp_path: Path, request_: bytes, error: str
) -> None:
    async with _running(tmp_path, PLAIN) as (_, socket):
        assert await _ask(socket, request_) == {"status": "error", "error": error}


async def test_request_for_a_verb_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    async with _running(tmp_path, PLAIN) as (_, socket):
        answer = await _ask(socket, b'{"verb":"relode"}')
        assert "reload" in answer["error"]
        assert "alert/list" in answer["error"]


async def test_socket_is_for_us_alone_and_gone_with_the_gateway_and_a_stale_one_is_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "s").touch()
    async with _running(tmp_path, PLAIN) as (_, socket):
        assert socket.stat().st_mode & 0o777 == 0o600
    assert not socket.exists()


async def test_callers_beyond_what_can_be_served_are_told_so(tmp_path: Path) -> None:
    async with _running(tmp_path, PLAIN) as (_, socket):
        idle = [await asyncio.open_unix_connection(socket) for _ in range(MOST_CALLERS)]
        assert await _ask(socket, b'{"verb":"plan"}') == {"status": "error", "error": "too many ask at once"}
        for _, writer in idle:
            writer.close()


async def test_caller_who_goes_away_disturbs_nobody(tmp_path: Path) -> None:
    async with _running(tmp_path, PLAIN) as (_, socket):
        for _ in range(5):
            _, writer = await asyncio.open_unix_connection(socket)
            writer.write(b'{"verb":"plan"}\n')
            writer.close()
        assert (await _ask(socket, b'{"verb":"plan"}'))["plan"] == ["nothing changes"]


async def test_what_is_asked_for_while_the_gateway_stops_is_refused_at_once() -> None:
    async def nobody_carries_it_out(_change: Change) -> None:
        raise AssertionError

    async def nobody_restarts_it(_device: str) -> str:
        raise AssertionError

    config_of_none = config.Config.model_construct()
    reloading = Reloading(
        None, lambda: config_of_none, nobody_carries_it_out, ServiceManager(), nobody_restarts_it
    )
    await reloading.end(1)
    async with asyncio.timeout(10):
        for verb, request in (("reload", {}), ("device/restart", {"device": "boiler"})):
            with pytest.raises(Refused, match="is being stopped"):
                await carried_out(reloading.verbs, verb, request, asked="here")
