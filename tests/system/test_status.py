"""`sallyport status`, and `alerts` without a broker, before a gateway that is a process of its own."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from gateway import cli, intercom
from gateway.errors import Refused, Unreachable
from gateway.rules.engine import ACKNOWLEDGED
from tests.support import forked
from tests.support.gateway_process import GatewayProcess, until
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

Sallyport = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def sallyport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sallyport:
    """Exit status, and what was printed, of a command beside the gateways of this folder."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))

    async def run(*arguments: str) -> tuple[int, str]:
        status = await asyncio.to_thread(cli.main, arguments)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def configured(folder: Path, broker: str, extra: str = "") -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "plant"\nstop_timeout = "1s"\n[mqtt]\n{broker}\n[journal]\npath = "memory"\n'
        f"[rules.clock_unsynchronised]\nenabled = false\n"
        f'[rules.warm]\nwhen = "boiler.temperature > 20"\nmessage = "it is {{boiler.temperature:.1f}}"\n'
        f'[devices.boiler]\ndriver = "json"\nport = "{folder / "boiler"}"\n{extra}'
    )
    return file


async def test_exit_status_says_whether_all_is_well(tmp_path: Path, sallyport: Sallyport) -> None:
    file = configured(tmp_path, f'url = "embedded"\nembedded_port = {free_port()}')
    assert await sallyport("status", "--short") == (
        3, "DOWN: no gateway runs on this machine, or this user may not see it: try sudo\n",
    )  # fmt: skip
    with PtyInstrument.plugged_in(tmp_path / "boiler") as boiler:
        async with GatewayProcess.running(file) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "boiler"]))
            status, said = await sallyport("status")
            assert status == 1
            assert said.startswith("WRONG: plant: boiler is offline: ")

            await boiler.say(b'{"temperature": 19.5, "t\\u001b[2J": "x", "b\\u00e4r": 2}\n')
            await gateway.said("boiler: online")
            while not (await gateway.ask(tmp_path, "overview"))["brokers"][0]["connected"]:
                await asyncio.sleep(0.05)
            status, said = await sallyport("status")
            assert (status, said.partition("\n")[0]) == (0, "OK: plant: 1 device online, broker connected")
            assert "temperature 19.5  t\\x1b[2J x" in said
            assert "broker   mqtt connected" in said
            assert "\x1b" not in said
            _, said, _ = await forked.sallyport("status", environment={"PYTHONIOENCODING": "ascii"})
            assert "temperature 19.5  t\\x1b[2J x  b\\xe4r 2" in said

            await boiler.say(b'{"temperature": 21.5}\n')
            await gateway.said("alert warm (boiler): firing")
            status, said = await sallyport("status", "--short")
            assert (status, said) == (1, "WRONG: plant: alert warm, boiler: it is 21.5\n")
            assert (await sallyport("alerts", "--config", str(file), "ack", "warm", "--by", "anna"))[0] == 0
            assert (await sallyport("status", "--short"))[0] == 0

            boiler.unplug()
            await gateway.said("boiler: offline")
            status, said = await sallyport("status", "--json")
            told = json.loads(said)
            assert (status, told["state"]) == (1, "wrong")
            assert told["problems"][0].startswith("boiler is offline: ")
            assert told["devices"][0]["metrics"][0]["value"] == 21.5
            [warm] = [each for each in told["alerts"] if each["rule"] == "warm"]
            assert warm["labels"][ACKNOWLEDGED] == "anna"

    status, said = await sallyport("status", "--json")
    assert (status, json.loads(said)["state"]) == (3, "down")


async def test_broker_that_is_away_is_something_wrong_and_alerts_are_seen_all_the_same(
    tmp_path: Path, sallyport: Sallyport
) -> None:
    file = configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')
    with PtyInstrument.plugged_in(tmp_path / "boiler") as boiler:
        async with GatewayProcess.running(file) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "boiler"]))
            await boiler.say(b'{"temperature": 21.5}\n')
            await gateway.said("alert warm (boiler): firing")
            status, said = await sallyport("status")
            assert (status, said.partition("\n")[0]) == (
                1, "WRONG: plant: broker mqtt not connected, 1 waiting and 1 more",
            )  # fmt: skip
            status, said = await sallyport("alerts", "--config", str(file))
            assert (status, "warm  boiler" in said) == (0, True)
            status, said = await sallyport(
                "alerts", "--config", str(file), "silence", "--rule", "warm", "--for", "1h"
            )
            assert (status, said) == (0, "silence-1: silenced for 1h\n")


async def test_gateway_that_is_being_stopped_says_so_and_judges_no_more(
    tmp_path: Path, sallyport: Sallyport
) -> None:
    file = configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')
    file.write_text(
        file.read_text()
        .replace('stop_timeout = "1s"', 'stop_timeout = "60s"')  # the broker is awaited for so long
        .replace('when = "boiler.temperature > 20"', 'when = "boiler.temperature > 20"\nfor = "1s"')
    )
    with PtyInstrument.plugged_in(tmp_path / "boiler") as boiler:
        async with GatewayProcess.running(file) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "boiler"]))
            await boiler.say(b'{"temperature": 21.5}\n')
            while not (await gateway.ask(tmp_path, "alert/list"))["alerts"]:
                await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            async with asyncio.timeout(30):
                while (answer := await gateway.ask(tmp_path, "alert/list"))["status"] == "ok":
                    await asyncio.sleep(0.01)
            stopping = "the gateway is being stopped: its rules judge no more"
            assert answer == {"status": "error", "error": stopping}
            await asyncio.sleep(1)  # the rule is due
            assert (await gateway.ask(tmp_path, "alert/list"))["error"] == stopping
            assert await sallyport("status") == (1, f"WRONG: {stopping}\n")
            assert not [line for line in gateway.log if "a bug" in line]


async def test_stuck_gateway_is_down_and_nobody_waits_long_for_it(
    tmp_path: Path,
) -> None:
    file = configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')
    environment = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}

    async def said(*arguments: str) -> tuple[int, str]:
        status, out, err = await forked.sallyport(*arguments, environment=environment)
        return status, out + err

    async with GatewayProcess.running(file) as gateway:
        await until(lambda: [*(tmp_path / "run").glob("*.sock")])
        [place] = (tmp_path / "run").glob("*.sock")
        gateway.send(signal.SIGSTOP)
        silence = f"{place}: the gateway does not answer: nothing for {intercom.SOON_S:.0f} s"
        try:
            async with asyncio.timeout(intercom.ANSWER_S / 10):
                status, alerts = await asyncio.gather(said("status"), said("alerts", "--config", str(file)))
        finally:
            gateway.send(signal.SIGCONT)
    assert status == (3, f"DOWN: {silence}\n")
    assert alerts == (1, f"sallyport: {silence}; 127.0.0.1:1: Connection refused\n")


async def test_gateway_that_runs_and_does_not_tell_is_wrong_and_not_down(
    tmp_path: Path, sallyport: Sallyport
) -> None:
    async with GatewayProcess.running(configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')):
        await until(lambda: [*(tmp_path / "run").glob("*.sock")])
        [place] = (tmp_path / "run").glob("*.sock")
        callers = [await asyncio.open_unix_connection(place) for _ in range(intercom.MOST_CALLERS)]
        assert await sallyport("status") == (1, "WRONG: too many ask at once\n")
        status, said = await sallyport("status", "--json")
        assert (status, json.loads(said)) == (1, {"state": "wrong", "problems": ["too many ask at once"]})
        for _, writer in callers:
            writer.close()


async def test_stuck_gateway_whom_many_have_called_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "plant.sock"))
        (tmp_path / "plant.sock").chmod(0o600)
        listener.listen(0)  # and never accepts
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await asyncio.to_thread(intercom.running) == [tmp_path / "plant.sock"]


def test_status_loads_neither_mqtt_nor_serial_lines() -> None:
    program = "import sys, gateway.commands.status; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "gateway.intercom" in (loaded := {*done.stdout.split()})
    assert loaded.isdisjoint({"aiomqtt", "serialx", "drivers"}), "half of the time that it takes to start"


async def test_gateway_is_named_where_several_run(tmp_path: Path, sallyport: Sallyport) -> None:
    async with GatewayProcess.running(configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')):
        other = tmp_path / "other.toml"
        other.write_text(
            (tmp_path / "gateway.toml").read_text().replace('"plant"', '"barn"').replace("boiler", "kiln")
        )
        async with GatewayProcess.running(other):
            await until(lambda: len([*(tmp_path / "run").glob("*.sock")]) == 2)
            status, said = await sallyport("status")
            assert (status, said) == (
                2, "sallyport status: several gateways run here: say which with --gateway: barn, plant\n",
            )  # fmt: skip
            assert (await sallyport("status", "--gateway", "barn"))[1].startswith("WRONG: barn: ")
            assert (await sallyport("status", "--gateway", "mill"))[0] == 3


async def test_request_carries_what_is_wanted_and_an_answer_may_be_large(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "boiler") as boiler:
        async with GatewayProcess.running(configured(tmp_path, 'url = "mqtt://127.0.0.1:1"')) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "boiler"]))
            for each in range(30):
                values = {f"metric-{each}-{number:02}": number for number in range(30)}
                await boiler.say(json.dumps(values).encode() + b"\n")
            [place] = (tmp_path / "run").glob("*.sock")

            async def looked(**request: object) -> dict[str, list[dict[str, list[object]]]]:
                return await intercom.put(place, "overview", request)

            async with asyncio.timeout(30):
                while len((await looked())["devices"][0]["metrics"]) < 900:
                    await asyncio.sleep(0.05)
                while "history" not in str(told := await looked(devices=["boiler"], history=True))[:1000]:
                    await asyncio.sleep(0.2)
            assert len(told["devices"]) == 1
            assert len(json.dumps(told)) > 500_000
            with pytest.raises(Refused, match="mill: no such device; there are boiler"):
                await looked(devices=["mill"])
            with pytest.raises(Refused, match=r"historie: unknown key; did you mean .history.\?"):
                await looked(historie=True)
            await gateway.stop()
            with pytest.raises(Unreachable, match="the gateway does not answer"):
                await looked()
