"""A machine with USB adapters: /sys and /dev as the kernel and udev would show them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from serialx.platforms import serial_linux

from drivers import ports


@dataclass(frozen=True)
class Adapter:
    vid: str
    pid: str
    serial: str
    product: str = "FT232R USB UART"
    manufacturer: str = "FTDI"
    interface: int = 0


class Machine:
    """What serialx reads instead of this machine's own folders."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sys, self.dev = folder / "sys", folder / "dev"
        (self.sys / "class/tty").mkdir(parents=True)
        (self.sys / "bus/usb-serial").mkdir(parents=True)
        self.dev.mkdir()
        monkeypatch.setattr(serial_linux, "SYS_ROOT", self.sys)
        monkeypatch.setattr(serial_linux, "DEV_ROOT", self.dev)
        monkeypatch.setattr(ports, "DEV", self.dev)

    def plug_in(self, name: str, adapter: Adapter, terminal: Path | None = None) -> Path:
        """Its device file; a link to the terminal if one is given."""
        device = self.sys / f"devices/{name}-hub/1-1"
        port = device / f"1-1:1.{adapter.interface}" / name
        (port / "driver").mkdir(parents=True)
        (port / "subsystem").symlink_to(self.sys / "bus/usb-serial")
        (port / "port_number").write_text("0\n")
        (port.parent / "bInterfaceNumber").write_text(f"{adapter.interface:02x}\n")
        for file, content in {
            "idVendor": adapter.vid,
            "idProduct": adapter.pid,
            "bcdDevice": "0600",
            "serial": adapter.serial,
            "product": adapter.product,
            "manufacturer": adapter.manufacturer,
        }.items():
            (device / file).write_text(f"{content}\n")
        (self.sys / "class/tty" / name).mkdir()
        (self.sys / "class/tty" / name / "device").symlink_to(port)
        if terminal is None:
            (self.dev / name).touch()
            by_id = self.dev / "serial/by-id"
            by_id.mkdir(parents=True, exist_ok=True)
            link = f"usb-{adapter.manufacturer}_{adapter.serial}-if{adapter.interface:02}-port0"
            (by_id / link).symlink_to(self.dev / name)
        else:
            (self.dev / name).symlink_to(terminal)
        return self.dev / name
