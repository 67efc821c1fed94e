from dataclasses import replace
from math import inf, nextafter

import pytest

from gateway.model import Presence, Stamp, Value
from gateway.rules.expression import Expression, Metric
from gateway.rules.memory import Memory
from gateway.rules.names import BadExpression, Instrument, Site
from gateway.rules.unknown import Unknown
from tests.gateway.rules.site import SITE, Readings, at, availability, bound, reading, tally, truth, value

SEEN: Readings = [
    (
        99.0,
        "boiler",
        {"temperature": 85.5, "state": "on", "count": 7, "label": "", "in": 3, "a.b": 4, "0": 8},
    ),
    (99.0, "pump", {"running": True, "speed": 0}),
    (99.0, "rack-1", {"power": 10}),
    (99.0, "rack", {"power": 100, "temp-a": 1}),
    (99.0, "2nd floor", {"lux": 300}),
    (99.0, "boiler.cellar", {"temperature": 40}),
    (99.0, "größe", {"höhe": 2}),
    (99.0, "min", {"x": 1}),
    (99.0, "in", {"x": 2}),
    (99.0, "1", {"x": 3}),
    (99.0, "meter", {"1-0:1.8.1": 12.5}),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("boiler.temperature", 85.5),
        ("boiler.temperature > 80 and pump.running", True),
        ("boiler.temperature > 80 and not pump.running", False),
        ("  boiler.temperature\n  > 80\tand\n pump.running ", True),
        ("boiler.temperature * 2 - 1", 170.0),
        ("boiler.count // 2 + boiler.count % 2", 4),
        ("-boiler.count + +3", -4),
        ("boiler.count / 2", 3.5),
        ("80 < boiler.temperature <= 85.5", True),
        ("80 < boiler.temperature < 85.5", False),
        ("1 < 2 < 3 < boiler.count", True),
        ("boiler.state == 'on'", True),
        ('boiler.state != "on"', False),
        ('"on" == boiler.state', True),
        ('boiler.state in ("on", "auto")', True),
        ('boiler.state not in ["on", "auto"]', False),
        ("boiler.count in {6, 7.0, 8}", True),
        ("boiler.count not in (-7, 8)", True),
        ('"n" in boiler.state', True),
        ('"x" not in boiler.state', True),
        ('boiler.label == ""', True),
        ('"on" == "on" and "on" in ("on", "off")', True),
        ('("on" if pump.running else "off") == boiler.state', True),
        (r"boiler.state != '\d'", True),
        ("boiler.state == '\\u006fn'", True),
        ("boiler.state == 'o' 'n'", True),
        ("pump.running == true", True),
        ("pump.running == True and not false", True),
        ("pump.running + (boiler.count > 5) + (boiler.count > 9) >= 2", True),
        ("'hot' if boiler.temperature > 80 else 'cold'", "hot"),
        ("1 if pump.speed else 2", 2),
        ("abs(3 - boiler.count)", 4),
        ("min(boiler.count, 3, pump.speed)", 0),
        ("max(boiler.count, 3.5)", 7),
        ("round(boiler.temperature)", 86),
        ("round(-boiler.temperature)", -86),
        ("round(2.675 + boiler.count, 2)", 9.68),
        ("rack-1.power", 10),
        ("rack.power - rack-1.power", 90),
        ("rack.power-rack-1.power", 90),
        ("rack . power - 1", 99),
        ("2nd floor.lux / 2", 150),
        ("boiler.cellar.temperature", 40),
        ("boiler.a.b", 4),
        ("boiler.in + in.x + min.x", 6),
        ("1.x + 1.5", 4.5),
        ("größe.höhe * 2", 4),
        ('"größe" != boiler.state and größe.höhe == 2', True),
        ('rack["temp-a"]', 1),
        ('"rack-1"["power"]', 10),
        ('"2nd floor".lux', 300),
        ('meter["1-0:1.8.1"] * 2', 25),
        ('boiler["0"]', 8),
        ("boiler.state == boiler.state and boiler.count == boiler.count", True),
        ("boiler.count != pump.speed", True),
    ],
)
def test_expression_has_the_value_that_it_says(text: str, expected: Value) -> None:
    result = value(text, SEEN)
    assert result == expected
    assert (type(result) is bool) == (type(expected) is bool)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pump.running", True),
        ("pump.speed", False),
        ("boiler.count - 7", False),
        ("boiler.temperature", True),
        ("boiler.state", Unknown.TYPE),
        ("boiler.nothing", Unknown.NOT_SEEN),
    ],
)
def test_condition_is_true_false_or_unknown(text: str, expected: Value) -> None:
    assert truth(text, SEEN) is expected


TRUE, FALSE, UNSEEN, ZERO = "pump.running", "pump.speed", "boiler.nothing", "1 / pump.speed > 0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{FALSE} and {UNSEEN}", False),
        (f"{UNSEEN} and {FALSE}", False),
        (f"{TRUE} and {UNSEEN}", Unknown.NOT_SEEN),
        (f"{UNSEEN} and {TRUE}", Unknown.NOT_SEEN),
        (f"{TRUE} or {UNSEEN}", True),
        (f"{UNSEEN} or {TRUE}", True),
        (f"{FALSE} or {UNSEEN}", Unknown.NOT_SEEN),
        (f"{UNSEEN} or {FALSE}", Unknown.NOT_SEEN),
        (f"{UNSEEN} or {ZERO}", Unknown.NOT_SEEN),
        (f"{UNSEEN} or {ZERO} or {TRUE}", True),
        (f"{UNSEEN} and {ZERO} and {FALSE}", False),
        (f"not ({UNSEEN})", Unknown.NOT_SEEN),
        (f"not ({UNSEEN} and {FALSE})", True),
        (f"({UNSEEN} and {FALSE}) or ({UNSEEN} or {TRUE})", True),
        (f"1 if {UNSEEN} else 2", Unknown.NOT_SEEN),
        (f"{TRUE} if {TRUE} else {UNSEEN}", True),
        (f"(1 if ({UNSEEN} or {TRUE}) else 0) == 1", True),
        (f"({UNSEEN} or {FALSE}) == true", Unknown.NOT_SEEN),
        (f"{UNSEEN} < 5 < 3", False),
        (f"5 < 3 < {UNSEEN}", False),
        (f"3 < 5 < {UNSEEN}", Unknown.NOT_SEEN),
        (f"{UNSEEN} == 'a'", Unknown.NOT_SEEN),
        (f"{UNSEEN} != 1", Unknown.NOT_SEEN),
        (f"{UNSEEN} == {UNSEEN}", Unknown.NOT_SEEN),
        (f"{UNSEEN} in (1, 2)", Unknown.NOT_SEEN),
        (f"{UNSEEN} not in ('a', 'b')", Unknown.NOT_SEEN),
        (f"'a' in {UNSEEN}", Unknown.NOT_SEEN),
        (f"abs({UNSEEN}) > 1", Unknown.NOT_SEEN),
        (f"min(1, {UNSEEN}) < 2", Unknown.NOT_SEEN),
        ("1 / pump.speed", Unknown.DIVISION),
        ("1 // pump.speed", Unknown.DIVISION),
        ("1 % pump.speed", Unknown.DIVISION),
        ("boiler.state > 5", Unknown.TYPE),
        ("boiler.state == 5", Unknown.TYPE),
        ("boiler.count == 'on'", Unknown.TYPE),
        ("boiler.count in ('a', 'b')", Unknown.TYPE),
        ("boiler.state in (1, 2)", Unknown.TYPE),
        ("boiler.state == boiler.count", Unknown.TYPE),
        ("boiler.count == boiler.state", Unknown.TYPE),
        ("'a' in boiler.count", Unknown.TYPE),
        ("boiler.state * 2 > 1", Unknown.TYPE),
        ("boiler.state + boiler.state > 1", Unknown.TYPE),
        ("boiler.state % 5 > 1", Unknown.TYPE),
        ("boiler.state and true", Unknown.TYPE),
        ("boiler.state < boiler.state", Unknown.TYPE),
        ("boiler.count * 1e308 > 5", Unknown.OVERFLOW),
        ("boiler.count * 1e308 - boiler.count * 1e308 == 0", Unknown.OVERFLOW),
        ("1 / (boiler.count * 1e308) >= 0", Unknown.OVERFLOW),
        ("abs(boiler.count * 1e308) > 1", Unknown.OVERFLOW),
        ("(boiler.count * 1e308 if true else 1) > 1", Unknown.OVERFLOW),
    ],
)
def test_unknown_decides_only_where_nothing_else_does(text: str, expected: Value | Unknown) -> None:
    judged = bound(text, SEEN)
    assert judged.judge(at(100.0)) is expected
    assert judged.unknown == ({expected: 1} if isinstance(expected, Unknown) else {})


@pytest.mark.parametrize(
    ("text", "column", "complaint"),
    [
        ("", 0, "must not be empty"),
        (" \n", 0, "must not be empty"),
        ("boler.x > 1", 0, 'there is no device "boler": did you mean "boiler"?'),
        ("1 < boler.x", 4, 'there is no device "boler": did you mean "boiler"?'),
        ('"é" != boiler.x and boler.x', 20, 'there is no device "boler": did you mean "boiler"?'),
        ("1 + rack-9.power", 4, 'there is no device "rack-9": did you mean "rack-'),
        ("1 + rakk-one.power", 4, 'there is no device "rakk-one"'),
        ("age(rack-3) > '1s'", 4, 'there is no device "rack-3": did you mean "rack-'),
        ("age(boiler.x) > '1s'", 4, "here the name of a device must stand"),
        ("'boler'.x", 0, 'there is no device "boler"'),
        ("pump.runing", 0, 'pump has no metric "runing": did you mean "running"?'),
        ("boiler > 5", 0, "write which metric of boiler"),
        ("boiler.fan-speed > 5", 0, 'a name with a dash stands in brackets: write boiler["fan-speed"]'),
        ("1 < rack-1.fan-no-speed", 4, 'write rack-1["fan-no-speed"]'),
        ("temperature > 5", 0, 'there is nothing called "temperature"'),
        ("hour > 5", 0, "write hour()"),
        ("avrg(boiler.x, '5m') > 1", 0, 'there is no function avrg(): did you mean "avg"?'),
        ("avg(boiler.x) > 1", 0, 'write avg(device.metric, "5m")'),
        ("avg(boiler.x, 300) > 1", 0, 'write avg(device.metric, "5m")'),
        ("avg(boiler.x, '5 minutes') > 1", 14, "must be a duration with its unit"),
        ("avg(boiler.x, '32d') > 1", 14, 'must be between "1ms" and "31d"'),
        ("avg(boiler.x, '0s') > 1", 14, 'must be between "1ms" and "31d"'),
        ("avg(boiler.x + 1, '5m') > 1", 4, "here a metric must stand"),
        ("previous(5) > 1", 9, "here a metric must stand"),
        ("min(boiler.x)", 0, "write min(number, number)"),
        ("round(boiler.x, boiler.y)", 16, "must be a number of decimals, 0 to 15"),
        ("age(boiler) > '5 minutes'", 14, "must be a duration"),
        ("boiler.x > '80'", 11, "a text can only be compared with ==, != and in: write 80 without quotes"),
        ("boiler.x + 'a' > 1", 11, "a text cannot be calculated with"),
        ("boiler.x and 'a'", 13, "a text is neither true nor false: compare it with =="),
        ("boiler.x > 'hot'", 11, "a text can only be compared with ==, != and in"),
        ("boiler.y boiler.x-rack-1.power", 9, "cannot be read"),
        ("1 < boiler.x in (2, 3)", 0, "write and between two comparisons with in"),
        ("5 in ('a', 'b')", 0, "a number is never equal to a text"),
        ("5 == 'a'", 5, "a number is never equal to a text"),
        ("boiler.x in ()", 12, "this list is empty"),
        ("boiler.x in (1, 'a')", 12, "a list holds either texts or numbers"),
        ("boiler.x in (1, boiler.y)", 16, "a list holds numbers, texts, true and false only"),
        ("boiler.x = 5", 9, "write == to compare"),
        ("boiler.x > and 'a=b'", 11, "cannot be read"),
        ("boiler.x > 1 and ", 15, "something is missing after this"),
        ("boiler.x => 5", 9, "write >= or <= instead of =>"),
        ("boiler.x <> 5", 9, "write != instead of <>"),
        ("boiler.x && boiler.y", 9, "write and instead of &&"),
        ("boiler.x || boiler.y", 9, "write or instead of ||"),
        ("boiler.x > 3 AND boiler.y", 13, "write and instead of AND"),
        ("boiler.x OR boiler.y", 9, "write or instead of OR"),
        ("NOT boiler.x", 0, "write not instead of NOT"),
        ("boiler.x and !boiler.y", 13, "write not instead of !"),
        ("age(boiler) > 5m", 14, 'a duration stands in quotes: write "5m"'),
        ("avg(boiler.x, 1h30m) > 5", 14, 'a duration stands in quotes: write "1h30m"'),
        ("max(boiler.x, '5m') > 5", 0, 'over time, write max_over(device.metric, "5m")'),
        ("boiler.x ** 2 > 5", 0, "there are no powers: write x * x"),
        ("boiler.x & pump.running", 0, "write and instead of &"),
        ("boiler.x is 5", 0, "write == instead of is"),
        ("boiler.x > 5 # hot", 13, "a comment cannot stand in an expression"),
        ("boiler.x == 'on", 12, "this text does not end"),
        ("this.x > 5", 0, 'write each = "rack-*" beside it'),
        ("boiler.x > 9" + "0" * 20, 11, "this number is too large"),
        ("boiler.x > 1e999", 11, "this number is too large"),
    ],
)
def test_refusal_says_where_and_what_instead(text: str, column: int, complaint: str) -> None:
    with pytest.raises(BadExpression) as refused:
        Expression(text, SITE)
    assert complaint in refused.value.text
    assert refused.value.column == column


def test_metric_that_a_driver_cannot_know_is_a_doubt_and_no_error() -> None:
    assert Expression("rack-1.power > pump.phase_2", SITE).doubts == ()
    assert Expression("1 < rack-1.pover", SITE).doubts == (
        (4, 'rack-1 is not known to report "pover": did you mean "power"?'),
    )


def test_this_is_each_of_several_devices_with_one_compilation() -> None:
    expression = Expression("this.power > 5 and rack.power > 5", SITE, each=["rack-1", "rack-2"])
    memory = Memory()
    first, second = (expression.bind(memory, name) for name in ("rack-1", "rack-2"))
    memory.take(reading(1.0, "rack", {"power": 9}))
    memory.take(reading(1.0, "rack-1", {"power": 9}))
    assert first.judge(at(1.0)) is True
    assert second.judge(at(1.0)) is Unknown.NOT_SEEN
    assert first.reads.devices == {"rack", "rack-1"}
    assert second.reads.metrics == {Metric("rack", "power"), Metric("rack-2", "power")}


def test_metric_that_none_of_the_devices_has_is_an_error_and_one_that_some_lack_a_doubt() -> None:
    site = Site(
        {
            "a-1": Instrument(metrics=("x",), complete=True),
            "a-2": Instrument(metrics=("x", "y"), complete=True),
        }
    )
    assert Expression("this.x", site, each=["a-1", "a-2"]).doubts == ()
    assert len(Expression("this.y", site, each=["a-1", "a-2"]).doubts) == 1
    with pytest.raises(BadExpression, match='a-1 has no metric "z"'):
        Expression("this.z", site, each=["a-1", "a-2"])


def test_expression_says_what_it_reads() -> None:
    text = 'avg(boiler.x, "5m") > previous(pump.speed) and age(rack-1) < "1m" and stale(meter)'
    reads = bound(text).reads
    assert reads.metrics == {Metric("boiler", "x"), Metric("pump", "speed")}
    assert reads.devices == {"boiler", "pump", "rack-1", "meter"}
    assert reads.windows == {(Metric("boiler", "x"), "avg", 300.0)}


def test_expression_without_time_is_never_due() -> None:
    judged = bound("boiler.x > 1 and stale(pump)")
    assert not judged.timed
    assert judged.due(at(5.0)) == inf


@pytest.mark.parametrize(
    ("text", "before", "then", "after"),
    [
        ('age(pump) > "10s"', False, False, True),
        ('age(pump) >= "10s"', False, True, True),
        ('"10s" < age(pump)', False, False, True),
        ('age(pump) < "10s"', True, False, False),
        ('"1s" < age(pump) <= "10s"', True, True, False),
        ("age(pump) > 10", False, False, True),
    ],
)
def test_age_is_due_when_it_crosses_its_bound(text: str, before: bool, then: bool, after: bool) -> None:
    judged = bound(text, [(100.1, "pump", {"speed": 1})])
    crossing = 100.1 + 10.0
    assert judged.due(at(105.0)) == crossing
    assert judged.judge(at(nextafter(crossing, 0))) is before
    assert judged.judge(at(crossing)) is then
    later = judged.due(at(crossing))
    assert crossing < later < crossing + 1e-9
    assert judged.judge(at(later)) is after
    assert judged.due(at(later)) == inf


def test_age_of_a_device_that_never_spoke_is_unknown() -> None:
    judged = bound('age(pump) > "10s"')
    assert judged.judge(at(1000.0)) is Unknown.NOT_SEEN
    assert judged.due(at(1000.0)) == inf


@pytest.mark.parametrize("text", ['age(pump) - age(rack) > "5s"', "age(pump)", "max(age(pump), 3) > 5"])
def test_age_that_is_calculated_with_is_looked_at_again_and_again(text: str) -> None:
    assert bound(text, condition=False).due(at(5.0)) == 6.0


def test_stale_follows_what_is_announced_and_a_reading_ends_it() -> None:
    memory = Memory()
    judged = Expression("stale(pump)", SITE).bind(memory)
    assert judged.judge(at(0.0)) is Unknown.NOT_SEEN
    memory.take(reading(1.0, "pump", {"speed": 1}))
    assert judged.judge(at(1.0)) is False
    for presence, expected in [(Presence.STALE, True), (Presence.ONLINE, False), (Presence.OFFLINE, True)]:
        memory.hear(availability(2.0, "pump", presence))
        assert judged.judge(at(2.0)) is expected


def test_offline_is_what_is_announced_and_stale_is_not_offline() -> None:
    memory = Memory()
    judged = Expression("offline(rack-1)", SITE).bind(memory)
    assert judged.judge(at(0.0)) is Unknown.NOT_SEEN
    for presence, expected in [(Presence.OFFLINE, True), (Presence.STALE, False), (Presence.OFFLINE, True)]:
        memory.hear(availability(2.0, "rack-1", presence))
        assert judged.judge(at(2.0)) is expected
    memory.take(reading(3.0, "rack-1", {"power": 1}))
    assert judged.judge(at(3.0)) is False


@pytest.mark.parametrize("function", ["stale", "offline"])
def test_device_that_had_no_time_to_speak_is_what_it_was(function: str) -> None:
    memory = Memory()
    judged = Expression(f"{function}(pump)", SITE).bind(memory)
    unproven = replace(availability(0.0, "pump", Presence.OFFLINE), unproven=True)
    memory.hear(unproven)
    assert judged.judge(at(0.0)) is Unknown.NOT_SEEN
    memory.hear(availability(1.0, "pump", Presence.OFFLINE))
    memory.hear(unproven)
    assert judged.judge(at(1.0)) is True
    memory.take(reading(2.0, "pump", {"speed": 1}))
    memory.hear(unproven)
    assert judged.judge(at(2.0)) is False


def test_what_the_gateway_counts_is_no_sign_of_life() -> None:
    memory = Memory()
    texts = ['boiler["$rejected"]', 'rate(boiler["$rejected"], "1m")', "age(boiler)", "stale(boiler)"]
    count, rate, age, stale = [Expression(each, SITE, condition=False).bind(memory) for each in texts]
    memory.count(tally(5.0, "boiler", {"$rejected": 3, "$read": 8}))
    memory.count(tally(10.0, "boiler", {"$rejected": 13}))
    memory.count(tally(10.0, "nobody asks", {"$rejected": 1}))
    assert (count.judge(at(10.0)), rate.judge(at(10.0))) == (13, 2.0)
    assert age.judge(at(10.0)) is stale.judge(at(10.0)) is Unknown.NOT_SEEN


def test_count_is_not_mixed_with_what_an_instrument_calls_so() -> None:
    memory = Memory()
    count = Expression('boiler["$rejected"]', SITE, condition=False).bind(memory)
    metric = Expression("boiler.rejected", SITE, condition=False).bind(memory)
    memory.count(tally(5.0, "boiler", {"$rejected": 3}))
    memory.take(reading(6.0, "boiler", {"$rejected": 99, "rejected": 7}))
    assert (count.judge(at(6.0)), metric.judge(at(6.0))) == (3, 7)


def test_hour_and_weekday_are_those_of_the_zone() -> None:
    sunday_2330_utc = 1_795_995_000  # 2026-11-29 23:30 UTC is Monday in Berlin
    stamp = at(10.0, sunday_2330_utc)
    assert bound("hour()", condition=False).judge(stamp) == 0
    assert bound("weekday()", condition=False).judge(stamp) == 1


def test_hour_is_due_at_its_end_and_once_a_minute_since_the_clock_may_be_set() -> None:
    judged = bound("hour() == 1")
    assert judged.due(at(10.0, 3600 - 7)) == 17.0
    assert judged.due(at(10.0, 0)) == 70.0


def test_hour_is_unknown_while_the_clock_is_not_synchronised() -> None:
    judged = bound("hour() == 1")
    stamp = Stamp(0, 5.0, synchronised=False)
    assert judged.judge(stamp) is Unknown.CLOCK
    assert judged.due(stamp) == 65.0


def test_previous_is_the_value_before_the_last() -> None:
    seen: Readings = [
        (1.0, "pump", {"speed": 1}),
        (2.0, "pump", {"running": True}),
        (3.0, "pump", {"speed": 5}),
    ]
    assert value("previous(pump.speed)", seen[:1]) is Unknown.NOT_SEEN
    assert value("previous(pump.speed)", seen) == 1
    assert value("pump.speed > previous(pump.speed)", seen) is True


def test_integer_beyond_all_instruments_is_a_float_and_beyond_floats_unknown() -> None:
    assert value("boiler.x", [(1.0, "boiler", {"x": 2**64})]) == 2.0**64
    assert type(value("boiler.x", [(1.0, "boiler", {"x": 2**64})])) is float
    assert value("boiler.x + 1", [(1.0, "boiler", {"x": 10**400})]) is Unknown.OVERFLOW


def test_value_that_was_seen_stays_until_another_comes() -> None:
    seen: Readings = [(1.0, "boiler", {"x": 5, "y": 1}), (2.0, "boiler", {"y": 2})]
    assert value("boiler.x * 10 + boiler.y", seen, now=1e9) == 52


def test_rules_share_the_windows_that_are_the_same() -> None:
    memory = Memory()
    for text in ('avg(boiler.x, "1m") > 1', 'avg(boiler.x, "60s") > 2 and avg(boiler.x, "2m") > 1'):
        Expression(text, SITE).bind(memory)
    assert len(memory.cell("boiler", "x").windows) == 2
