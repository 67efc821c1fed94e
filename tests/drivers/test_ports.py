"""The machine's serial ports, and ports named by what is plugged in."""

import os
from pathlib import Path

import pytest

from drivers.driver import DriverOptions
from drivers.instrument import PtyInstrument
from drivers.port import SerialPort
from drivers.ports import Account, UsbIdentity, found, lasting, whole
from gateway import cli
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkBusy, LinkError
from tests.support.usb_tree import Adapter, Machine

METER = Adapter("0403", "6001", "A50285BI")
PUMP = Adapter("0403", "6001", "FT9XYZ")
BOARD = Adapter("303a", "1001", "34:85:18:7A:12:34", product="USB JTAG", manufacturer="Espressif")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("usb:0403:6001", UsbIdentity(0x0403, 0x6001)),
        ("usb:403:6001:A50285BI", UsbIdentity(0x0403, 0x6001, "A50285BI")),
        ("usb:0403:6010:FT1234:1", UsbIdentity(0x0403, 0x6010, "FT1234", 1)),
        ("usb:0403:6010::1", UsbIdentity(0x0403, 0x6010, "", 1)),
        ("usb:303a:1001:34:85:18:7A:12:34", UsbIdentity(0x303A, 0x1001, "34:85:18:7A:12:34")),
        ("usb:303a:1001:34:85:18:7A:12:34:0", UsbIdentity(0x303A, 0x1001, "34:85:18:7A:12:34", 0)),
    ],
)
def test_identity_is_read_and_written(written: str, identity: UsbIdentity) -> None:
    assert UsbIdentity.parse(written) == identity
    assert UsbIdentity.parse(str(identity)) == identity


def test_ports_are_found_with_their_identity_and_their_lasting_name(machine: Machine) -> None:
    machine.plug_in("ttyUSB1", PUMP)
    machine.plug_in("ttyUSB0", METER)
    meter, pump = found()
    assert meter.device == str(machine.dev / "ttyUSB0")
    assert meter.path == str(machine.dev / "serial/by-id/usb-FTDI_A50285BI-if00-port0")
    assert meter.usb == UsbIdentity(0x0403, 0x6001, "A50285BI", 0)
    assert meter.description == "FTDI FT232R USB UART"
    assert meter.openable()
    assert pump.usb == UsbIdentity(0x0403, 0x6001, "FT9XYZ", 0)


def test_identity_leads_to_the_one_port_that_has_it(machine: Machine) -> None:
    machine.plug_in("ttyUSB0", METER)
    machine.plug_in("ttyUSB1", PUMP)
    assert UsbIdentity.parse("usb:0403:6001:FT9XYZ").path() == found()[1].path


def test_identity_that_several_ports_have_is_an_error_that_names_them(machine: Machine) -> None:
    machine.plug_in("ttyUSB0", METER)
    machine.plug_in("ttyUSB1", PUMP)
    with pytest.raises(
        LinkError, match=r"2 ports are such; say which: usb:0403:6001:A50285BI:0, usb:"
    ) as caught:
        UsbIdentity.parse("usb:0403:6001").path()
    assert not isinstance(caught.value, LinkAbsent)


def test_identity_that_nobody_has_is_absent(machine: Machine) -> None:
    machine.plug_in("ttyUSB0", METER)
    with pytest.raises(LinkAbsent, match=r"^usb:0403:6001:NOBODY: not plugged in$"):
        UsbIdentity.parse("usb:0403:6001:NOBODY").path()


@pytest.mark.real_time
async def test_port_is_opened_by_its_identity_wherever_it_is_plugged_in(
    machine: Machine, tmp_path: Path
) -> None:
    options = DriverOptions(driver="", port="usb:303a:1001:34:85:18:7A:12:34")
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        with pytest.raises(LinkAbsent, match="not plugged in"):
            async with SerialPort.open(options, system_clock):
                pass
        device = machine.plug_in("ttyACM3", BOARD, terminal=instrument.path)
        async with SerialPort.open(options, system_clock) as port:
            await instrument.say(b"hello")
            assert (await port.read()).data == b"hello"
            with pytest.raises(LinkBusy, match=f"^{device}: in use by .*another device of this gateway"):
                async with SerialPort.open(options, system_clock):
                    pass


def test_command_lists_what_the_configuration_needs(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.plug_in("ttyUSB0", METER)
    assert cli.main(["ports"]) == 0
    device = machine.dev / "ttyUSB0"
    assert capsys.readouterr().out == (
        f"{device}  FTDI FT232R USB UART\n"
        f'    port = "{machine.dev}/serial/by-id/usb-FTDI_A50285BI-if00-port0"\n'
        '    or     "usb:0403:6001:A50285BI:0"\n'
        f"    belongs to group {device.group()}; you may open it\n"
    )


@pytest.mark.usefixtures("machine")
def test_command_says_what_to_do_when_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ports"]) == 0
    assert "no serial ports" in capsys.readouterr().out
    assert cli.main(["ports", "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_lasting_name_is_the_link_by_identity(machine: Machine) -> None:
    device = machine.plug_in("ttyUSB0", METER)
    [port] = found()
    assert "serial/by-id" in port.path
    assert lasting(str(device)) == lasting(port.path) == port.path
    assert lasting("tcp://meter:4001") == "tcp://meter:4001"
    assert lasting("/tmp/line") == "/tmp/line"


def test_account_is_that_of_whoever_runs_the_process() -> None:
    ours = Account.ours()
    assert Account.of_process(os.getpid()) == ours
    assert Account.of("root").uid == 0
    with pytest.raises(KeyError):
        Account.of("nobody-has-this-name")


def test_path_that_is_typed_in_some_folder_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line").touch()
    assert whole("./line") == whole("line") == str(tmp_path / "line")
    assert [whole(each) for each in ("usb:0403:6001", "tcp://meter:4001", "/dev/ttyUSB0")] == [
        "usb:0403:6001", "tcp://meter:4001", "/dev/ttyUSB0"
    ]  # fmt: skip
    assert whole("ttyUSB0") == "ttyUSB0"  # refused, with the advice to write /dev/ttyUSB0
