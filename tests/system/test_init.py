"""`sallyport init`: a configuration to begin with, that loads as it is."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

import drivers
from drivers.driver import LineSetting
from drivers.instrument import PtyInstrument
from drivers.ports import FoundPort
from gateway import cli, config
from gateway.commands.ending import EXIT_USAGE
from gateway.commands.init import document
from gateway.commands.simulate import play
from gateway.commands.sniff import Finding
from tests.support.stranger import stranger
from tests.support.usb_tree import Adapter, Machine

METER = Adapter("0403", "6001", "A50285BI")
PUMP = Adapter("0403", "6001", "FT9XYZ", product="evil\n[mqtt]\nurl = 1")
CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_first_run_is_what_a_machine_without_ports_gets() -> None:
    assert document([], {}) == (CONFIG / "first-run.toml").read_text()


def test_each_port_is_offered_as_a_table_that_is_good_once_its_comment_signs_are_gone(
    machine: Machine, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.plug_in("ttyUSB0", METER)
    machine.plug_in("ttyUSB1", PUMP)
    assert cli.main(["init", str(file)]) == 0
    assert config.load(file).devices == {}
    text = file.read_text()
    assert f"# {machine.dev}/ttyUSB0 when this was written: FTDI FT232R USB UART\n" in text
    tables = text.partition("# " + str(machine.dev))[2]
    file.write_text(tables.replace("\n#", "\n").replace(str(machine.dev) + "/ttyUSB1 when", "# when"))
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "when this" not in line))
    loaded = config.load(file)
    assert loaded.devices["port1"].port == f"{machine.dev}/serial/by-id/usb-FTDI_A50285BI-if00-port0"
    assert [*loaded.devices] == ["port1", "port2"]
    said = capsys.readouterr().err
    assert "2 ports found\n" in said
    assert f"sallyport init {file} --force --sniff" in said


@pytest.mark.usefixtures("machine")
def test_file_that_somebody_has_written_is_left_alone_without_force(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("# mine\n")
    assert cli.main(["init", str(file)]) == EXIT_USAGE
    assert "--force writes over it" in capsys.readouterr().err
    assert file.read_text() == "# mine\n"
    assert cli.main(["init", str(file), "--force"]) == 0
    assert file.read_text() == document([], {})


def test_file_that_was_installed_and_that_nobody_has_changed_is_replaced(
    machine: Machine, file: Path
) -> None:
    file.write_text((CONFIG / "first-run.toml").read_text())
    machine.plug_in("ttyUSB0", METER)
    assert cli.main(["init", str(file)]) == 0
    assert "A50285BI" in file.read_text()


@pytest.mark.usefixtures("machine")
def test_nobody_but_owner_and_group_reads_it_whatever_it_was_before(file: Path) -> None:
    before = os.umask(0)
    try:
        assert cli.main(["init", str(file)]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o604)
    assert cli.main(["init", str(file), "--force"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("machine")
def test_as_root_it_is_for_the_group_of_its_folder(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    folder = tmp_path / "sallyport"
    folder.mkdir()
    os.chown(folder, 0, 65534)
    assert cli.main(["init", str(folder / "gateway.toml")]) == 0
    assert (folder / "gateway.toml").stat().st_gid == 65534
    os.chown(folder / "gateway.toml", 65534, 0)
    assert cli.main(["init", str(folder / "gateway.toml"), "--force"]) == 0
    kept = (folder / "gateway.toml").stat()
    assert (kept.st_uid, kept.st_gid) == (65534, 0)


def test_what_an_instrument_says_of_itself_does_not_get_out_of_its_comment(
    tmp_path: Path, file: Path
) -> None:
    port = FoundPort("/dev/ttyUSB0", str(tmp_path), None, "evil\n[mqtt]")
    finding = Finding("json", LineSetting(9600), example={"evil\n[journal]\nx": "\n[rules]"})
    file.write_text(document([port], {port.path: finding}))
    assert config.load(file).devices.keys() == {"json"}


@pytest.mark.usefixtures("machine")
def test_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "-"]) == 0
    out, said = capsys.readouterr()
    assert out == document([], {})
    assert "plug an instrument in" in said


@pytest.mark.usefixtures("machine")
def test_what_stands_in_the_way_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "none/gateway.toml")]) == EXIT_USAGE
    assert f"sudo mkdir {tmp_path}/none" in capsys.readouterr().err
    assert cli.main(["init", "-", "--ask"]) == EXIT_USAGE
    assert cli.main(["init", "-", "--sniff", "--wait", "soon"]) == EXIT_USAGE


def test_folder_that_may_not_be_written_is_told_to_a_stranger() -> None:
    done = stranger("init", "/etc/sallyport-nobodys.toml")
    assert done.returncode == EXIT_USAGE
    assert "/etc/sallyport-nobodys.toml: Permission denied: use sudo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.real_time
async def test_recognised_instruments_are_read_by_the_file_as_it_is(
    machine: Machine, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation = drivers.find("nmea0183").simulation
    assert simulation is not None
    with (
        PtyInstrument.plugged_in(tmp_path / "gps") as gps,
        PtyInstrument.plugged_in(tmp_path / "second") as second,
        PtyInstrument.plugged_in(tmp_path / "mute") as mute,
    ):
        machine.plug_in("ttyUSB0", METER, terminal=gps.path)
        machine.plug_in("ttyUSB1", PUMP, terminal=second.path)
        machine.plug_in("ttyUSB2", Adapter("1a86", "7523", ""), terminal=mute.path)
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(play(each, simulation)) for each in (gps, second)]
            status = await asyncio.to_thread(cli.main, ["init", str(file), "--sniff", "--wait", "3s"])
            for each in playing:
                each.cancel()
    assert status == 0
    loaded = config.load(file)
    assert {name: device.driver for name, device in loaded.devices.items()} == {
        "nmea0183": "nmea0183", "nmea0183-2": "nmea0183"
    }  # fmt: skip
    assert "#[devices.port3]" in file.read_text()
    said = capsys.readouterr().err
    assert "3 ports found, 2 recognised: nmea0183, nmea0183\n" in said
    assert f"{machine.dev}/ttyUSB2: nothing is said" in said
