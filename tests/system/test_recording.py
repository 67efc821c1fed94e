"""From a port into a file and back: record, decode, replay, simulate."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import drivers
from drivers.driver import DriverOptions
from drivers.instrument import PtyInstrument
from drivers.json.simulator import telegrams
from drivers.port import SerialPort
from drivers.recording import Recording
from gateway.clock import system_clock
from tests.support.forked import Forked, run_sallyport

PATIENCE_S = 30

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def started(*arguments: str | Path) -> AsyncIterator[Forked]:
    async with Forked.running(*arguments) as process, asyncio.timeout(PATIENCE_S):
        yield process


async def grown(file: Path, size: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not file.exists() or file.stat().st_size < size:
            await asyncio.sleep(0.01)


async def recorded(folder: Path, *said: bytes) -> Path:
    """A recording of these, each said when the one before is in the file."""
    file = folder / "line.recording"
    with PtyInstrument.plugged_in(folder / "line") as instrument:
        async with started("record", instrument.path, file) as process:
            await grown(file, 1)
            for data in said:
                before = file.stat().st_size
                await instrument.say(data)
                await grown(file, before + 2 * len(data))
            process.send_signal(signal.SIGINT)
            _, told = await process.communicate()
    assert process.returncode == 0
    assert f"{sum(map(len, said))} bytes from {folder / 'line'}; stopped" in told.decode()
    return file


async def test_what_was_recorded_is_decoded_as_if_it_were_raw(tmp_path: Path) -> None:
    file = await recorded(tmp_path, b'{"a": 1}\n{"a"', b": 2}\n", b"garbage\n")
    recording = Recording.read(file)
    assert recording is not None
    assert b"".join(piece.data for piece in recording.pieces) == b'{"a": 1}\n{"a": 2}\ngarbage\n'
    assert [piece.at for piece in recording.pieces] == sorted(piece.at for piece in recording.pieces)
    assert recording.about["baudrate"] == 9600
    decoded = run_sallyport("decode", "json", file)
    assert [json.loads(line)["values"] for line in decoded.stdout.splitlines()] == [{"a": 1}, {"a": 2}]
    assert decoded.stderr == "frames=2 rejected=1 bytes=26\n"


async def test_recording_that_was_cut_off_is_good_up_to_there(tmp_path: Path) -> None:
    file = await recorded(tmp_path, b'{"a": 1}\n', b'{"a": 2}\n')
    os.truncate(file, file.stat().st_size - 5)
    decoded = run_sallyport("decode", "json", file)
    assert decoded.stderr == "frames=1 rejected=0 bytes=9\n"


async def test_damaged_line_is_named(tmp_path: Path) -> None:
    file = await recorded(tmp_path, b'{"a": 1}\n', b'{"a": 2}\n')
    file.write_bytes(file.read_bytes().replace(b'"rx":"7b', b'"rx":"7', 1))
    refused = run_sallyport("replay", file, "--driver", "json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "line 2 of the recording is damaged" in refused.stderr


async def test_recording_ends_at_its_size(tmp_path: Path) -> None:
    file = tmp_path / "line.recording"
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with started("record", instrument.path, file, "--max-size", "2KB") as process:
            await grown(file, 1)
            await instrument.say(bytes(1000))
            _, told = await process.communicate()
    assert process.returncode == 0
    assert "the file has reached 2kB" in told.decode()
    assert file.stat().st_size < 3000


async def test_recording_ends_with_the_port(tmp_path: Path) -> None:
    file = tmp_path / "line.recording"
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with started("record", instrument.path, file) as process:
            await grown(file, 1)
            instrument.unplug()
            _, told = await process.communicate()
    assert process.returncode == 0
    assert "unplugged or hung up" in told.decode()


def test_recording_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("precious")
    refused = run_sallyport("record", "/dev/null", file)
    assert refused.returncode == 2
    assert "is not written over" in refused.stderr
    assert file.read_text() == "precious"


def test_port_that_cannot_be_opened_leaves_no_file(tmp_path: Path) -> None:
    refused = run_sallyport("record", tmp_path / "nothing", tmp_path / "file")
    assert refused.returncode == 1
    assert "no such device" in refused.stderr
    assert not (tmp_path / "file").exists()


async def test_replay_through_a_driver_tells_when_each_reading_came(tmp_path: Path) -> None:
    file = await recorded(tmp_path, b'{"a": 1}\n', b'{"a": 2}\n')
    recording = Recording.read(file)
    assert recording is not None
    replayed = run_sallyport("replay", file, "--driver", "json", "--speed", "1000")
    assert [json.loads(line) for line in replayed.stdout.splitlines()] == [
        {"at": piece.at, "values": {"a": value}} for value, piece in enumerate(recording.pieces, 1)
    ]


def test_replay_goes_through_the_filters_in_the_recordings_own_time(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[devices.board]\ndriver = "json"\nport = "/dev/ttyUSB0"\nfilters = [{ throttle = "10s" }, { round = 0 }]\n'
    )
    file = tmp_path / "line.recording"
    said = [(0.5, 1.2), (4, 2.2), (11, 3.2), (12, 4.2), (22, 5.2)]
    pieces = [{"at": at, "rx": f'{{"a":{value}}}\n'.encode().hex()} for at, value in said]
    file.write_text(
        "".join(f"{json.dumps(line)}\n" for line in [{"recording": 1}, *pieces]).replace(": ", ":")
    )
    replayed = run_sallyport("replay", file, "--device", config)
    assert [json.loads(line) for line in replayed.stdout.splitlines()] == [
        {"at": 0.5, "values": {"a": 1}},
        {"at": 11.0, "values": {"a": 3}},
        {"at": 22.0, "values": {"a": 5}},
    ]
    assert replayed.stderr == "frames=5 rejected=0 seconds=22.000\n"


async def test_replay_onto_a_terminal_is_read_as_the_instrument_was(tmp_path: Path) -> None:
    said = b"".join(line for line, _ in zip(telegrams(), range(20), strict=False))
    raw = tmp_path / "raw"
    raw.write_bytes(said)
    async with started("replay", raw, "--pty", tmp_path / "line", "--speed", "max") as process:
        assert process.stderr is not None
        await process.stderr.readline()
        options = DriverOptions(driver="json", port=str(tmp_path / "line"))
        async with SerialPort.open(options, system_clock) as port:
            heard = b""
            while len(heard) < len(said):
                heard += (await port.read()).data
        await process.wait()
    assert heard == said
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--driver", "json", "--speed", "fast"], 'must be "max" or a number above 0'),
        (["--driver", "jsno"], "no driver 'jsno'"),
        ([], "say where to"),
        (["--driver", "json", "--pty", "line"], "say where to"),
        (["--device", "gateway.toml", "--pty", "line"], "say where to"),
        (["--option", "max_depth=1", "--pty", "line"], "say where to"),
    ],
)
def test_replay_says_what_it_needs(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    (tmp_path / "raw").write_bytes(b"{}\n")
    refused = run_sallyport("replay", tmp_path / "raw", *arguments)
    assert refused.returncode == 2
    assert complaint in refused.stderr


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
async def test_simulated_instrument_is_read_with_the_section_that_is_printed(
    tmp_path: Path, name: str
) -> None:
    async with started("simulate", name, tmp_path / "line") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stderr.readline() == b"Ctrl-C unplugs it.\n"  # after the section
        section = await process.stdout.read(64 * 1024)
        assert f'port = "{tmp_path / "line"}"'.encode() in section
        file = tmp_path / "gateway.toml"
        file.write_bytes(section)
        checked = await asyncio.to_thread(run_sallyport, "check", "--connect", file)
        assert f"{tmp_path / 'line'} opened" in checked.stdout
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0
    assert not (tmp_path / "line").exists()
