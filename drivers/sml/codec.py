"""SML as meters push it: files out of a stream, values out of their lists. Pure: bytes in, frames out."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from drivers.driver import Frame
from drivers.obis import Values, quantity
from drivers.sml.messages import GET_LIST_RESPONSE, Element, Entry, Narrow, entries, messages, seconds
from drivers.sml.names import NAMES, UNITS
from drivers.sml.transport import Files
from gateway.errors import FrameError
from gateway.model import Value

_POWER = bytes((1, 0, 16, 7, 0, 255))
_METER_IDS = frozenset({bytes((1, 0, 0, 0, 9, 255)), bytes((1, 0, 96, 1, 0, 255))})
_DZG = b"\x0a\x01DZG\x00"
"""What the id of such a meter begins with."""

_ID_BYTES = 10
_64_BITS = range(-(1 << 63), 1 << 64)
_LARGEST_SCALER = 127


class Meter:
    """Decoder of SML: each file with the right sum is a frame `SML`, its values are those of all its lists.

    `dzg_sign`: with readable names the power of a DZG meter is taken for what the status word says.
    """

    def __init__(self, *, readable: bool, dzg_sign: bool) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._files = Files(self.rejected)
        self._read = self._readable if readable else self._raw
        self._text = _readable_text if readable else _raw_text
        self._dzg_sign = dzg_sign

    def feed(self, data: bytes) -> Iterator[Frame]:
        for offset, length, file in self._files.feed(data):
            values = Values()
            understood = 0
            try:
                for message in messages(file):
                    understood += 1
                    if not message.sum_is_right:
                        self.dropped["message checksum"] += 1  # the file's is right, and covers it
                    if message.kind == GET_LIST_RESPONSE:
                        self._read(message.content, values)
            except FrameError as error:
                if not understood:
                    self.rejected[str(error)] += 1
                    continue
                self.dropped["unreadable message"] += 1
            yield Frame(offset, length, "SML", values)

    def finish(self) -> Iterator[Frame]:
        self._files.finish()
        return iter(())

    def _raw(self, response: Element, values: Values) -> None:
        for entry in entries(response):
            if len(entry.obis) == 6 and (value := self._value(entry)) is not None:  # noqa: PLR2004 - A to F
                values.add(_code(entry.obis), value)

    def _readable(self, response: Element, values: Values) -> None:
        told = [entry for entry in entries(response) if len(entry.obis) == 6]  # noqa: PLR2004 - A to F
        for entry in told:
            meant = _meant(entry, told) if self._dzg_sign else entry
            if (value := self._value(meant)) is None:
                continue
            name, factor = _meaning(entry.obis, entry.unit)
            if isinstance(entry.value, bytes):
                if entry.obis in _METER_IDS:
                    value = _meter_id(entry.value) or value
            elif factor != 1 and not isinstance(value, bool | str):
                value = round(value * factor, 9)
            values.add(name, value)
        if (status := next((entry.status for entry in told if entry.status is not None), None)) is not None:
            values.setdefault("status", status)
        if (counted := seconds(response)) is not None:
            values.setdefault("meter_seconds", counted)

    def _value(self, entry: Entry) -> Value | None:
        """None for one that the meter left out, and for what is no value."""
        value = entry.value
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return _scaled(value, entry.scaler)
        if not value:
            return None
        if isinstance(value, bytes):
            return self._text(value)
        match value:
            case [1, time] if (told := _time(time)) is not None:
                return told
        self.dropped["unreadable value"] += 1
        return None


def _scaled(value: int, scaler: int) -> float:
    if scaler < 0:
        return float(value / 10**-scaler)
    scaled = int(value) * 10 ** min(scaler, _LARGEST_SCALER)
    return scaled if scaled in _64_BITS else float(scaled)


def _raw_text(value: bytes) -> str:
    """Letters and digits as they are, anything else in hex; bytes that are no UTF-8 do not count."""
    text = value.decode("utf-8", "ignore")
    return text if text.isalnum() else value.hex()


def _readable_text(value: bytes) -> str:
    """What can be printed as it is, anything else in hex."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else value.hex()


def _time(time: Element) -> Value | None:
    """Layout: 1 and a counter of seconds; 2 and seconds since 1970; 3 and a list of these with two offsets."""
    match time:
        case [1, int(counted)]:
            return int(counted)
        case [2, int(at)] | [3, [int(at), *_]] if 0 <= at < 1 << 32:
            return datetime.fromtimestamp(at, UTC).isoformat()
        case _:
            return None


def _meter_id(value: bytes) -> str | None:
    """As DIN 43863-5 writes it and as it stands on the meter: 09 01 45 4D 48 00 00 41 F0 45 is 1EMH0004321349.

    None for what is not built so.
    """
    if len(value) != _ID_BYTES or value[0] not in (9, 10) or not value[2:5].isalnum():
        return None
    number = int.from_bytes(value[6:], "big")
    return f"{value[1]:X}{value[2:5].decode('ascii')}{value[5]:02X}{number:08}"


def _meant(entry: Entry, told: list[Entry]) -> Entry:
    """A DZG DVS74 sends a positive power in as few bytes as fit without a sign, and calls them signed.

    Its status word says that energy is imported (bit 11 clear) while there is a load (bit 8 set); the other bits
    are those that are fixed in it.
    Source: DZG, manual of the DVS74, "status word".
    """
    if entry.obis != _POWER or not isinstance(entry.value, Narrow):
        return entry
    is_dzg = any(isinstance(other.value, bytes) and other.value.startswith(_DZG) for other in told)
    if is_dzg and any((other.status or 0) & 0xFFE009FF == 0x104 for other in told):  # noqa: PLR2004 - as told
        return entry._replace(value=int(entry.value) + (1 << 8 * entry.value.width))
    return entry


@lru_cache(maxsize=1024)
def _meaning(obis: bytes, unit: int | None) -> tuple[str, float]:
    """The readable name, and what makes the metric's unit of the meter's."""
    code = _code(obis)
    if code in NAMES:
        return NAMES[code], 1.0
    meaning = quantity(code, UNITS.get(unit or 0))
    return meaning.name, meaning.factor


@lru_cache(maxsize=1024)
def _code(obis: bytes) -> str:
    a, b, c, d, e, f = obis
    code = f"{a}-{b}:{c}.{d}.{e}"
    return code if f == 255 else f"{code}*{f}"  # noqa: PLR2004 - "not used"
