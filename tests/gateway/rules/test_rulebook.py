from collections.abc import Sequence
from typing import Any

import pytest

from gateway.model import Reading, Stamp, Tally, Value
from gateway.rules.engine import PORT_DOWN
from gateway.rules.memory import Memory
from gateway.rules.message import LONGEST, Message
from gateway.rules.names import Instrument, Site
from gateway.rules.rule import Rule, Watch
from gateway.rules.rulebook import OF_GATEWAY, STATUS, Rulebook, Statute, parted

SITE = Site(
    {
        "boiler": Instrument(),
        "pump": Instrument(metrics=("running", "$read"), complete=True),
        "rack-1": Instrument(),
        "rack-2": Instrument(),
        "hall.2": Instrument(),
        "hall": Instrument(),
        STATUS: Instrument(metrics=OF_GATEWAY, complete=True),
    }
)
PORTS = {"boiler": "/dev/a", "pump": "/dev/a", "rack-1": "/dev/b"}


def statute(
    when: str = "boiler.t > 80",
    *,
    clear: str | None = None,
    each: Sequence[str] | None = None,
    message: str = "",
    **rule: Any,
) -> Statute:
    rule = {"name": "r", "message": Message(message), **rule}
    return Statute(rule=Rule(**rule), when=when, clear=clear, each=each)


def book(*statutes: Statute) -> Rulebook:
    return Rulebook(statutes, SITE, ports=PORTS)


def watches(*statutes: Statute) -> tuple[list[Watch], Memory]:
    memory = Memory()
    found = book(*statutes)
    assert found.mistakes == []
    return [*found.watches(memory)], memory


def watch(*args: Any, **options: Any) -> Watch:
    [found], _ = watches(statute(*args, **options))
    return found


@pytest.mark.parametrize(
    ("wrong", "key", "column", "text"),
    [
        (statute("  boilr.t > 80"), "when", 2, 'did you mean "boiler"?'),
        (statute("pump.runing"), "when", 0, 'did you mean "running"?'),
        (statute(clear="boilr.t < 75"), "clear", 0, 'did you mean "boiler"?'),
        (statute("this.t > 80"), "when", 0, "each"),
        (statute("this.t > 80", each=["rack-3"]), "each", None, 'no device "rack-3"'),
        (statute("status.wating > 3"), "when", 0, 'did you mean "waiting"?'),
        (statute(message="{t}"), "message", None, "{t} is no value"),
        (statute(message="{boilr.t}"), "message", None, 'did you mean "boiler"?'),
        (statute(message="{this.t}"), "message", None, "only a rule with each has this"),
    ],
    ids=lambda value: value.when if isinstance(value, Statute) else None,
)
def test_mistake_is_told_with_its_place(wrong: Statute, key: str, column: int | None, text: str) -> None:
    found = book(wrong)
    [mistake] = found.mistakes
    assert (mistake.rule, mistake.key) == ("r", key)
    assert text in mistake.text
    if column is not None:
        assert mistake.column == column
    else:
        assert mistake.column is None


def test_rule_with_a_mistake_is_no_article_and_the_others_are() -> None:
    found = book(statute("boilr.t > 80", name="bad"), statute(clear="boiler.t <", name="worse"), statute())
    assert [each.rule.name for each in found.articles] == ["r"]
    assert {each.rule for each in found.mistakes} == {"bad", "worse"}


def test_rules_that_inhibit_each_other_are_a_mistake() -> None:
    found = book(
        statute(name="a", inhibited_by=("b",)),
        statute(name="b", inhibited_by=("c",)),
        statute(name="c", inhibited_by=("a",)),
    )
    [mistake] = found.mistakes
    assert mistake.key == "inhibited_by"
    assert mistake.text.startswith("these inhibit each other: ")
    assert set(mistake.text.removeprefix("these inhibit each other: ").split(" → ")) == {"a", "b", "c"}


def test_metric_that_a_device_is_not_known_to_report_is_a_doubt() -> None:
    found = book(statute("rack-1.power > 1 and boiler.t > 80"))
    assert found.mistakes == []
    assert [(each.key, each.column) for each in found.doubts] == [("when", 0), ("when", 21)]


def test_wildcard_that_matches_nothing_is_a_doubt_and_any_device_is_none() -> None:
    assert [each.text for each in book(statute("this.t > 1", each=["oven-*"])).doubts] == [
        'no device is called "oven-*"'
    ]
    alone = Rulebook([statute("stale(this)", each=["*"])], Site({STATUS: SITE.devices[STATUS]}))
    assert alone.doubts == []
    assert [*alone.watches(Memory())] == []


def test_rule_is_about_the_one_device_that_it_reads() -> None:
    assert watch("boiler.t > 80").device == "boiler"
    assert watch("boiler.t > 80 and boiler.p > 2").device == "boiler"
    assert watch("boiler.t > 80 and pump.running").device == ""
    assert watch("status.waiting > 3").device == ""
    assert watch("stale(pump)").device == "pump"
    assert watch("pump.running", clear="boiler.t < 3").device == ""


def test_rule_for_each_has_a_watch_for_each_device_and_none_for_the_gateway() -> None:
    found, _ = watches(statute("this.t > 80 and pump.running", each=["rack-*", "boiler"]))
    assert sorted(each.device for each in found) == ["boiler", "rack-1", "rack-2"]
    assert {each.device: each.devices for each in found}["rack-1"] == {"rack-1", "pump"}
    everything, _ = watches(statute("stale(this)", each=["*"]))
    assert {each.device for each in everything} == SITE.devices.keys() - {STATUS}


@pytest.mark.parametrize(
    ("when", "clear", "needs"),
    [
        ("boiler.t > 80", None, {"boiler"}),
        ("boiler.t > 80 and pump.running", None, {"boiler", "pump"}),
        ("boiler.t > 80", "pump.running", {"boiler", "pump"}),
        ("stale(boiler)", None, set()),
        ("stale(boiler) or boiler.t > 80", None, set()),
        ('boiler.t > 80 and age(pump) < "5m"', None, {"boiler"}),
        ("boiler.t > 80 and status.waiting > 3", None, {"boiler"}),
        ('avg(boiler.t, "5m") > 80', None, {"boiler"}),
    ],
)
def test_rule_needs_what_it_measures_unless_silence_is_what_it_asks_for(
    when: str, clear: str | None, needs: set[str]
) -> None:
    assert watch(when, clear=clear).needs == needs


def test_rule_that_asks_for_silence_is_of_silence_and_no_other() -> None:
    assert watch('age(boiler) > "5m"').rule.of_silence
    assert watch("boiler.t > 80", clear="stale(boiler)").rule.of_silence
    assert not watch("boiler.t > 80").rule.of_silence


def test_port_rule_is_about_ports_which_no_other_rule_can_name() -> None:
    found, _ = watches(statute("offline(this)", name=PORT_DOWN, each=["*"]))
    assert [each.device for each in found] == ["/dev/a", "/dev/b"]
    assert book(statute("offline(boiler)", name=PORT_DOWN)).mistakes
    devices, _ = watches(statute("offline(this)", each=["*"]))
    assert "/dev/a" not in [each.device for each in devices]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("boiler.t", ("boiler", "t")),
        ("hall.2.t", ("hall.2", "t")),
        ("hall.3.t", ("hall", "3.t")),
        ("oven.t.max", ("oven", "t.max")),
        ("value", ("value", "")),
    ],
)
def test_device_may_have_points_in_its_name(name: str, place: tuple[str, str]) -> None:
    assert parted(name, SITE) == place


def test_message_and_value_are_what_was_heard_last() -> None:
    text = "{hall.2.t} {hall.2.t.max} {this.t} {boiler.x} {value}"
    found, memory = watches(
        statute("boiler.y > 80 and this.t > 1", each=["rack-*"], message=text),
    )
    one = next(each for each in found if each.device == "rack-2")
    assert one.look("value") is None
    heard: list[tuple[str, dict[str, Value]]] = [
        ("hall.2", {"t": 1, "t.max": 2}), ("rack-1", {"t": 3}), ("rack-2", {"t": 4}), ("boiler", {"y": 5}),
    ]  # fmt: skip
    for device, values in heard:
        memory.take(Reading(at=Stamp(0, 1.0), device=device, values=values))
    assert one.rule.message.filled(one.look) == "1 2 4 ? 5"
    assert one.look(one.metric) == 5
    assert one.look("nobody.t") is None


def test_text_that_can_be_written_nowhere_is_mended_before_it_travels() -> None:
    [found], memory = watches(statute('boiler.state == "x"', message="{boiler.state}"))
    memory.take(Reading(at=Stamp(0, 1.0), device="boiler", values={"state": "a\ud800b"}))
    assert found.look(found.metric) == "a?b"
    assert found.rule.message.filled(found.look) == "a?b"


def test_text_of_a_megabyte_is_cut_before_it_is_kept_a_thousand_times() -> None:
    [found], memory = watches(statute('boiler.state == "x"', message="{boiler.state}"))
    memory.take(Reading(at=Stamp(0, 1.0), device="boiler", values={"state": "x" * 10**6}))
    assert found.look(found.metric) == "x" * LONGEST


def test_rule_that_carries_no_value_says_so() -> None:
    assert watch("stale(boiler)").metric == ""
    assert watch("stale(boiler) or boiler.t > 3").metric == "value"


def test_what_the_gateway_counts_is_carried_like_any_value() -> None:
    [found], memory = watches(statute("status.waiting > 3", message="{status.waiting}"))
    memory.count(Tally(at=Stamp(0, 1.0), device=STATUS, values={"waiting": 7}))
    assert found.when.judge(Stamp(0, 1.0)) is True
    assert found.rule.message.filled(found.look) == "7"


def test_rule_that_is_switched_off_is_compiled_all_the_same() -> None:
    assert watch(enabled=False).rule.enabled is False
    assert book(statute("boilr.t > 1", enabled=False)).mistakes


def test_article_is_found_by_name_and_else_the_nearest_is_named() -> None:
    found = book(statute(name="overheat"))
    assert found.article("overheat").rule.name == "overheat"
    with pytest.raises(LookupError, match='there is no rule overhat: did you mean "overheat"'):
        found.article("overhat")
