"""Frames of sensors for dust and air out of a stream of bytes. Pure: bytes in, frames out."""

from collections import Counter
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from drivers import mhz19
from drivers.driver import Frame, Names
from drivers.framing import Headed, Kind
from drivers.pms import layouts
from drivers.pms.layouts import Layout

_three_words = Struct(">3H").unpack_from
_four_words = Struct(">4H").unpack_from


def _plantower_fault(frame: bytes) -> str:
    return "" if sum(frame[:-2]) == frame[-2] << 8 | frame[-1] else "checksum"


def _nova_fault(frame: bytes) -> str:
    if frame[9] != 0xAB:  # noqa: PLR2004 - how a frame ends
        return "tail"
    return "" if sum(frame[2:8]) & 0xFF == frame[8] else "checksum"


def _honeywell_fault(frame: bytes) -> str:
    return "checksum" if sum(frame) & 0xFF else ""


def _mcu680_fault(frame: bytes) -> str:
    return "" if sum(frame[:-1]) & 0xFF == frame[-1] else "checksum"


class Family(NamedTuple):
    """Frames with the same header."""

    kind: Kind
    payload: slice
    """All zero while the sensor warms up."""
    layout: Layout | None
    """None: the frame itself must tell."""


PMS_20, PMS_28, PMS_36, PMS_ANSWER = b"BM\x00\x14", b"BM\x00\x1c", b"BM\x00\x24", b"BM\x00\x04"
NOVA_SDS01X, NOVA_SDS198, NOVA_ANSWER = b"\xaa\xc0", b"\xaa\xcf", b"\xaa\xc5"
HPMA_S0, HPMA_C0, HPMA_YES, HPMA_NO = b"\x40\x05\x04", b"\x40\x0d\x04", b"\xa5\xa5", b"\x96\x96"
MCU680 = b"ZZ\x3f\x0f"
WINSEN = mhz19.codec.HEADER

_PLANTOWER, _NOVA, _HONEYWELL = slice(4, -2), slice(2, -2), slice(3, -1)

FAMILIES: Mapping[bytes, Family] = {
    PMS_20: Family(Kind(24, _plantower_fault), _PLANTOWER, layouts.PMS3003),
    PMS_28: Family(Kind(32, _plantower_fault), _PLANTOWER, None),
    PMS_36: Family(Kind(40, _plantower_fault), _PLANTOWER, layouts.PMS5003ST),
    PMS_ANSWER: Family(Kind(8, _plantower_fault), slice(0), layouts.NOTHING),
    NOVA_SDS01X: Family(Kind(10, _nova_fault), _NOVA, layouts.SDS01X),
    NOVA_SDS198: Family(Kind(10, _nova_fault), _NOVA, layouts.SDS198),
    NOVA_ANSWER: Family(Kind(10, _nova_fault), slice(0), layouts.NOTHING),
    HPMA_S0: Family(Kind(8, _honeywell_fault), _HONEYWELL, layouts.HPMA115S0),
    HPMA_C0: Family(Kind(16, _honeywell_fault), _HONEYWELL, layouts.HPMA115C0),
    MCU680: Family(Kind(20, _mcu680_fault), slice(4, -1), layouts.MCU680),
    WINSEN: Family(Kind(mhz19.codec.LENGTH, mhz19.codec.fault), slice(2, -1), None),
}
"""By header."""

_ACKNOWLEDGEMENT = Family(Kind(2, lambda _: ""), slice(0), layouts.NOTHING)


class Model(NamedTuple):
    families: Mapping[bytes, Family]
    wake: bytes = b""
    """What makes it measure and talk by itself; empty: nothing is known that does."""


def _like(header: bytes, layout: Layout) -> dict[bytes, Family]:
    return {header: FAMILIES[header]._replace(layout=layout)}


def _plantower(header: bytes, layout: Layout) -> Model:
    wake = bytes.fromhex("42 4D E4 00 01 01 74  42 4D E1 00 01 01 71")
    return Model({**_like(header, layout), PMS_ANSWER: FAMILIES[PMS_ANSWER]}, wake)


def _nova(header: bytes) -> Model:
    wake = bytes.fromhex(
        "AA B4 06 01 01 00 00 00 00 00 00 00 00 00 00 FF FF 06 AB"
        "AA B4 02 01 00 00 00 00 00 00 00 00 00 00 00 FF FF 01 AB"
    )
    return Model({each: FAMILIES[each] for each in (header, NOVA_ANSWER)}, wake)


def _honeywell(families: Mapping[bytes, Family]) -> Model:
    # Two bytes are too little to know an answer by, unless it is known who speaks.
    answers = {HPMA_YES: _ACKNOWLEDGEMENT, HPMA_NO: _ACKNOWLEDGEMENT}
    return Model({**families, **answers}, bytes.fromhex("68 01 01 96  68 01 40 57"))


_PMSX003 = _plantower(PMS_28, layouts.PMSX003)
_SDS01X = _nova(NOVA_SDS01X)

MODELS: Mapping[str, Model] = {
    "auto": Model(FAMILIES),
    "pms1003": _PMSX003,
    "pms3003": Model(_like(PMS_20, layouts.PMS3003)),
    "pms5003": _PMSX003,
    "pms5003s": _plantower(PMS_28, layouts.PMS5003S),
    "pms5003t": _plantower(PMS_28, layouts.PMS5003T),
    "pms5003st": _plantower(PMS_36, layouts.PMS5003ST),
    "pms7003": _PMSX003,
    "pmsa003": _PMSX003,
    "sds011": _SDS01X,
    "sds018": _SDS01X,
    "sds021": _SDS01X,
    "sds198": _nova(NOVA_SDS198),
    "hpma115s0": _honeywell({HPMA_S0: FAMILIES[HPMA_S0], **_like(PMS_28, layouts.HPMA115S0_BY_ITSELF)}),
    "hpma115c0": _honeywell({HPMA_C0: FAMILIES[HPMA_C0]}),
    "mcu680": Model({MCU680: FAMILIES[MCU680]}, bytes.fromhex("A5 56 02 FD")),
    "zh03b": Model(
        {**_like(WINSEN, layouts.ZH0XX), **_like(PMS_20, layouts.ZH0XX_BY_ITSELF)},
        bytes.fromhex("FF 01 A7 00 00 00 00 00 58  FF 01 78 40 00 00 00 00 47"),
    ),
}


class Telegrams:
    """Decoder of sensors for dust and air; the id is PyPMS's name for the sensor.

    A frame of zeros alone comes from a sensor that warms up; it is dropped.
    """

    def __init__(self, *, names: Names, model: str = "auto") -> None:
        families = MODELS[model].families
        self._names = names
        self._families = families
        self._frames = Headed({header: family.kind for header, family in families.items()})
        self._with_formaldehyde = False
        self.dropped: Counter[str] = Counter()

    @property
    def rejected(self) -> Counter[str]:
        return self._frames.rejected

    def feed(self, data: bytes) -> list[Frame]:
        return self._decoded(self._frames.feed(data))

    def finish(self) -> list[Frame]:
        return self._decoded(self._frames.finish())

    def _decoded(self, found: list[tuple[int, bytes, bytes]]) -> list[Frame]:
        frames = []
        readable = self._names == "readable"
        for offset, header, frame in found:
            _, payload, layout = self._families[header]
            if not any(frame[payload]) and layout is not layouts.NOTHING:
                self.dropped["warming up"] += 1
                continue
            if layout is None:
                layout = self._winsen(frame) if header == WINSEN else self._plantower(frame)
            elif layout is layouts.MCU680 and not readable:
                layout = layouts.MCU680_AS_PYPMS
            names = layout.readable if readable else layout.protocol
            values = dict(zip(names, layout.values(frame), strict=True))
            frames.append(Frame(offset, len(frame), layout.id, values))
        return frames

    def _plantower(self, frame: bytes) -> Layout:
        """Four sensors share a header; what tells them apart is what cannot be in the others.

        Counts are of all particles above a size, so that they fall from one to the next; where they do not, there
        stand temperature and humidity. A version is 51 hex or more, so that something less is formaldehyde below
        10 mg/m³. Honeywell leaves all but two words empty.
        """
        n2_5, n5, n10, last = _four_words(frame, 22)
        falling = n2_5 >= n5 >= n10
        if n10 <= 1000 and (not falling or (frame[28] == 0x9A and n10 >= 50)):  # noqa: PLR2004 - 0.1 %; a version
            return layouts.PMS5003T
        if last:
            self._with_formaldehyde = last < 10_000  # noqa: PLR2004 - 0.001 mg/m³
            return layouts.PMS5003S if self._with_formaldehyde else layouts.PMSX003
        if not any(frame[10:30]) and not any(frame[4:6]):
            return layouts.HPMA115S0_BY_ITSELF
        return layouts.PMS5003S if self._with_formaldehyde else layouts.PMSX003

    def _winsen(self, frame: bytes) -> Layout:
        """Dust in three sizes grows from one to the next; behind CO2 come temperature or nothing, and zeros."""
        pm2_5, pm10, pm1 = _three_words(frame, 2)
        return layouts.ZH0XX if pm1 <= pm2_5 <= pm10 <= 1000 else layouts.MHZ19B  # noqa: PLR2004 - µg/m³
