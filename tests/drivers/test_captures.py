"""Every driver against other people's instruments: bytes and values that nobody of this project wrote.

`SALLYPORT_CAPTURES` names the folder; its README says what the expected files hold and how to score them.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.driver import Decoder
from gateway.config import driver_options
from gateway.model import Value

FOLDER = Path(os.environ.get("SALLYPORT_CAPTURES", "."))
EXPECTED = sorted(FOLDER.glob("*/*.expected.json"))

pytestmark = pytest.mark.skipif(
    not EXPECTED, reason="SALLYPORT_CAPTURES does not name a folder with <protocol>/*.expected.json"
)

Told = dict[str, Any]
"""An expected file, or one of its frames."""


def unique(frame: Told) -> dict[str, Value]:
    """The readings of a frame; a metric that is repeated is numbered."""
    found: dict[str, Value] = {}
    for reading in frame["readings"]:
        name, occurrence = reading["metric"], 1
        while name in found:
            occurrence += 1
            name = f"{reading['metric']}_{occurrence}"
        found[name] = reading["value"]
    return found


def unique_by_second_part(frame: Told) -> dict[str, Value]:
    """As `unique`, numbered in the name's second part: `sv.12_2.snr`."""
    found: dict[str, Value] = {}
    for reading in frame["readings"]:
        name, occurrence = reading["metric"], 1
        while name in found:
            occurrence += 1
            kind, part, *rest = reading["metric"].split(".")
            name = ".".join([kind, f"{part}_{occurrence}", *rest])
        found[name] = reading["value"]
    return found


SCPI_MEANINGS = {
    "current_range_500_enabled": 'names = { "500" = true }',
    "display_orientation": 'names = { "0" = "top" }',
    "display_unit": 'names = { "000000" = "mbar" }',
    "hot_cathode.filament_mode": 'names = { "1" = "Filament1" }',
    "hot_cathode.filament_status": 'names = { "1" = "Filament 1 defective" }',
    "operating_hours": "scale = 0.25",
    "pressure": "names = { UR = 0 }",
}
"""What the manuals say of values that the answers do not explain."""


def scpi_queries(told: Told) -> Mapping[str, str]:
    """The option `queries` with which these answers were got."""
    queries = []
    for frame in told["frames"]:
        [reading] = frame["readings"]
        kind = {bool: "boolean", str: "text"}.get(type(reading["value"]), "number")
        parts = [
            f'name = {json.dumps(reading["metric"])}, query = {json.dumps(frame["query"])}, type = "{kind}"'
        ]
        parts += [SCPI_MEANINGS[reading["metric"]]] if reading["metric"] in SCPI_MEANINGS else []
        queries.append(f"{{ {', '.join(parts)} }}")
    return {"queries": f"[{', '.join(queries)}]"}


def scpi_values(frame: Told) -> Mapping[str, Value]:
    """The file rounds to ten decimals; the answer and the source's test say 9.274e-8."""
    return {name: 9.274e-8 if value == 9.27e-8 else value for name, value in unique(frame).items()}


def by_quantity(frame: Told) -> dict[str, Value]:
    """An M-Bus record's quantity in snake_case, and what differs from instantaneous, storage 0, tariff 0, subunit 0."""
    functions = {"Maximum value": "_max", "Minimum value": "_min", "Value during error state": "_err"}
    readings = []
    for reading in frame["readings"]:
        name = re.sub(r"[^a-z0-9]+", "_", reading["metric"].lower()).strip("_") or reading["metric"]
        name += functions.get(reading.get("function"), "")
        for letter, key in (("s", "storage"), ("t", "tariff"), ("d", "device")):
            name += f"_{letter}{reading[key]}" if reading.get(key) else ""
        readings.append({"metric": name, "value": reading["value"]})
    return unique({"readings": readings})


@dataclass(frozen=True)
class Protocol:
    """How a folder of captures is decoded and compared."""

    driver: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Besides names, as on the command line; for each capture of the folder."""
    options_of: Callable[[Told], Mapping[str, str]] = lambda _: {}
    """Likewise, from the expected file of one capture: what was asked, where the answers alone do not say it."""
    values: Callable[[Told], Mapping[str, Value]] = unique
    ids: bool = True
    """Whether the frames' ids are the protocol's own, and ours."""


PROTOCOLS = {
    "d0": Protocol("d0"),
    "davis": Protocol("davis"),
    "dsmr_p1": Protocol("dsmr"),
    "mbus": Protocol("mbus", values=by_quantity),
    "modbus_rtu": Protocol("modbus", {"mode": "listen"}),
    "mysensors": Protocol("mysensors"),
    "nmea0183": Protocol("nmea0183", values=unique_by_second_part),
    "pms": Protocol("pms"),
    "scpi": Protocol("scpi", options_of=scpi_queries, values=scpi_values, ids=False),
    "shdlc": Protocol("sps30"),
    "sml": Protocol("sml"),
    "textline": Protocol("text"),
    "ubx": Protocol("ubx"),
    "vedirect": Protocol("vedirect"),
}


def protocol_of(expected: Path) -> Protocol:
    protocol = PROTOCOLS[expected.parent.name]
    if protocol.driver not in drivers.names():
        pytest.skip(f"no driver {protocol.driver} yet")
    return protocol


def load(expected: Path) -> tuple[Told, bytes]:
    told: Told = json.loads(expected.read_bytes())
    return told, expected.with_name(told["capture"]).read_bytes()


def decoder_for(expected: Path) -> Decoder:
    protocol = protocol_of(expected)
    told = json.loads(expected.read_bytes())
    pairs = {"names": "protocol", **protocol.options, **protocol.options_of(told)}
    return drivers.find(protocol.driver).decoder(driver_options(protocol.driver, pairs))


def close_to(wanted: Value) -> object:
    is_number = isinstance(wanted, float | int) and not isinstance(wanted, bool)
    return pytest.approx(wanted, rel=1e-6) if is_number else wanted


each_capture = pytest.mark.parametrize(
    "expected", EXPECTED, ids=lambda path: f"{path.parent.name}/{path.name.split('.')[0]}"
)


@each_capture
def test_frames_and_their_values_are_the_expected_ones(expected: Path) -> None:
    told, capture = load(expected)
    protocol = protocol_of(expected)
    decoder = decoder_for(expected)
    frames = [*decoder.feed(capture), *decoder.finish()]
    may_be_either = {entry["offset"] for entry in told["frames"] + told["rejected"] if "ambiguous" in entry}
    found = [frame for frame in frames if frame.offset not in may_be_either]
    wanted = [frame for frame in told["frames"] if frame["offset"] not in may_be_either]
    assert [(frame.offset, frame.length) for frame in found] == [
        (frame["offset"], frame["length"]) for frame in wanted
    ]
    if protocol.ids:
        assert [frame.id for frame in found] == [frame["id"] for frame in wanted]
    for frame, want in zip(found, wanted, strict=True):
        values = protocol.values(want)
        assert frame.values == {name: close_to(value) for name, value in values.items()}
        assert list(map(is_text_or_bool, frame.values.values())) == [
            is_text_or_bool(values[name]) for name in frame.values
        ]


def is_text_or_bool(value: Value) -> type[Value] | None:
    return type(value) if isinstance(value, str | bool) else None


@each_capture
def test_refusals_are_counted_as_expected(expected: Path) -> None:
    told, capture = load(expected)
    decoder = decoder_for(expected)
    for _ in (*decoder.feed(capture), *decoder.finish()):
        pass
    ambiguous = sum("ambiguous" in entry for entry in told["rejected"])
    assert told["rejected_frames"] - ambiguous <= decoder.rejected.total() <= told["rejected_frames"]


@each_capture
def test_any_split_gives_the_same_frames(expected: Path) -> None:
    _, capture = load(expected)
    whole = decoder_for(expected)
    frames = [*whole.feed(capture), *whole.finish()]
    for longest in (1, 7, 300):
        decoder = decoder_for(expected)
        found = [frame for chunk in pieces(capture, longest=longest) for frame in decoder.feed(chunk)]
        assert [*found, *decoder.finish()] == frames
        assert (decoder.rejected, decoder.dropped) == (whole.rejected, whole.dropped)


def pieces(capture: bytes, *, longest: int) -> Iterator[bytes]:
    chance = random.Random(longest)
    start = 0
    while start < len(capture):
        size = chance.randint(1, longest)
        yield capture[start : start + size]
        start += size
