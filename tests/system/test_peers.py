"""The peers that other tests believe: what they say is so."""

import asyncio
import os
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.account import Account
from tests.support.gateway_process import until
from tests.support.mosquitto import Mosquitto, program
from tests.support.plant import Plant
from tests.support.recorder import Heard, Recorder

pytestmark = pytest.mark.real_time


def _reading(seq: int, n: int, *, run: str = "a", device: str = "p0") -> Heard:
    payload = {"time": f"at {n}", "seq": seq, "run": run, "values": {"n": n}}
    return Heard(f"sallyport/test/{device}", orjson.dumps(payload))


def test_what_nobody_has_read_is_not_read(tmp_path: Path) -> None:
    with Plant.running(tmp_path, ports=1) as plant:
        [instrument] = plant.instruments
        with instrument.path.open("rb", buffering=0) as reader:
            for _ in range(100):
                instrument.say_next()
                assert not plant.look()
                line = reader.readline()
                while not line.endswith(b"\n"):
                    line += reader.readline()
                assert plant.look()
            instrument.say_next()
            assert not plant.look()
            instrument.write_off(90)
            assert plant.look() is False
    assert instrument.said == 101
    assert instrument.read == list(range(90))


async def test_instrument_that_nobody_reads_falls_silent_and_cuts_no_line(tmp_path: Path) -> None:
    with Plant.running(tmp_path, ports=2, rate=10_000) as plant:
        plant.talking = True
        talking = asyncio.create_task(plant.talk())
        await until(lambda: plant.said > 200)
        await asyncio.sleep(0.1)
        talking.cancel()
        for each in plant.instruments:
            assert 0 < each.said < 200
            file = os.open(each.path, os.O_RDONLY | os.O_NOCTTY)
            heard = os.read(file, 65536)
            os.close(file)
            assert [orjson.loads(line)["n"] for line in heard.splitlines()] == list(range(each.said))


async def test_plant_says_as_many_lines_as_it_is_asked_for(tmp_path: Path) -> None:
    with Plant.running(tmp_path, ports=4, rate=10_000) as plant:
        plant.talking = True
        await plant.talk(50)
        assert [each.said for each in plant.instruments] == [13, 13, 12, 12]


def test_recorder_has_all_that_a_killed_broker_had_acknowledged(tmp_path: Path) -> None:
    numbers: list[int] = []
    with Mosquitto.running(tmp_path) as broker, Recorder("numbers/#") as recorder:
        for life in range(5):
            recorder.listen(broker.host, broker.port)
            numbers.append(life)
            publish = [
                program("mosquitto_pub"),
                "-h",
                broker.host,
                "-p",
                str(broker.port),
                "-q",
                "1",
                "-t",
                "numbers/a/b",
            ]
            subprocess.run(
                [*publish, "-m", str(life)], check=True, timeout=30
            )  # returns when it is acknowledged
            broker.kill()
            broker.start()
        recorder.drain()
    assert recorder.heard == [Heard("numbers/a/b", str(life).encode()) for life in numbers]


def test_account_counts_a_repeat_once_and_remembers_the_order() -> None:
    account = Account(
        [_reading(1, 0), _reading(2, 1), _reading(1, 0), _reading(3, 2), _reading(1, 7, device="p1")]
    )
    account.take()
    assert account.repeats == 1
    assert account.numbers == {"p0": [0, 1, 2], "p1": [7]}
    assert (account.altered, account.disordered, account.unannounced) == ([], [], {})
    assert account.missing({"p0": range(4), "p1": [7], "p2": [1]}) == {"p0": [3], "p2": [1]}


def test_account_takes_batches_apart() -> None:
    batch = b"[" + b",".join(_reading(seq, seq).payload for seq in range(1, 4)) + b"]"
    account = Account(
        [Heard("sallyport/test/p0/batch", batch), Heard("sallyport/test/p0/availability", b"{}")]
    )
    assert account.take().numbers == {"p0": [1, 2, 3]}


def test_account_complains_of_a_seq_that_is_used_twice() -> None:
    assert Account([_reading(1, 0), _reading(1, 1)]).take().altered


def test_account_complains_of_a_reading_that_comes_late_or_under_two_seqs() -> None:
    assert Account([_reading(2, 1), _reading(1, 0)]).take().disordered
    assert Account([_reading(1, 0), _reading(2, 0)]).take().disordered


def test_account_complains_of_a_hole_unless_a_gap_was_announced() -> None:
    heard = [_reading(1, 0), _reading(4, 3)]
    account = Account(heard)
    assert account.take().unannounced == {"p0": [2, 3]}
    heard.append(Heard("sallyport/test/gaps", b'{"device":"p0","first":2,"last":3,"reason":"full"}'))
    assert account.take().unannounced == {}
