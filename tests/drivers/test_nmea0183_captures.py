"""Against other people's instruments: bytes and values that nobody of this project wrote."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.nmea0183.codec import Sentences
from drivers.nmea0183.metrics import METRICS

FOLDER = Path(os.environ.get("SALLYPORT_CAPTURES", "."), "nmea0183")
EXPECTED = sorted(FOLDER.glob("*.expected.json"))

pytestmark = pytest.mark.skipif(
    not EXPECTED, reason="SALLYPORT_CAPTURES does not name a folder with nmea0183/*.expected.json"
)

UCUM = {
    None: "",
    "UTC": "",
    "deg": "deg",
    "deg/min": "deg/min",
    "m": "m",
    "ft": "[ft_i]",
    "fathom": "[fth_i]",
    "nm": "[nmi_i]",
    "kn": "[kn_i]",
    "km/h": "km/h",
    "m/s": "m/s",
    "degC": "Cel",
    "dB": "dB",
    "s": "s",
}


def load(expected: Path) -> tuple[dict[str, Any], bytes]:
    told: dict[str, Any] = json.loads(expected.read_bytes())
    return told, (FOLDER / told["capture"]).read_bytes()


def values(frame: dict[str, Any]) -> dict[str, Any]:
    """The readings of a frame; a metric that comes twice is numbered in its second part."""
    found: dict[str, Any] = {}
    for reading in frame["readings"]:
        name, occurrence = reading["metric"], 1
        while name in found:
            occurrence += 1
            kind, part, *rest = reading["metric"].split(".")
            name = ".".join([kind, f"{part}_{occurrence}", *rest])
        found[name] = reading["value"]
    return found


each_capture = pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.split(".")[0])


@each_capture
def test_frames_and_their_values_are_the_expected_ones(expected: Path) -> None:
    told, capture = load(expected)
    decoder = Sentences()
    frames = [*decoder.feed(capture), *decoder.finish()]
    may_be_either = {entry["offset"] for entry in told["frames"] + told["rejected"] if "ambiguous" in entry}
    found = [frame for frame in frames if frame.offset not in may_be_either]
    wanted = [frame for frame in told["frames"] if frame["offset"] not in may_be_either]
    assert [(frame.offset, frame.length, frame.id) for frame in found] == [
        (frame["offset"], frame["length"], frame["id"]) for frame in wanted
    ]
    for frame, want in zip(found, wanted, strict=True):
        assert frame.values == {
            name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for name, value in values(want).items()
        }
        assert list(map(type, frame.values.values())) == list(map(type, values(want).values()))


@each_capture
def test_refusals_are_counted_as_expected(expected: Path) -> None:
    told, capture = load(expected)
    decoder = Sentences()
    decoder.feed(capture)
    decoder.finish()
    ambiguous = sum("ambiguous" in entry for entry in told["rejected"])
    assert told["rejected_frames"] - ambiguous <= decoder.rejected.total() <= told["rejected_frames"]
    assert decoder.dropped == (
        {"no checksum": told["no_checksum_frames"]} if told["no_checksum_frames"] else {}
    )


@each_capture
def test_any_split_gives_the_same_frames(expected: Path) -> None:
    _, capture = load(expected)
    whole = Sentences()
    frames = whole.feed(capture)
    for chunks in (pieces(capture, longest=1), pieces(capture, longest=7), pieces(capture, longest=300)):
        decoder = Sentences()
        assert [frame for chunk in chunks for frame in decoder.feed(chunk)] == frames
        assert (decoder.rejected, decoder.dropped) == (whole.rejected, whole.dropped)


def pieces(capture: bytes, *, longest: int) -> Iterator[bytes]:
    chance = random.Random(longest)
    start = 0
    while start < len(capture):
        size = chance.randint(1, longest)
        yield capture[start : start + size]
        start += size


@each_capture
def test_units_are_those_of_the_metrics(expected: Path) -> None:
    told, _ = load(expected)
    readings = [reading for frame in told["frames"] for reading in frame["readings"]]
    units = {
        (f"sv.*.{name.rsplit('.', 1)[1]}" if name.startswith("sv.") else name, UCUM[reading["unit"]])
        for reading in readings
        if not (name := reading["metric"]).startswith("xdr.")  # each transducer has its own
    }
    assert units == {(name, METRICS[name].unit) for name, _ in units}
