"""What docs/alerts.md says of a value that cannot decide."""

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.rules.rule import Flap, Rule
from gateway.units import duration
from tests.gateway.rules.stage import Site, Told, Values, hot

DOCUMENT = Path(__file__).parents[3] / "docs" / "alerts.md"
ROWS = re.findall(
    r"^\| (nothing else|`.*`) \| (\d+) / (\d+) \| (\d+) / (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE
)
HOUR_S = 3600
CROSSING = [(each * 0.36, 79.0 if each % 2 else 81.0) for each in range(10_000)]
EACH_MINUTE = [(each * 60 + after, value) for each in range(60) for after, value in ((0, 81.0), (20, 79.0))]


def _told(options: dict[str, Any], said: Sequence[tuple[float, float]]) -> tuple[int, int]:
    flap = options.get("flap")
    rule = Rule(
        name="overheat",
        for_s=duration(options.get("for", "0s")),
        keep_for_s=duration(options.get("keep_for", "0s")),
        repeat_s=duration(options["repeat"]) if "repeat" in options else None,
        flap=Flap(flap["changes"], duration(flap["within"])) if flap else None,
    )
    values = Values()
    limit = options.get("clear")
    clear = Told(values, "boiler.temperature", lambda value: value < limit) if limit else None
    site = Site(values, hot(values, rule, clear=clear))
    for now, value in said:
        site.reading(now, value)
    site.reading(HOUR_S, 20)
    site.until(HOUR_S + 86_400)
    counts = Counter(state for _, state in site.story)
    return counts["firing"], counts["resolved"]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_value_that_cannot_decide_makes_as_many_alerts_as_the_document_says(row: tuple[str, ...]) -> None:
    written, *numbers = row
    inline = "" if written == "nothing else" else written.strip("`")
    options = tomllib.loads(f"rule = {{ {inline} }}")["rule"]
    assert [*_told(options, CROSSING), *_told(options, EACH_MINUTE)] == [int(each) for each in numbers]


def test_document_has_a_row_for_each_way_to_believe_later() -> None:
    written = " ".join(row[0] for row in ROWS)
    assert {name for name in ("for", "clear", "keep_for", "flap", "repeat") if f"{name} = " in written} == {
        "for", "clear", "keep_for", "flap", "repeat",
    }  # fmt: skip
    assert sum(value > 80 for _, value in CROSSING) * 2 == 10_000
