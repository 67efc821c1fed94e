import json

import pytest

from gateway.model import Alert, Stamp
from gateway.notify.notice import MOST_LISTED, Notice, notice_of, plain_notice
from tests.gateway.notify.alerts import MORNING_NS, RESOLVED, alert, stamp


def notice(*alerts: Alert, repeat: bool = False) -> Notice:
    return Notice.of("greenhouse", {"rule": "hot"}, list(alerts), stamp(0), repeat=repeat)


def test_single_alert_is_told_with_all_that_is_known_of_it() -> None:
    told = notice(alert("boiler", severity="critical", value=85.25, message="85.2 °C, limit 80"))
    assert told.title == "greenhouse: critical: hot, boiler"
    assert told.text == (
        "[critical] hot, boiler: 85.2 °C, limit 80 (firing since 2026-11-22 18:00:00 UTC, value 85.25)"
    )


def test_end_is_told_as_an_end() -> None:
    told = notice(alert("boiler", RESOLVED, severity="critical", value=None))
    assert (told.state, told.title) == ("resolved", "greenhouse: resolved: hot, boiler")
    assert told.text == "[critical] hot, boiler: too hot (resolved since 2026-11-22 18:00:00 UTC)"


def test_rule_about_no_device_is_told_without_one() -> None:
    assert notice(alert("", message="", value=True)).text == (
        "[warning] hot (firing since 2026-11-22 18:00:00 UTC, value true)"
    )
    assert notice(alert("")).title == "greenhouse: warning: hot"


def test_title_of_a_group_counts_and_names_its_rules() -> None:
    told = notice(
        alert("a", severity="info"), alert("b", severity="critical", rule="x"), alert("c", RESOLVED)
    )
    assert told.title == "greenhouse: critical: 2 firing, 1 resolved: x, hot"
    rules = notice(*(alert("a", rule=rule) for rule in "pqrs"))
    assert rules.title == "greenhouse: warning: 4 firing: p, q, r, …"


def test_repeat_says_that_it_is_one() -> None:
    assert notice(alert("a"), repeat=True).title == "greenhouse: warning: still firing: hot, a"
    assert notice(alert("a"), alert("b"), repeat=True).title == "greenhouse: warning: still 2 firing: hot"


def test_worst_comes_first_and_what_has_resolved_last() -> None:
    told = notice(
        alert("resolved", RESOLVED, severity="critical"),
        alert("info", severity="info"),
        alert("own", severity="page the boss"),
        alert("later", severity="critical", since=stamp(5)),
        alert("sooner", severity="critical"),
    )
    assert [each.device for each in told.alerts] == ["sooner", "later", "own", "info", "resolved"]


def test_text_names_ten_and_counts_the_rest() -> None:
    told = notice(*(alert(f"{n:02}") for n in range(14)), *(alert(f"r{n}", RESOLVED) for n in range(3)))
    assert told.text.count("\n") == 10
    assert told.text.endswith("\nand 4 firing and 3 resolved more")
    told = notice(*(alert(f"{n:02}") for n in range(9)), *(alert(f"r{n}", RESOLVED) for n in range(3)))
    assert told.text.endswith("\nand 2 resolved more")
    assert "more" not in notice(*(alert(f"{n:02}") for n in range(10))).text


def test_notice_of_very_many_alerts_stays_small_and_counts_them_all() -> None:
    told = notice(*(alert(str(n)) for n in range(1000)))
    assert (len(told.alerts), told.firing, told.more) == (MOST_LISTED, 1000, 1000 - MOST_LISTED)
    assert told.text.endswith("\nand 990 firing more")


def test_time_that_cannot_be_believed_is_told_as_such() -> None:
    assert "UTC (clock not set)" in notice(alert("a", since=Stamp(MORNING_NS, 0.0, False))).text


def test_notice_outlives_a_restart_as_plain_data() -> None:
    told = notice(alert("a", labels={"site": "north"}), alert("b", RESOLVED, value="off"), repeat=True)
    assert notice_of(json.loads(json.dumps(plain_notice(told)))) == told


def test_each_notice_has_an_id_of_its_own() -> None:
    assert notice(alert("a")).id != notice(alert("a")).id


@pytest.mark.parametrize("key", ["id", "alerts", "at", "group"])
def test_damaged_notice_is_refused(key: str) -> None:
    data = plain_notice(notice(alert("a")))
    with pytest.raises((KeyError, TypeError, ValueError)):
        notice_of({**data, key: None} if key != "id" else {})


def test_notice_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        notice_of({**plain_notice(notice(alert("a"))), "alerts": []})
