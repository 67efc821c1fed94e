"""The status page's server, as browsers, programs and those who mean harm meet it."""

import asyncio
import re
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from drivers.instrument import PtyInstrument
from gateway.request import LARGEST
from gateway.web import guard, server
from gateway.web.stream import MOST_VIEWERS
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.mosquitto import program
from tests.support.page_site import PageSite, basic, heard, page_site
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

HOT = '[rules.hot]\nwhen = "board.t > 80"\nseverity = "critical"\nmessage = "{board.t:.0f} degrees"\n'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[PageSite]:
    async with page_site(tmp_path, more=HOT) as made:
        yield made


# Who may ask, and from where.


async def test_requests_are_answered_by_our_names_only_and_what_changes_something_comes_from_our_page_only(
    site: PageSite,
) -> None:
    site.web = 'hosts = ["gateway.example"]'
    async with site.at_work():
        ours = (
            f"127.0.0.1:{site.port}",
            "localhost",
            "[::1]:80",
            socket.gethostname(),
            "Gateway.example:443",
            "10.1.2.3",
        )
        for name in ours:
            assert (await site.get("/api/gateway", Host=name))[0] == 200, name
        for name in (
            "evil.example",
            "gateway.example.evil",
            "[::1",
            "",
            "127.0.0.1.evil.example",
            "x@127.0.0.1.nip.io",
        ):
            assert (await site.get("/api/gateway", Host=name))[0] == 421, name

        own = {"Origin": site.url}
        ack = ("/api/alerts/ack", {"rule": "hot"})
        assert await site.post(*ack, **own) == (400, {"status": "error", "error": "hot: does not fire"})
        assert (await site.post(*ack))[0] == 400  # a program: no browser leaves the origin out
        for stranger in (
            "http://evil.example",
            "null",
            "http://[",
            f"http://127.0.0.1:{site.port + 1}",
            f"{site.url}.evil.example",
        ):
            assert (await site.post(*ack, Origin=stranger))[0] == 403, stranger
        assert (await site.post(*ack, **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
        assert (await site.post(*ack, **{"Sec-Fetch-Site": "same-site"}))[0] == 403
        for form in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            assert (await site.post(*ack, **{"Content-Type": form}))[0] == 415, form
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            async with site.session.request(method, f"{site.url}/api/alerts") as answer:
                assert answer.status == 405, method
                assert answer.headers["Allow"] == "GET"
        assert (await site.get("/api/nothing"))[0] == 404
        assert (await site.get("/../../etc/passwd"))[0] == 404
        assert (await site.get("/static/script.js"))[0] == 404


async def test_every_answer_says_what_a_browser_may_do_with_it(site: PageSite) -> None:
    async with site.at_work():
        for path in (
            "/",
            "/script.js",
            "/style.css",
            "/icon.svg",
            "/api/devices",
            "/metrics",
            "/healthz",
            "/nothing",
        ):
            async with site.session.get(site.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert answer.headers["Server"] == "sallyport"
                assert "Access-Control-Allow-Origin" not in answer.headers
                page = await answer.text()
            if path == "/":
                assert not re.search(r"https?://|style=|\son\w+=|<script>|<style", page)
                tag = answer.headers["ETag"]
                async with site.session.get(site.url, headers={"If-None-Match": tag}) as again:
                    assert (again.status, await again.read()) == (304, b"")


async def test_who_cannot_say_who_it_is_learns_nothing_but_that_the_gateway_lives(site: PageSite) -> None:
    site.host, token, password = "0.0.0.0", secrets.token_hex(8), secrets.token_hex(8)
    (site.folder / "token").write_text(f"{token}\n")
    site.web = f'token = {{ file = "token" }}\nusername = "plant"\npassword = "{password}"'
    async with site.at_work() as (gateway, _):
        for path in (
            "/",
            "/script.js",
            "/api/devices",
            "/api/events",
            "/api/configuration",
            "/metrics",
            "/readyz",
            "/nothing",
        ):
            async with site.session.get(site.url + path) as answer:
                assert answer.status == 401, path
                assert answer.headers["WWW-Authenticate"].startswith("Basic ")
                assert "board" not in await answer.text()
        assert await site.get("/healthz") == (200, "ok\n")
        assert (await site.post("/api/alerts/ack", {"rule": "hot"}))[0] == 401
        good = (f"Bearer {token}", f"bearer {token}", basic("plant", password), basic("anybody", token))
        for each in good:
            assert (await site.get("/api/devices", Authorization=each))[0] == 200, each
        bad = (
            f"Bearer {password}", "Bearer ", "Bearer", f"Bearer {token}x", f"Bearer {token[:-1]}", "Basic", "Basic ?",
            basic("plant", ""), basic("other", password), basic("plant", password[:-1]), basic("", ""),
        )  # fmt: skip
        begun = asyncio.get_running_loop().time()
        refused = await asyncio.gather(*(site.get("/api/devices", Authorization=each) for each in bad))
        assert [status for status, _ in refused] == [401] * len(bad)
        assert asyncio.get_running_loop().time() - begun >= guard.WRONG_S
        await gateway.said("127.0.0.1 was refused: wrong password or token")
        _, written = await site.get("/api/configuration", Authorization=good[0])
        assert written["web"]["username"] == "plant"
        assert written["web"]["password"] == written["web"]["token"] == "**********"
        assert not any(secret in str(written) + "".join(gateway.log) for secret in (token, password))


async def test_what_is_too_large_or_no_request_is_refused(site: PageSite) -> None:
    async with site.at_work() as (gateway, _):
        assert (await site.post("/api/alerts/ack", b" " * (LARGEST + 1)))[0] == 413
        for body in (b"", b"{", b"[]", b"null", b'{"rule": 1}', b'{"rul": "hot"}', b"\xff"):
            assert (await site.post("/api/alerts/ack", body))[0] == 400, body
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10_000 + b"\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        assert (await site.get("/healthz"))[0] == 200
        assert not [line for line in gateway.log if "Traceback" in line]


async def test_connections_beyond_what_can_be_served_are_told_so_and_idle_ones_are_left(
    site: PageSite,
) -> None:
    async with site.at_work(), AsyncExitStack() as stack:
        held = []
        for _ in range(server.MOST_CONNECTIONS + 2 * server.BACKLOG):
            held.append(await asyncio.open_connection("127.0.0.1", site.port))
            stack.callback(held[-1][1].close)
        assert b" 503 " in await held[-1][0].readline()
        held[0][1].write(b"GET / HTTP/1.1\r\nHost:")  # never said to its end
        assert await held[0][0].read() == b""
        async with asyncio.timeout(PATIENCE_S):  # the others that were idle are left, too
            while (await site.get("/healthz"))[0] == 503:
                await asyncio.sleep(0.1)
        assert (await site.get("/healthz"))[0] == 200


# What is told.


async def test_viewer_hears_of_a_reading_an_alert_and_a_line_of_the_log(site: PageSite) -> None:
    async with site.at_work() as (_, board), site.watching() as told:
        await heard(told, "event: whole")
        await board.say(b'{"t":20.5}\n')
        await heard(told, "20.5")
        await board.say(b'{"t":81}\n')
        event = await heard(told, '"happened":[{')
        assert '"state":"firing"' in event
        if "alert hot (board): firing: 81 degrees" not in event:
            await heard(told, "alert hot (board): firing: 81 degrees")


async def test_alert_is_acknowledged_silenced_and_told_so(site: PageSite) -> None:
    async with site.at_work() as (_, board), site.watching() as told:
        await board.say(b'{"t":81}\n')
        await heard(told, '"state":"firing"')
        assert await site.post("/api/alerts/ack", {"rule": "hot", "by": "Ada"}) == (
            200, {"status": "ok", "acknowledged": [{"rule": "hot", "device": "board"}]}
        )  # fmt: skip
        await heard(told, '"acknowledged":"Ada"')
        status, silence = await site.post("/api/alerts/silence", {"rule": "h*", "for": "1h"})
        assert (status, silence["by"], silence["covers"]) == (200, "status page", 1)
        await heard(told, '"silenced":"status page"')
        assert (await site.post("/api/alerts/unsilence", {"name": silence["name"]}))[0] == 200
        _, listed = await site.get("/api/alerts")
        assert listed["silences"] == []
        assert [each["state"] for each in listed["history"]][:1] == ["firing"]


async def test_viewer_that_takes_nothing_holds_up_nobody_and_nothing_piles_up_for_it(site: PageSite) -> None:
    site.devices = {f"d{n}": f'driver = "json"\nport = "{site.folder}/none{n}"' for n in range(100)}
    async with site.at_work(anew=True) as (gateway, board), site.watching() as told:
        stalled = socket.socket()
        with stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", site.port))
            stalled.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await heard(told, "event: whole")
            filling = ",".join(f'"m{n}":%d' for n in range(100)).encode()
            for number in range(4):
                await board.say(b"{" + filling.replace(b"%d", b"%d" % (7_000_000 + number)) + b"}\n")
                await heard(told, str(7_000_000 + number))
            before = gateway.memory()
            for number in range(4, 10):
                await board.say(b"{" + filling.replace(b"%d", b"%d" % (7_000_000 + number)) + b"}\n")
                await heard(told, str(7_000_000 + number))
            assert gateway.memory() - before < 4_000_000


async def test_more_viewers_than_there_is_room_for_are_told_so(site: PageSite) -> None:
    async with site.at_work(), AsyncExitStack() as stack:
        for _ in range(MOST_VIEWERS):
            await stack.enter_async_context(site.watching())
        status, told = await site.get("/api/events")
        assert (status, told["error"]) == (503, "too many look at the status page already")
        assert (await site.get("/api/devices"))[0] == 200


# Beside the readings.


async def test_port_that_is_taken_is_said_once_and_the_page_comes_when_it_is_free(site: PageSite) -> None:
    site.write()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", site.port))
        other.listen()
        async with AsyncExitStack() as stack:
            board = stack.enter_context(PtyInstrument.plugged_in(site.folder / "board"))
            gateway = await stack.enter_async_context(GatewayProcess.running(site.file))
            await gateway.said(f"status page: offline: 127.0.0.1:{site.port}: another program listens there")
            await until(lambda: gateway.listens_to([board.path]))
            await board.say(b'{"t":20}\n')
            await gateway.said("board: online")
            await asyncio.sleep(2)
            assert len(gateway.lines("status page")) == 1
            other.close()
            await gateway.said("status page: online again")
            await site.value("t", 20)
            assert await gateway.stop() == 0


async def test_reload_moves_the_page_and_who_looks_at_an_unchanged_one_notices_nothing(
    site: PageSite,
) -> None:
    async with site.at_work() as (gateway, board), site.watching() as told:
        await heard(told, "event: whole")
        site.more += '[rules.cold]\nwhen = "board.t < 0"\n'
        site.write()
        gateway.send(signal.SIGHUP)
        await heard(told, '"name":"cold"')
        await board.say(b'{"t":20.25}\n')
        assert "event: change" in await heard(told, "20.25")

        old, site.port = site.port, free_port()
        site.write()
        gateway.send(signal.SIGHUP)
        await gateway.said("reload: change: web (listen)")
        await gateway.said(f"status page: http://127.0.0.1:{site.port}/")
        assert await told.read() is not None  # it ends
        assert (await site.get("/healthz"))[0] == 200
        assert not _listens(old)

        async with site.watching() as other:
            await heard(other, "event: whole")
            site.web = 'token = "s3cret"'
            site.write()
            gateway.send(signal.SIGHUP)
            await gateway.said("reload: change: web (token)")
            await other.read()  # it is asked again who it is
        assert (await site.get("/api/devices"))[0] == 401
        assert (await site.get("/api/devices", Authorization="Bearer s3cret"))[0] == 200

        site.write(listens=False)
        gateway.send(signal.SIGHUP)
        await gateway.said("reload: change: web (listen)", times=2)
        await until(lambda: not _listens(site.port))
        site.write()
        gateway.send(signal.SIGHUP)
        await until(lambda: _listens(site.port))
        assert await gateway.stop() == 0


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


async def test_nobody_who_looks_holds_up_the_stop(site: PageSite) -> None:
    async with site.at_work() as (gateway, _), site.watching() as told:
        await heard(told, "event: whole")
        with (
            socket.create_connection(("127.0.0.1", site.port)) as stalled,
            socket.create_connection(("127.0.0.1", site.port)),
        ):
            stalled.sendall(
                b"POST /api/alerts/ack HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
            )
            assert await gateway.stop() == 0
        await told.read()
    said = [line for line in gateway.log if "stopped:" in line]
    assert said


async def test_page_without_its_packages_costs_nothing_where_none_is_wanted(site: PageSite) -> None:
    site.write(listens=False)
    async with GatewayProcess.running(site.file, anew=True) as gateway:
        await gateway.said("ready")
        maps = (gateway.proc / "maps").read_text()
        assert "aiohttp" not in maps
        assert "multidict" not in maps


WHERE = """
import sys, threading
def hear(event, about):
    if event == "import" and about[0] == "aiohttp":
        print("aiohttp is read in", threading.current_thread().name, file=sys.stderr)
sys.addaudithook(hear)
"""


async def test_packages_of_the_page_are_read_beside_the_event_loop(site: PageSite) -> None:
    (site.folder / "sitecustomize.py").write_text(WHERE)
    site.write(listens=False)
    async with GatewayProcess.running(site.file, environment={"PYTHONPATH": str(site.folder)}) as gateway:
        await gateway.said("ready")
        site.write()
        gateway.send(signal.SIGHUP)
        await gateway.said("status page: http")
        read = [line for line in gateway.log if "aiohttp is read in" in line]
        assert read
        assert not [line for line in read if "MainThread" in line]
        assert await gateway.stop() == 0


# Prometheus and supervisors.


def samples(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


async def test_metrics_are_as_prometheus_wants_them_and_say_what_was_read(site: PageSite) -> None:
    promtool = program("promtool")
    site.devices = {"other": f'driver = "json"\nport = "{site.folder}/other"'}
    async with site.at_work() as (gateway, board):
        await board.say(b'not json\n{"t":20.5,"on":true,"mode":"heat"}\n')
        await site.value("t", 20.5)
        _, text = await site.get("/metrics")
        checked = await asyncio.to_thread(
            subprocess.run,
            [promtool, "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        told = dict(samples(text))
        assert told['sallyport_value{device="board",metric="t",unit=""}'] == 20.5
        assert told['sallyport_value{device="board",metric="on",unit=""}'] == 1
        assert not [name for name in told if 'metric="mode"' in name]
        assert told['sallyport_device_state{device="board",driver="json",state="online"}'] == 1
        assert told['sallyport_device_readings_total{device="board"}'] == 1
        assert told['sallyport_device_rejected_frames_total{device="board",reason="not an object"}'] == 1
        assert told['sallyport_broker_connected{broker="mqtt"}'] == 0
        assert told['sallyport_broker_waiting_readings{broker="mqtt"}'] == 1
        assert told["sallyport_journal_recorded_readings_total"] == 1
        assert told["sallyport_ready"] == 1
        assert told["process_cpu_seconds_total"] > 0
        assert told["sallyport_start_time_seconds"] % 1 == 0  # else it would be another with each scrape

        assert told['sallyport_device_readings_total{device="other"}'] == 0
        site.devices = {}
        site.write()
        site.file.write_text(
            site.file.read_text().replace("[devices.board]", "[devices.board]\nbaudrate = 9600")
        )
        gateway.send(signal.SIGHUP)
        await gateway.said("stop: devices.other")
        read = 'sallyport_device_readings_total{device="board"}'
        async with asyncio.timeout(PATIENCE_S):
            while (told := dict(samples((await site.get("/metrics"))[1])))[read] == 1:
                await board.say(b'{"t":20.75}\n')  # the port may still be about to be opened anew
                await asyncio.sleep(0.05)
        assert told[read] > 1
        assert not [name for name in told if '"other"' in name]
        assert told['sallyport_device_rejected_frames_total{device="board",reason="not an object"}'] == 1
        board.unplug()
        async with asyncio.timeout(10):
            while 'state="offline"} 1' not in (text := (await site.get("/metrics"))[1]):
                await asyncio.sleep(0.05)
        assert "sallyport_value{" not in text  # what it said last is no value of now


async def test_prometheus_itself_scrapes_with_the_configuration_of_the_page(site: PageSite) -> None:
    prometheus, port = program("prometheus"), free_port()
    site.web = 'token = "s3cret"'
    document = (Path(__file__).parents[2] / "docs" / "status-page.md").read_text()
    [block] = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    (site.folder / "token").write_text("s3cret")
    block = block.replace("127.0.0.1:8080", f"127.0.0.1:{site.port}").replace("15s", "100ms")
    (site.folder / "prometheus.yml").write_text(
        block.replace("/etc/prometheus/sallyport-token", str(site.folder / "token"))
    )
    async with site.at_work() as (_, board):
        await board.say(b'{"t":20.5}\n')
        process = await asyncio.create_subprocess_exec(
            prometheus, f"--config.file={site.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={site.folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            query = f"http://127.0.0.1:{port}/api/v1/query?query=sallyport_value"
            async with asyncio.timeout(30):
                found: list[object] = []
                while not found:
                    await asyncio.sleep(0.1)
                    try:
                        async with site.session.get(query) as answer:
                            found = (await answer.json())["data"]["result"] if answer.status == 200 else []
                    except aiohttp.ClientError:
                        continue
        finally:
            process.kill()
            await process.wait()
    assert "20.5" in str(found)
    assert "'device': 'board'" in str(found)


async def test_supervisors_are_told_that_it_lives_and_is_ready(site: PageSite) -> None:
    async with site.at_work():
        assert await site.get("/healthz") == (200, "ok\n")
        assert await site.get("/readyz") == (200, "ready\n")
