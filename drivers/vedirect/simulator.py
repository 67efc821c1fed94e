"""A solar charger on a day with clouds: what a SmartSolar MPPT 100/30 prints, and answers in the hex protocol."""

import math
import random
from collections.abc import Iterator

from drivers.checksum import sum8_negated
from drivers.vedirect.codec import DONE, ERROR, GET, PING, SET, UNKNOWN, Blocks, HexFrame, hex_frame
from drivers.vedirect.registers import REGISTERS

_PRODUCT = 0xA056
_FIRMWARE = 0x4161
_SERIAL = "HQ2132ABCDE"
_DAY_S = 6 * 3600
_PEAK_W = 240.0
_NO_SUCH_REGISTER, _NOT_SUPPORTED, _PARAMETER_ERROR = 1, 2, 4
_PING, _PRODUCT_ID = "1", "4"
_MODE = 0x0200
_MODES = (b"\x01", b"\x04")


class SolarCharger:
    """Both of its sides: `telegram()` for each second, `answer()` for what it hears."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - simulated weather, not a secret
        self._second = 0
        self._yield_wh = 0.0
        self._ears = Blocks(readable=False)
        self._memory = {
            0x0100: (_PRODUCT << 8 | 0xFF000000).to_bytes(4, "little"),
            0x010A: _SERIAL.encode("ascii").ljust(16, b"\x00"),
            0x010B: b"SmartSolar Charger MPPT 100/30\x00",
            _MODE: b"\x01",
            0x0201: b"\x03",
            0x2001: (1440).to_bytes(2, "little"),
            0x2015: (300).to_bytes(2, "little"),
            0xEDAB: b"\x04",
            0xEDBB: (3350).to_bytes(2, "little"),
            0xEDBC: (12_000).to_bytes(4, "little"),
            0xEDD5: (1320).to_bytes(2, "little"),
            0xEDDB: (2920).to_bytes(2, "little"),
            0xEDF0: (300).to_bytes(2, "little"),
            0xEDF6: (1380).to_bytes(2, "little"),
            0xEDF7: (1440).to_bytes(2, "little"),
        }

    def telegram(self) -> bytes:
        sun = max(math.sin(self._second % _DAY_S / _DAY_S * math.pi), 0.02)
        clouds = 0.75 + 0.2 * math.sin(self._second / 173) + self._chance.gauss(0, 0.01)
        power = _PEAK_W * sun * clouds
        charging = self._memory[_MODE] == b"\x01"
        voltage = 12.6 + 1.4 * sun + self._chance.gauss(0, 0.01) if charging else 12.6
        current = power * 0.96 / voltage if charging else 0.0
        panel = 33.5 + self._chance.gauss(0, 0.2) if charging else 41.2
        self._yield_wh += power / 3600 if charging else 0
        self._second += 1
        self._memory[0xEDBB] = round(panel * 100).to_bytes(2, "little")
        self._memory[0xEDBC] = round(power * 100 * charging).to_bytes(4, "little")
        self._memory[0xEDD5] = round(voltage * 100).to_bytes(2, "little")
        self._memory[0x0201] = b"\x03" if charging else b"\x00"
        return block(
            {
                "PID": f"0x{_PRODUCT:X}",
                "FW": f"{_FIRMWARE & 0x3FFF:x}",
                "SER#": _SERIAL,
                "V": f"{round(voltage * 100) * 10}",
                "I": f"{round(current * 100) * 10}",
                "VPV": f"{round(panel * 100) * 10}",
                "PPV": f"{round(power) if charging else 0}",
                "CS": "3" if charging else "0",
                "MPPT": "2" if charging else "0",
                "OR": "0x00000000" if charging else "0x00000004",
                "ERR": "0",
                "LOAD": "OFF" if self._memory[0xEDAB] == b"\x00" else "ON",
                "IL": "800",
                "H19": f"{13527 + round(self._yield_wh / 10)}",
                "H20": f"{round(self._yield_wh / 10)}",
                "H21": f"{round(_PEAK_W)}",
                "H22": "118",
                "H23": "231",
                "HSDS": "298",
            }
        )

    def answer(self, heard: bytes) -> bytes:
        damaged = self._ears.rejected.total()
        answers = [self._reply(frame) for frame in self._ears.feed(heard) if isinstance(frame, HexFrame)]
        if self._ears.rejected.total() > damaged:
            answers.append(hex_frame(ERROR, b"\xaa\xaa"))
        return b"".join(answers)

    def _reply(self, asked: HexFrame) -> bytes:
        if asked.command == _PING:
            return hex_frame(PING, _FIRMWARE.to_bytes(2, "little"))
        if asked.command == _PRODUCT_ID:
            return hex_frame(DONE, _PRODUCT.to_bytes(2, "little"))
        if asked.command not in (GET, SET) or asked.register is None:
            return hex_frame(UNKNOWN, bytes([int(asked.command, 16)]))
        return self._register(asked.command, asked.register, asked.data)

    def _register(self, command: str, register: int, data: bytes) -> bytes:
        number = register.to_bytes(2, "little")
        stored = self._memory.get(register)
        if stored is None:
            return hex_frame(command, number + bytes([_NO_SUCH_REGISTER]))
        if command == GET:
            return hex_frame(GET, number + b"\x00" + stored)
        if not REGISTERS[register].width:
            return hex_frame(SET, number + bytes([_NOT_SUPPORTED]) + data)
        if len(data) != len(stored) or (register == _MODE and data not in _MODES):
            return hex_frame(SET, number + bytes([_PARAMETER_ERROR]) + data)
        self._memory[register] = data
        return hex_frame(SET, number + b"\x00" + data)


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one block each second, the same for the same seed."""
    charger = SolarCharger(seed)
    while True:
        yield charger.telegram()


def block(fields: dict[str, str]) -> bytes:
    """A text block with its checksum."""
    text = b"".join(f"\r\n{label}\t{value}".encode("ascii") for label, value in fields.items())
    text += b"\r\nChecksum\t"
    return text + bytes([sum8_negated(text)])
