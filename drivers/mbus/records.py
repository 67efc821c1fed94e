"""The records of a telegram with variable data structure: DIF and VIF blocks, each with its data. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from drivers.driver import Names
from drivers.mbus.columns import UNNAMED, column
from drivers.mbus.numbers import octets, of_variable_length
from gateway.errors import FrameError
from gateway.model import Value

_EXTENDED = 0x80
_FILLER = 0x2F
_MANUFACTURER, _MORE = 0x0F, 0x1F
_MANUFACTURER_DATA = {"readable": "manufacturer_data", "protocol": UNNAMED}
_EXTENSIONS_AT_MOST = 10
_TEXT = 0x7C


class Record(NamedTuple):
    name: str
    value: Value | None
    """None: the meter sent none that can be used."""


class Records(NamedTuple):
    found: list[Record]
    more_follow: bool
    """The meter has more to tell in a next telegram."""


def parse(body: bytes, names: Names, *, high_byte_first: bool = False) -> Records:
    """All records of a telegram.

    Layout: (DIF DIFE* VIF VIFE* data)*; then perhaps 0F or 1F and what only the manufacturer knows.
        DIF   bits 0-3 data field, 4-5 function, 6 lowest bit of the storage number, 7 a DIFE follows
        DIFE  bits 0-3 storage number, 4-5 tariff, 6 subunit, 7 another DIFE follows; low bits come first
        VIF   bits 0-6 quantity and power of ten, 7 a VIFE follows
        0F    manufacturer's data to the end; 1F the same, and more in the next telegram; 2F filler
    Raises: FrameError: the records break off, or cannot be told apart.
    Source: EN 13757-3:2018, section 6.
    """
    found: list[Record] = []
    at = 0
    try:
        while at < len(body):
            dif = body[at]
            if dif == _FILLER:
                at += 1
                continue
            if dif in (_MANUFACTURER, _MORE):
                rest = octets(body[at + 1 :])
                if rest or names == "protocol":
                    found.append(Record(_MANUFACTURER_DATA[names], rest))
                return Records(found, dif == _MORE)
            dib_at = at
            at = _end_of_block(body, at)
            dib = body[dib_at:at]
            vib_at = at
            if body[at] & ~_EXTENDED == _TEXT:
                vib, text, at = _text_block(body, at)
            else:
                at = _end_of_block(body, at)
                vib, text = body[vib_at:at], None
            about = column(dib, vib, text, names)
            size, read = about.size, about.read
            if size is None:
                of_length = of_variable_length(body[at])
                if of_length is None:
                    raise FrameError("unknown length of data")
                at += 1
                size, read = of_length
            data = body[at : at + size]
            at += size
            if at > len(body):
                raise FrameError("cut record")
            found.append(Record(about.name, about.value(read(data[::-1] if high_byte_first else data))))
    except IndexError:
        raise FrameError("cut record") from None
    return Records(found, more_follow=False)


def _end_of_block(body: bytes, at: int) -> int:
    """Of a DIF with its DIFEs, or a VIF with its VIFEs."""
    start = at
    while body[at] & _EXTENDED:
        at += 1
    if at - start > _EXTENSIONS_AT_MOST:
        raise FrameError("too many extensions")
    return at + 1


def _text_block(body: bytes, at: int) -> tuple[bytes, bytes, int]:
    """A VIF whose unit is a text: VIF with VIFEs, the text, and where the data begins.

    Layout: 7C LL text, or FC LL text VIFE*; newer meters send FC VIFE* LL text.
    """
    extended = body[at] & _EXTENDED
    start, end = at + 2, at + 2 + body[at + 1]
    if not extended:
        return body[at : at + 1], body[start:end], end
    text = body[start:end]
    if text and end < len(body) and text.decode("latin-1").isprintable():
        vifes_end = _end_of_block(body, end)
        return body[at : at + 1] + body[end:vifes_end], text, vifes_end
    vifes_end = _end_of_block(body, at)
    start, end = vifes_end + 1, vifes_end + 1 + body[vifes_end]
    return body[at:vifes_end], body[start:end], end


def named(records: Iterable[Record], dropped: Counter[str]) -> dict[str, Value]:
    """The values by name; of a name that is repeated the second gets _2, also where the first has no value."""
    values: dict[str, Value] = {}
    taken: set[str] = set()
    repeated: dict[str, int] = {}
    for name, value in records:
        unique = name
        while unique in taken:
            repeated[name] = repeated.get(name, 1) + 1
            unique = f"{name}_{repeated[name]}"
        taken.add(unique)
        if value is None:
            dropped["no value"] += 1
        else:
            values[unique] = value
    return values
