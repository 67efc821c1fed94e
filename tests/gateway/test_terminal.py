"""What instruments and brokers say does not steer the terminal on which it is shown."""

import unicodedata
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from drivers.driver import LineSetting
from gateway.commands.decode import run as decode
from gateway.commands.listening import as_json_line, as_line
from gateway.commands.listing import table
from gateway.commands.sniff import Finding, section

STEERING = "\x1b[2J\x9b31m\x07\u202e\n"
SEEN = {STEERING: STEERING, "nested": 1.0}


def _message(topic: str, payload: Any) -> aiomqtt.Message:
    content = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return aiomqtt.Message(topic, content, qos=0, retain=False, mid=0, properties=None)


def _steers(text: str) -> bool:
    return any(unicodedata.category(each) in {"Cc", "Cf"} for each in text)


@pytest.mark.parametrize(
    "message",
    [
        _message(f"sallyport/g/{STEERING}", {"time": STEERING * 4, "values": SEEN}),
        _message(f"sallyport/g/{STEERING}/availability", {"state": STEERING}),
        _message(f"sallyport/g/{STEERING}/batch", [{"values": SEEN}]),
        _message("x", STEERING.encode()),
        _message("x", b"\xff\x1b"),
    ],
)
def test_tail_shows_no_character_that_a_terminal_obeys(message: aiomqtt.Message) -> None:
    assert not any(_steers(line) for line in as_line(message).split("\n"))
    assert not _steers(as_json_line(message))


def test_decode_shows_no_character_that_a_terminal_obeys(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    capture = tmp_path / "capture"
    capture.write_bytes(orjson.dumps(SEEN) + b"\n")
    assert decode("json", str(capture), []) == 0
    [line] = capsysbinary.readouterr().out.decode().splitlines()
    assert orjson.loads(line)["values"] == SEEN
    assert not _steers(line)


def test_columns_stand_below_each_other_whatever_is_written_in_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(("device", "state"), [("電力計", "online"), ("e\u0301lan", "stale"), ("boiler", "offline")])
    assert capsys.readouterr().out.splitlines() == [
        "device  state", "電力計  online", "e\u0301lan    stale", "boiler  offline",
    ]  # fmt: skip


def test_sniff_prints_a_table_into_which_an_instrument_cannot_write() -> None:
    found = Finding("json", LineSetting(9600), example={f"{STEERING}[mqtt]": STEERING})
    lines = section(found, "/dev/ttyNONE0").split("\n")
    assert not any(_steers(line) for line in lines)
    assert [line for line in lines if "mqtt" in line] == [lines[-1]]
    assert lines[-1].startswith("# ")
