"""A condition taken apart: each part is what it says, and the whole is made of them."""

import re
from pathlib import Path

import pytest

from gateway.model import Reading
from gateway.rules.coder import Coder
from gateway.rules.explanation import clauses
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from tests.gateway.rules.site import SITE, at, reading


def explained(text: str, *readings: Reading) -> list[tuple[int, str, object, dict[str, object]]]:
    memory = Memory()
    found = clauses(text, SITE, ["rack-1", "rack-2"], memory, "rack-1")
    for each in readings:
        memory.take(each)
    now = at(100)
    return [
        (each.depth, each.text, each.judge(now), {name: judge(now) for name, judge in each.operands})
        for each in found
    ]


def test_every_part_is_shown_with_what_it_compares() -> None:
    text = 'boiler.temperature > 80 and (pump.running or not rack-1.power < -5) and meter["x"] in (1, 2)'
    said = [
        reading(99, "boiler", {"temperature": 71.2}),
        reading(99, "pump", {"running": True}),
        reading(99, "rack-1", {"power": 3}),
        reading(99, "meter", {"x": 2}),
    ]
    assert explained(text, *said) == [
        (0, text, False, {}),
        (1, "boiler.temperature > 80", False, {"boiler.temperature": 71.2}),
        (1, "pump.running or not rack-1.power < -5", True, {}),
        (2, "pump.running", True, {}),
        (2, "not rack-1.power < -5", True, {}),
        (3, "rack-1.power < -5", False, {"rack-1.power": 3}),
        (1, 'meter["x"] in (1, 2)', True, {'meter["x"]': 2}),
    ]


def test_this_is_the_device_that_it_stands_for_and_names_may_be_any() -> None:
    text = '"2nd floor".lux + größe.x > this.power and\n  10 <= boiler.cellar.t < 20'
    said = [
        reading(99, "2nd floor", {"lux": 4}),
        reading(99, "größe", {"x": 1}),
        reading(99, "rack-1", {"power": 3}),
        reading(99, "boiler.cellar", {"t": 30}),
    ]
    assert explained(text, *said)[1:] == [
        (
            1,
            '"2nd floor".lux + größe.x > this.power',
            True,
            {'"2nd floor".lux + größe.x': 5, "this.power": 3},
        ),
        (1, "10 <= boiler.cellar.t < 20", False, {"boiler.cellar.t": 30}),
    ]


def test_what_is_not_known_is_said_with_its_reason() -> None:
    [(_, _, verdict, operands)] = explained('avg(boiler.temperature, "5m") > 80')
    assert [str(verdict), *map(str, operands.values())] == ["Unknown.NOT_SEEN"] * 2


EXAMPLES = [
    each
    for each in re.findall(r"`([^`]+)`", (Path(__file__).parents[3] / "docs" / "expressions.md").read_text())
    if re.search(r"[\w\"]\.\w.*[<>=]", each) and "each =" not in each
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_part_of_an_example_is_an_expression_of_its_own(text: str) -> None:
    site = SITE.__class__({**SITE.devices, **dict.fromkeys(("a", "b", "c", "hall"), SITE.devices["boiler"])})
    for part in Coder(text, site, ["rack-1"]).parts():
        Expression(text[part.start : part.end], site, each=["rack-1"])
        for start, end in part.operands:
            Expression(text[start:end], site, each=["rack-1"], condition=False)
