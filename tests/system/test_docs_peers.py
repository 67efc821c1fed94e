"""Programs of others, set up as the pages show it: nginx before the status page, netcat at the live feed.

Telegraf is in no package of Debian, so nothing here runs it: its tables are parsed, and held against what is published.
"""

import asyncio
import json
import re
import subprocess
import tomllib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from gateway.model import Reading, Stamp
from gateway.publish.topics import Topics
from gateway.wire import encode
from tests.support.documents import ROOT, indented
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.mosquitto import program
from tests.support.page_site import page_site
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

PAGE = (ROOT / "docs" / "status-page.md").read_text()


def block(first: str) -> str:
    """The indented one that begins so, up to the next paragraph."""
    found = re.search(rf"^    {re.escape(first)}\n(?:    .*\n)*", PAGE, re.MULTILINE)
    assert found
    return re.sub("^    ", "", found[0], flags=re.MULTILINE)


NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


async def test_page_is_seen_and_used_through_nginx_as_it_is_set_up_there(tmp_path: Path) -> None:
    nginx, port = program("nginx"), free_port()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(page_site(tmp_path, web='hosts = ["gateway.example"]'))
        location = block("location / {").replace("127.0.0.1:8080", f"127.0.0.1:{site.port}")
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(folder=tmp_path, port=port, location=location))
        _, board = await stack.enter_async_context(site.at_work())
        process = await asyncio.create_subprocess_exec(
            nginx, "-p", str(tmp_path), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            site.port, behind = port, site.port
            visitor = {"Host": f"gateway.example:{port}"}
            async with asyncio.timeout(PATIENCE_S):
                while not await _listens(port):
                    await asyncio.sleep(0.05)
            assert (await site.get("/", **visitor))[0] == 200
            silence = {"rule": "*", "for": "2h"}
            for scheme in ("http", "https"):
                origin = f"{scheme}://gateway.example:{port}"
                status, _ = await site.post("/api/alerts/silence", silence, **visitor, Origin=origin)
                assert status == 200, origin
            async with site.watching(**visitor) as told, asyncio.timeout(PATIENCE_S):
                await board.say(b'{"t":20.5}\n')
                while b"20.5" not in await told.readline():
                    pass  # it comes as it happens, not when nginx has enough of it
            site.port = behind
        finally:
            process.terminate()
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_netcat_shows_the_feed_as_the_page_says(tmp_path: Path) -> None:
    program("nc.openbsd")  # the other one knows no UNIX sockets
    shown = [each for each in indented(ROOT / "docs" / "live.md") if each.startswith("nc ")]
    assert len(shown) == 2
    for command in shown:
        port, path = free_port(), tmp_path / "live.sock"
        listen = str(path) if " -U " in command else f"127.0.0.1:{port}"
        (tmp_path / "gateway.toml").write_text(
            f'[gateway]\nname = "hall"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[journal]\npath = "memory"\n'
            f'[live]\nlisten = "{listen}"\n[devices.board]\ndriver = "json"\nport = "{tmp_path}/board"\n'
        )
        with PtyInstrument.plugged_in(tmp_path / "board") as board:
            async with GatewayProcess.running(tmp_path / "gateway.toml") as gateway:
                await gateway.said("live: whoever connects")
                typed = command.replace("/run/sallyport/live.sock", str(path)).replace("4040", str(port))
                process = await asyncio.create_subprocess_exec(
                    *typed.split(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                )
                assert process.stdout is not None
                async with asyncio.timeout(PATIENCE_S):
                    first = json.loads(await process.stdout.readline())
                    await until(lambda: gateway.listens_to([tmp_path / "board"]))
                    await board.say(b'{"t":20.5}\n')
                    while json.loads(await process.stdout.readline())["event"] != "reading":
                        pass
                process.kill()
                await process.communicate()
                assert first["gateway"] == "hall"


def test_alerts_for_prometheus_are_expressions_that_it_takes(tmp_path: Path) -> None:
    shown = block('sallyport_device_state{state="online"} == 0').splitlines()
    rules = [{"alert": f"shown_{number}", "expr": each} for number, each in enumerate(shown)]
    assert len(rules) == 2
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "sallyport", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_telegraf_would_understand_what_is_published() -> None:
    [consumer] = tomllib.loads(block("[[inputs.mqtt_consumer]]"))["inputs"]["mqtt_consumer"]
    topics = Topics(prefix="sallyport", gateway="greenhouse")
    assert consumer["topics"] == [topics.of_device(device) for device in ("boiler", "weather")]
    [tags] = consumer["topic_parsing"]
    levels = {each.count("/") for each in (tags["topic"], tags["tags"], *consumer["topics"])}
    assert len(levels) == 1
    [as_json] = consumer["json_v2"]
    reading = Reading(device="boiler", at=Stamp(0, 0.0), values={"t": 21.5}, seq=1)
    published: dict[str, Any] = json.loads(encode(reading, "7f3a09c2"))
    assert as_json["timestamp_path"] in published
    assert as_json["timestamp_format"] == "2006-01-02T15:04:05Z07:00"  # RFC 3339 as every Telegraf knows it
    assert [each["path"] for each in as_json["object"]] == ["values"]
    assert isinstance(published["values"], dict)
    [scraped] = tomllib.loads(block("[[inputs.prometheus]]"))["inputs"]["prometheus"]
    assert scraped["urls"] == ["http://127.0.0.1:8080/metrics"]
