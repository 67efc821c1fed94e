"""An eHZ with a solar roof behind it: what its optical port pushes every two seconds."""

import math
import random
from collections.abc import Iterator

from drivers.checksum import crc16_x25

_SERVER_ID = bytes.fromhex("0901454d4800004fe2d1")
_PUBLIC_KEY = bytes(range(0x91, 0xC1))
_SECONDS_PER_FILE = 2
_WH_DECI, _W_DECI = -1, -1
_WH, _W = 30, 27
_SHORT = 15
_IMPORTING, _EXPORTING = 0x0182, 0x01A2


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one file each two seconds, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a simulated household, not a secret
    counted = 1_000_000 + seed
    imported, exported = 53_385_557.0, 8_120_443.0  # 0.1 Wh
    number = 0
    while True:
        sun = 2600 * max(math.sin(number / 9000), 0.0)
        power = 480 + 220 * math.sin(number / 171) + chance.gauss(0, 6) - sun
        energy = abs(power) * _SECONDS_PER_FILE / 360
        imported, exported = (imported + energy, exported) if power >= 0 else (imported, exported + energy)
        yield _file(number, counted, round(imported), round(exported), round(power * 10))
        number += 1
        counted += _SECONDS_PER_FILE


def _file(number: int, counted: int, imported: int, exported: int, power: int) -> bytes:
    values = [
        _entry("8181c78203ff", _octets(b"EMH")),
        _entry("0100000009ff", _octets(_SERVER_ID)),
        _entry(
            "0100010800ff",
            _signed(imported, 6),
            unit=_WH,
            scaler=_WH_DECI,
            status=_IMPORTING if power >= 0 else _EXPORTING,
        ),
        _entry("0100020800ff", _signed(exported, 6), unit=_WH, scaler=_WH_DECI),
        _entry("0100010801ff", _signed(imported, 6), unit=_WH, scaler=_WH_DECI),
        _entry("0100020801ff", _signed(exported, 6), unit=_WH, scaler=_WH_DECI),
        _entry("0100100700ff", _signed(power, 4), unit=_W, scaler=_W_DECI),
        _entry("8181c78205ff", _octets(_PUBLIC_KEY)),
    ]
    told_at = _list(_unsigned(1, 1), _unsigned(counted, 4))
    bodies = [
        (
            0x0101,
            _list(
                b"\x01", b"\x01", _octets(number.to_bytes(6, "big")), _octets(_SERVER_ID), b"\x01", b"\x01"
            ),
        ),
        (0x0701, _list(b"\x01", _octets(_SERVER_ID), b"\x01", told_at, _list(*values), b"\x01", b"\x01")),
        (0x0201, _list(b"\x01")),
    ]
    return transported(
        b"".join(message(3 * number + place, kind, content) for place, (kind, content) in enumerate(bodies))
    )


def transported(content: bytes) -> bytes:
    """Messages as a file on the line."""
    filling = -len(content) % 4
    escaped = content.replace(b"\x1b\x1b\x1b\x1b", 2 * b"\x1b\x1b\x1b\x1b")
    summed = (
        b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
        + escaped
        + bytes(filling)
        + b"\x1b\x1b\x1b\x1b\x1a"
        + bytes([filling])
    )
    return summed + crc16_x25(summed).to_bytes(2, "little")


def message(number: int, kind: int, content: bytes) -> bytes:
    """With its CRC and its end."""
    body = _list(_unsigned(kind, 2), content)
    summed = b"\x76" + _octets(number.to_bytes(4, "big")) + _unsigned(0, 1) + _unsigned(0, 1) + body
    return summed + b"\x63" + crc16_x25(summed).to_bytes(2, "little") + b"\x00"


def _entry(obis: str, value: bytes, *, unit: int = 0, scaler: int = 0, status: int = 0) -> bytes:
    return _list(
        _octets(bytes.fromhex(obis)),
        _unsigned(status, 2) if status else b"\x01",
        b"\x01",
        _unsigned(unit, 1) if unit else b"\x01",
        _signed(scaler, 1) if unit else b"\x01",
        value,
        b"\x01",
    )


def _list(*elements: bytes) -> bytes:
    return bytes([0x70 | len(elements)]) + b"".join(elements)


def _octets(content: bytes) -> bytes:
    """With a TL of two bytes from 15 bytes on."""
    if len(content) < _SHORT:
        return bytes([len(content) + 1]) + content
    length = len(content) + 2
    return bytes([0x80 | length >> 4, length & 0x0F]) + content


def _signed(number: int, width: int) -> bytes:
    return bytes([0x51 + width]) + number.to_bytes(width, "big", signed=True)


def _unsigned(number: int, width: int) -> bytes:
    return bytes([0x61 + width]) + number.to_bytes(width, "big")
