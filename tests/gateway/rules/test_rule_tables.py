"""Moments and conditions in, turns out: a table for each option and for options together."""

import pytest

from gateway.rules.rule import Alarm, Flap, OnStale, Rule
from tests.gateway.rules.stage import Told, Values, stamp

HYSTERESIS = [
    pytest.param({}, "0 W ; 5 W.C ; 9 C", "0 fired, 9 resolved", id="when both are true, when counts"),
    pytest.param({}, "0 W ; 5 - ; 9 C", "0 fired, 9 resolved", id="between both limits nothing changes"),
    pytest.param({}, "0 C ; 5 - ; 9 W", "9 fired", id="clear fires nothing"),
    pytest.param(
        {"keep_for_s": 10}, "0 W ; 5 C ; 9 - ; 12 C ; 30 C", "0 fired, 22 resolved", id="clear holds"
    ),
    pytest.param(
        {"for_s": 10}, "0 W ; 5 - ; 6 W ; 30 C", "16 fired, 30 resolved", id="when is what for waits for"
    ),
    pytest.param({}, "0 W ; 5 ? ; 9 C", "0 fired, 9 resolved", id="unknown clear resolves nothing"),
]


def turns(rule: Rule, script: str, *, has_clear: bool) -> str:
    """What happens when: `W` when is true, `C` clear is, `?` all is unknown, `S` the device has gone quiet."""
    values = Values()
    when, clear = Told(values, "w"), Told(values, "c")
    alarm = Alarm(rule, when, clear if has_clear else None)
    out = []
    for step in script.split(" ; "):
        moment, said = step.split()
        now = float(moment)
        while alarm.due <= now:
            if turn := alarm.step(stamp(due := alarm.due)):
                out.append(f"{due:g} {turn.value}")
        values.known = {} if "?" in said else {"w": "W" in said, "c": "C" in said}
        alarm.absent = "S" in said
        if turn := alarm.step(stamp(now)):
            out.append(f"{now:g} {turn.value}")
    return ", ".join(out)


@pytest.mark.parametrize(("options", "script", "wanted"), [
    ({}, "0 W ; 5 - ; 6 W", "0 fired, 5 resolved, 6 fired"),
    ({"for_s": 10}, "0 W ; 5 W ; 30 W", "10 fired"),
    ({"for_s": 10}, "0 W ; 9 - ; 10 W ; 30 -", "20 fired, 30 resolved"),
    ({"for_s": 10}, "0 W ; 10 -", "10 fired, 10 resolved"),
    ({"keep_for_s": 10}, "0 W ; 5 - ; 30 -", "0 fired, 15 resolved"),
    ({"keep_for_s": 10}, "0 W ; 5 - ; 14 W ; 15 - ; 40 -", "0 fired, 25 resolved"),
    ({"for_s": 10, "keep_for_s": 5}, "0 W ; 20 - ; 22 W ; 24 - ; 60 -", "10 fired, 29 resolved"),
    ({}, "0 ? ; 5 ? ; 9 W ; 12 ? ; 99 ? ; 100 -", "9 fired, 100 resolved"),
    ({"for_s": 10}, "0 W ; 5 ? ; 30 ? ; 31 W", "31 fired"),
    ({"for_s": 10}, "0 W ; 5 ? ; 30 ? ; 31 - ; 90 -", ""),
    ({"keep_for_s": 10}, "0 W ; 5 - ; 6 ? ; 30 ? ; 31 -", "0 fired, 31 resolved"),
    ({}, "0 W ; 5 S ; 90 S ; 91 W", "0 fired"),
    ({}, "0 - ; 5 S ; 90 S ; 91 W", "91 fired"),
    ({"on_stale": OnStale.FIRE}, "0 - ; 5 S ; 90 -", "5 fired, 90 resolved"),
    ({"on_stale": OnStale.FIRE, "for_s": 10}, "0 - ; 5 S ; 9 - ; 20 S ; 90 -", "30 fired, 90 resolved"),
    ({"on_stale": OnStale.FIRE}, "0 ? ; 5 ? ; 90 -", ""),
    ({"on_stale": OnStale.RESOLVE}, "0 W ; 5 S ; 90 W", "0 fired, 5 resolved, 90 fired"),
    ({"on_stale": OnStale.RESOLVE, "keep_for_s": 10}, "0 W ; 5 S ; 90 -", "0 fired, 15 resolved"),
    ({"on_stale": OnStale.RESOLVE, "for_s": 10}, "0 W ; 5 S ; 90 S", ""),
    ({"repeat_s": 10}, "0 W ; 25 - ; 90 -", "0 fired, 10 repeated, 20 repeated, 25 resolved"),
    ({"repeat_s": 10, "keep_for_s": 7}, "0 W ; 5 - ; 90 -", "0 fired, 10 repeated, 12 resolved"),
    ({"repeat_s": 10}, "0 W ; 5 ? ; 21 ?", "0 fired, 10 repeated, 20 repeated"),
    ({"flap": Flap(3, 60)}, "0 W ; 1 - ; 2 W ; 3 - ; 4 W ; 5 - ; 99 -", "0 fired, 1 resolved, 2 fired, 63 resolved"),
    ({"flap": Flap(2, 60)}, "0 W ; 5 - ; 99 -", "0 fired, 60 resolved"),
    ({"flap": Flap(2, 60)}, "0 W ; 5 - ; 6 W ; 99 W ; 200 -", "0 fired, 200 resolved"),
    ({"flap": Flap(2, 60), "for_s": 2}, "0 W ; 5 - ; 61 W ; 99 - ; 200 -",
     "2 fired, 62 resolved, 63 fired, 123 resolved"),
    ({"flap": Flap(3, 60), "repeat_s": 40}, "0 W ; 1 - ; 2 W ; 3 - ; 99 -",
     "0 fired, 1 resolved, 2 fired, 42 repeated, 61 resolved"),
])  # fmt: skip
def test_options_turn_conditions_into_alerts(options: dict[str, object], script: str, wanted: str) -> None:
    assert turns(Rule(name="r", **options), script, has_clear=False) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "script", "wanted"), HYSTERESIS)
def test_clear_has_its_own_condition(options: dict[str, float], script: str, wanted: str) -> None:
    assert turns(Rule(name="r", **options), script, has_clear=True) == wanted  # type: ignore[arg-type]
