import re
from pathlib import Path

import pytest

from gateway.rules.coder import USES
from gateway.rules.expression import Expression
from gateway.rules.names import Instrument, Site
from gateway.rules.unknown import Unknown

TEXT = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text()
NAMES = [
    "boiler",
    "2nd floor",
    "meter",
    "hall",
    "a",
    "b",
    "c",
    "rain",
    "door",
    "tank",
    "rack",
    "rack-1",
    "pump",
    "status",
]
EXAMPLES = [each for each in re.findall(r"`([^`]+)`", TEXT) if re.search(r'[\w"]\.\w|\["|hour\(', each)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_an_expression(example: str) -> None:
    Expression(example, Site({name: Instrument() for name in NAMES}), each=["rack-1"], condition=False)


def test_each_function_and_each_reason_is_described() -> None:
    assert EXAMPLES
    assert [name for name in USES if f"`{name}(" not in TEXT] == []
    flat = " ".join(TEXT.split())
    assert [why.value for why in Unknown if why.value not in flat] == []
