"""Adapters that were pulled out, as the kernel's log tells it."""

from pathlib import Path

import pytest

from drivers.plugging import KERNEL_LOG, Said, disconnects, kernel_log
from drivers.ports import FoundPort, UsbIdentity

BY_ID = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
METER = FoundPort("/dev/ttyUSB0", BY_ID, UsbIdentity(0x0403, 0x6001, "A50285BI", 0), "FTDI FT232R USB UART")
NAMELESS = FoundPort("/dev/ttyUSB1", "/dev/serial/by-path/1", UsbIdentity(0x1A86, 0x7523), "USB Serial")

RECORDS = """\
6,900,1000000,-;usb 1-1.4: new full-speed USB device number 5 using dwc_otg
 SUBSYSTEM=usb
 DEVICE=c189:4
6,901,1100000,-;usb 1-1.4: New USB device found, idVendor=0403, idProduct=6001, bcdDevice= 6.00
6,902,1100100,-;usb 1-1.4: New USB device strings: Mfr=1, Product=2, SerialNumber=3
6,903,1100200,-;usb 1-1.4: Product: FT232R USB UART
6,904,1100300,-;usb 1-1.4: Manufacturer: FTDI
6,905,1100400,-;usb 1-1.4: SerialNumber: A50285BI
6,906,1200000,-;usb 1-1.4: FTDI USB Serial Device converter now attached to ttyUSB0
6,907,1300000,-;usb 1-1.5: New USB device found, idVendor=1a86, idProduct=7523, bcdDevice= 2.64
6,908,1300100,-;usb 1-1.5: Product: USB Serial
6,909,1300200,-;usb 1-1.5: ch341-uart converter now attached to ttyUSB1
6,910,1400000,-;cdc_acm 1-1.6:1.0: ttyACM0: USB ACM device
4,911,50000000,-;usb 1-1.4: USB disconnect, device number 5
6,912,50000100,-;ftdi_sio ttyUSB0: FTDI USB Serial Device converter now disconnected from ttyUSB0
6,913,50000200,-;ftdi_sio 1-1.4:1.0: device disconnected
4,914,60000000,-;usb 1-1.5: USB disconnect, device number 6
4,915,70000000,-;usb 1-1.6: USB disconnect, device number 7
4,916,80000000,-;usb 1-1.9: USB disconnect, device number 8
"""


@pytest.fixture
def log(tmp_path: Path) -> list[Said]:
    (tmp_path / "kmsg").write_text(RECORDS)
    said = kernel_log(tmp_path / "kmsg")
    assert said is not None
    return said


def test_disconnect_is_told_with_what_the_adapter_was(log: list[Said]) -> None:
    meter, nameless, board, unknown = disconnects(log)
    assert (meter.at, meter.adapter.serial, *meter.adapter.ttys) == (50.0, "A50285BI", "ttyUSB0")
    assert (nameless.adapter.product, *nameless.adapter.ttys) == ("USB Serial", "ttyUSB1")
    assert board.adapter.ttys == {"ttyACM0"}
    assert unknown.adapter.vid == ""


@pytest.mark.parametrize(
    ("port", "found", "at"),
    [
        (BY_ID, METER, [50.0]),
        (BY_ID, None, [50.0]),
        ("usb:0403:6001", None, [50.0]),
        ("usb:0403:6001:OTHER", None, []),
        ("/dev/ttyUSB0", None, [50.0]),
        ("/dev/ttyUSB1", NAMELESS, [60.0]),
        ("/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0", None, [60.0]),
        ("/dev/ttyACM0", None, [70.0]),
        ("/dev/ttyS0", None, []),
    ],
)
def test_disconnects_of_a_port_are_found_whether_it_is_back_or_not(
    log: list[Said], port: str, found: FoundPort | None, at: list[float]
) -> None:
    assert [gone.at for gone in disconnects(log) if gone.adapter.was(port, found)] == at


def test_adapter_that_another_one_has_replaced_at_the_same_plug_is_not_blamed(log: list[Said]) -> None:
    later = [
        *log,
        Said(90.0, "usb 1-1.4: New USB device found, idVendor=10c4, idProduct=ea60, bcdDevice= 1.00"),
        Said(91.0, "usb 1-1.4: USB disconnect, device number 9"),
    ]
    assert [gone.at for gone in disconnects(later) if gone.adapter.was(BY_ID, METER)] == [50.0]


def journald_says(folder: Path, text: str) -> None:
    """To whoever asks with journalctl."""
    (folder / "text").write_text(text)
    (folder / "journalctl").write_text(f"#!/bin/sh\nexec /bin/cat {folder}/text\n")
    (folder / "journalctl").chmod(0o755)


def test_journald_is_asked_where_the_kernel_may_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kernel_log(tmp_path / "nothing") is None
    journald_says(tmp_path, "")  # as to users who may not read it
    assert kernel_log(tmp_path / "nothing") is None
    unprintable = '{"__MONOTONIC_TIMESTAMP": "1", "MESSAGE": [27, 91]}\n'
    gone = '{"__MONOTONIC_TIMESTAMP": "50000000", "MESSAGE": "usb 1-1: USB disconnect, device number 5"}\n'
    journald_says(tmp_path, unprintable + gone)
    assert kernel_log(tmp_path / "nothing") == [Said(50.0, "usb 1-1: USB disconnect, device number 5")]


def test_kernels_own_log_is_read_to_its_end() -> None:
    try:
        KERNEL_LOG.open("rb").close()
    except OSError:
        pytest.skip(f"{KERNEL_LOG} may not be read here")
    said = kernel_log()
    assert said
    assert [each.at for each in said] == sorted(each.at for each in said)
