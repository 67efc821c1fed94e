"""`sallyport decode` against all captures, in one report: `scripts/test tests/drivers/test_captures_report.py -s`."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from tests.drivers.test_captures import EXPECTED, close_to, load, protocol_of

pytestmark = pytest.mark.skipif(
    not EXPECTED, reason="SALLYPORT_CAPTURES does not name a folder with <protocol>/*.expected.json"
)


def told_by_decode(expected: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> tuple[list[Any], int]:
    """The frames that the command prints, and how many it refused."""
    protocol = protocol_of(expected)
    told, _ = load(expected)
    options = {"names": "protocol", **protocol.options, **protocol.options_of(told)}
    pairs = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    assert cli.main(["decode", protocol.driver, str(expected.with_name(told["capture"])), *pairs]) == 0
    out, err = capfdbinary.readouterr()
    counted = re.search(rb"rejected=(\d+)", err)
    assert counted
    return [json.loads(line) for line in out.splitlines()], int(counted[1])


def test_decode_agrees_with_every_expected_file(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * 6)
    for expected in EXPECTED:
        told, _ = load(expected)
        frames, rejected = told_by_decode(expected, capfdbinary)
        either = {entry["offset"] for entry in told["frames"] + told["rejected"] if "ambiguous" in entry}
        found = {frame["offset"]: frame["values"] for frame in frames if frame["offset"] not in either}
        wanted = {frame["offset"]: frame for frame in told["frames"] if frame["offset"] not in either}
        values = {offset: protocol_of(expected).values(frame) for offset, frame in wanted.items()}
        ambiguous = sum("ambiguous" in entry for entry in told["rejected"])
        row = rows[expected.parent.name]
        row[0] += 1
        row[1] += len(wanted.keys() & found.keys()) - len(found.keys() - wanted.keys())
        row[2] += len(wanted)
        row[3] += sum(
            found.get(offset, {}).get(name) == close_to(value)
            for offset, pairs in values.items()
            for name, value in pairs.items()
        )
        row[4] += sum(map(len, values.values()))
        row[5] += not told["rejected_frames"] - ambiguous <= rejected <= told["rejected_frames"]
    with capfdbinary.disabled():
        print(f"\n{'protocol':12} captures  frames right  values right  refusals wrong")  # noqa: T201 - the report
        for name, row in rows.items():
            frames_right, values_right = f"{row[1]}/{row[2]}", f"{row[3]}/{row[4]}"
            print(f"{name:12} {row[0]:8}  {frames_right:>12}  {values_right:>12}  {row[5]:14}")  # noqa: T201
    assert all(row[1] == row[2] and row[3] == row[4] and not row[5] for row in rows.values())
