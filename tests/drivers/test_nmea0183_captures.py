"""What the captures say of NMEA 0183 besides values, which test_captures.py compares for all protocols."""

import json
import os
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


each_capture = pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.split(".")[0])


@each_capture
def test_sentences_without_checksum_are_counted_as_dropped(expected: Path) -> None:
    told, capture = load(expected)
    decoder = Sentences()
    decoder.feed(capture)
    decoder.finish()
    wanted = {"no checksum": told["no_checksum_frames"]} if told["no_checksum_frames"] else {}
    assert decoder.dropped == wanted


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
