"""What P1 telegrams tell, and which of them are believed."""

from collections import Counter
from collections.abc import Callable
from itertools import islice

import pytest

from drivers.dsmr.codec import LONGEST, Checking, Telegrams
from drivers.dsmr.metrics import METRICS
from drivers.dsmr.simulator import telegram, telegrams
from drivers.dsmr.values import by_code, by_name
from gateway.model import Value

GOOD = telegram(
    "ISk5\\2MT382-1000", ["1-3:0.2.8(50)", "1-0:1.8.1(000004.426*kWh)", "0-0:96.13.0(48616C6C6F)"]
)
PLAIN = b"/KMP5 ZABF001587315111\r\n1-0:1.8.1(00185.000*kWh)\r\n!\r\n"
"""DSMR 2.2 has no checksum."""
WRONG = GOOD.replace(b"4.426", b"4.427")


def decoded(stream: bytes, check: Checking = "if_sent") -> tuple[list[bytes], Counter[str]]:
    """The frames as they stand in the stream, and what was refused."""
    decoder = Telegrams(by_code, check=check)
    frames = [*decoder.feed(stream), *decoder.finish()]
    return [stream[frame.offset : frame.offset + frame.length] for frame in frames], decoder.rejected


def values(*lines: str, identification: str = "XXX5") -> dict[str, Value]:
    [frame] = Telegrams(by_name, check="always").feed(telegram(identification, list(lines)))
    return frame.values


def codes(*lines: str) -> dict[str, Value]:
    [frame] = Telegrams(by_code, check="always").feed(telegram("XXX5", list(lines)))
    return frame.values


# Which telegrams are believed


def test_telegram_with_the_right_checksum_is_a_frame_with_its_first_line_as_id() -> None:
    [frame] = Telegrams(by_code, check="if_sent").feed(GOOD)
    assert (frame.offset, frame.length, frame.id) == (0, len(GOOD), "ISk5\\2MT382-1000")
    assert frame.values == {"1-3:0.2.8": "50", "1-0:1.8.1": 4.426, "0-0:96.13.0": "48616C6C6F"}


@pytest.mark.parametrize(
    ("check", "good", "plain", "wrong"),
    [("if_sent", True, True, False), ("always", True, False, False), ("never", True, True, True)],
)
def test_option_says_which_checksums_are_wanted(
    check: Checking, good: bool, plain: bool, wrong: bool
) -> None:
    wanted = [stream for stream, is_wanted in ((GOOD, good), (PLAIN, plain), (WRONG, wrong)) if is_wanted]
    found, rejected = decoded(GOOD + PLAIN + WRONG, check)
    assert found == wanted
    assert rejected.total() == 3 - len(wanted)


def test_refusals_say_whether_the_checksum_is_wrong_or_missing() -> None:
    assert decoded(WRONG)[1] == {"checksum": 1}
    assert decoded(PLAIN, "always")[1] == {"no checksum": 1}


@pytest.mark.parametrize("change", [bytes.lower, bytes.upper])
def test_checksum_may_be_in_either_case(change: Callable[[bytes], bytes]) -> None:
    body, bang, checksum = GOOD.rpartition(b"!")
    assert decoded(body + bang + change(checksum)) == ([body + bang + change(checksum)], {})


def test_checksum_may_lack_its_leading_zeros() -> None:
    for number in range(100):
        padded = telegram("XXX5", [f"1-0:1.8.1({number:010}*kWh)"])
        body, bang, checksum = padded.rpartition(b"!")
        if checksum.startswith(b"0"):
            short = body + bang + checksum.lstrip(b"0")
            assert decoded(short) == ([short], {})
            return
    pytest.fail("no checksum with a leading zero")


@pytest.mark.parametrize("ending", [b"12345", b"xyz", b"-001", b"12 34 "])
def test_what_is_no_checksum_behind_the_end_sign_is_a_wrong_one(ending: bytes) -> None:
    body, bang, _ = GOOD.rpartition(b"!")
    assert decoded(body + bang + ending + b"\r\n") == ([], {"checksum": 1})


@pytest.mark.parametrize("ending", [b"\r\n", b"\n", b"\x00\r\n", b" \r\n", b""])
def test_last_line_may_end_in_other_ways(ending: bytes) -> None:
    stream = GOOD.removesuffix(b"\r\n") + ending
    assert decoded(stream) == ([stream], {})
    assert len(decoded(stream + GOOD)[0]) == 2


def test_lines_may_end_with_line_feeds_alone() -> None:
    stream = PLAIN.replace(b"\r", b"")
    assert decoded(stream) == ([stream], {})


@pytest.mark.parametrize("check", ["if_sent", "always"])
@pytest.mark.parametrize("cut_at", [10, 30, len(GOOD) - 30, len(GOOD) - 10])
def test_telegram_that_is_cut_costs_itself_only(cut_at: int, check: Checking) -> None:
    assert decoded(GOOD[:cut_at] + GOOD + GOOD, check) == ([GOOD, GOOD], {"cut": 1})


def test_telegram_without_an_end_line_is_believed_only_without_checksums() -> None:
    endless = PLAIN.removesuffix(b"!\r\n")
    assert decoded(endless * 3) == ([], {"cut": 2})
    assert decoded(endless * 3, "never") == ([endless, endless], {})


def test_text_that_looks_like_a_first_line_cuts_nothing_where_the_checksum_fits() -> None:
    stream = telegram("XXX5", ["0-0:96.13.0(see /ABC5 there)", "1-0:1.8.1(000004.426*kWh)"])
    assert decoded(stream) == ([stream], {})


def test_text_with_slashes_and_exclamation_marks_is_a_text() -> None:
    assert codes("0-0:96.13.0(test-/-test!)") == {"0-0:96.13.0": "test-/-test!"}


def test_end_that_the_stream_cuts_off_is_not_counted() -> None:
    for length in range(len(GOOD) - 2):
        assert decoded(GOOD[:length])[1] == {}


def test_telegram_without_values_is_refused() -> None:
    assert decoded(b"/ABC5 noise\r\n\xff\xfe\r\n!\r\n") == ([], {"no values": 1})


def test_telegram_that_does_not_end_is_given_up() -> None:
    line = b"1-0:1.8.1(000004.426*kWh)\r\n"
    found, rejected = decoded(GOOD.partition(b"\r\n")[0] + b"\r\n" + line * (LONGEST // len(line) + 1) + GOOD)
    assert (found, rejected) == ([GOOD], {"too long": 1})


@pytest.mark.parametrize("length", [b"\x82\x03\x98", b"\x81\xf8", b"\x70"])
def test_encrypted_telegrams_are_recognised_and_counted(length: bytes) -> None:
    header = b"\xdb\x08SAGgp\x05\x88\xc1" + length + b"\x30\x00\x00\x01\x9c"
    found, rejected = decoded((header + b"\x9a" * 300) * 2 + GOOD)
    assert found == [GOOD]
    assert rejected == {"encrypted: this driver has no key": 2}


@pytest.mark.repetitive
@pytest.mark.parametrize(
    "hostile",
    [
        b"/AAA5",
        b"/AAA5\r\n",
        b"\r\n!",
        b"\n!0\n",
        b"/AAA5\n!0\n",
        b"/AAA5\n" + b"/AAA5" * 3000 + b"\n!0\n",
        b"\xdb\x08SAG",
        b"/AAA5\n" + b"0-0:1.0.0(1)\n" * 1200 + b"!\n",
        b"/AAA5\n" + b"(" * 16_000 + b"\n!\n",
        b"/AAA5\n0-0:1.0.0" + b"()" * 8_000 + b"\n!\n",
        b"/AAA5\n0-0:1.0.0(" + b"9" * 16_000 + b"*kWh)\n!\n",
    ],
)
def test_after_a_megabyte_that_is_hard_to_read_comes_the_next_one(hostile: bytes) -> None:
    found, _ = decoded(hostile * (1_000_000 // len(hostile)) + b"\r\n" + GOOD + GOOD)
    assert found[-1] == GOOD


# What they tell, by code


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1-0:1.8.0*255(00052185.7825309*kWh)", {"1-0:1.8.0": 52185.7825309}),
        ("1-0:1.8.0*01(00052185.78*kWh)", {"1-0:1.8.0*01": 52185.78}),
        ("1-0:31.7.0(003*A)", {"1-0:31.7.0": 3}),
        ("0-0:96.7.21(00015)", {"0-0:96.7.21": "00015"}),
        ("0-0:96.13.0()", {"0-0:96.13.0": ""}),
        ("1-0:13.7.0(0.616)", {"1-0:13.7.0": 0.616}),
        ("1-0:16.7.0(-00.123*kW)", {"1-0:16.7.0": -0.123}),
        ("0-1:24.2.1(161129200000W)(00981.443*m3)", {"0-1:24.2.1": 981.443}),
        ("0-1:24.2.1(161129200000)(00981.443*m3)", {"0-1:24.2.1": 981.443}),
        ("0-1:24.2.1(700101010000W)(00000000)", {"0-1:24.2.1": "00000000"}),
        ("1-1:31.4.0(100*A)(-063*A)", {"1-1:31.4.0": "(100*A)(-063*A)"}),
        ("1-0:99.97.0(0)(0-0:96.7.19)", {"1-0:99.97.0": "(0)(0-0:96.7.19)"}),
        ("0-0:98.1.0(12)", {"0-0:98.1.0": "12"}),
        ("1-0:1.8.0(" + "9" * 30 + "*kWh)", {"1-0:1.8.0": "9" * 30 + "*kWh"}),
    ],
)
def test_line_becomes_a_value_under_its_code(line: str, expected: dict[str, Value]) -> None:
    assert codes(line) == expected


def test_gas_of_dsmr_3_stands_on_the_next_line_under_its_own_code() -> None:
    found = codes("0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)", "(00001.001)", "0-1:24.4.0(1)")
    assert found == {"0-1:24.2.1": 1.001, "0-1:24.4.0": "1"}


def test_repeated_code_is_numbered() -> None:
    assert codes(*["0-0:96.13.0()"] * 3) == {"0-0:96.13.0": "", "0-0:96.13.0_2": "", "0-0:96.13.0_3": ""}


def test_unreadable_lines_are_dropped_and_the_others_kept() -> None:
    lines = ["1-0:99:97.0(2)", "(00001.001)", "1-0:1.8.1(1.5*kWh", "nonsense", "1-0:1.8.2(2.5*kWh)"]
    decoder = Telegrams(by_code, check="always")
    [frame] = decoder.feed(telegram("XXX5", lines))
    assert frame.values == {"1-0:1.8.2": 2.5}
    assert decoder.dropped == {"unreadable line": 4}


# By name


def test_values_have_the_metrics_unit_whatever_the_meters_is() -> None:
    assert values("1-0:1.8.0(006545766*Wh)", "1-0:1.7.0(00.286*kW)") == {
        "energy_import": 6545.766,
        "power_import": 286,
    }
    assert values("1-0:1.8.0(006545.766*kWh)", "1-0:1.7.0(000000286*W)") == {
        "energy_import": 6545.766,
        "power_import": 286,
    }


def test_counts_and_states_are_numbers_and_serial_numbers_texts() -> None:
    assert values("0-0:96.7.21(00015)", "0-0:96.14.0(0002)", "0-0:0.0.0(0272031312565)") == {
        "power_failures": 15,
        "tariff": 2,
        "meter_number": "0272031312565",
    }


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("4B384547303034303436333935353037", "K8EG004046395507"),
        ("3960221976967177082151037881335713", "3960221976967177082151037881335713"),
        ("1ESY1313002565", "1ESY1313002565"),
    ],
)
def test_texts_in_hexadecimal_digits_are_read(sent: str, text: str) -> None:
    assert values(f"0-0:96.1.1({sent})") == {"meter_id": text}


def test_empty_values_are_left_out() -> None:
    assert values("0-0:96.13.0()", "0-0:96.1.2(2020)", "0-0:96.14.0(1)") == {"tariff": 1}


def test_times_are_local_and_void_ones_left_out() -> None:
    assert values("0-0:1.0.0(161113205757W)") == {"time": "2016-11-13T20:57:57"}
    assert values("0-0:1.0.0(250000000000W)", "0-0:96.14.0(1)") == {"tariff": 1}


@pytest.mark.parametrize(
    ("kind", "sent", "name", "value"),
    [
        ("003", "00981.443*m3", "gas", 981.443),
        ("3", "00981.443*m3", "gas", 981.443),
        ("007", "00872.234*m3", "water", 872.234),
        ("006", "00872.234*m3", "hot_water", 872.234),
        ("004", "12.600*GJ", "heat", 3500),
        ("012", "12.600*GJ", "heat", 3500),
        ("010", "12.600*GJ", "cooling", 3500),
        ("002", "00012.345*kWh", "submeter_energy", 12.345),
    ],
)
def test_other_meters_are_named_by_what_they_measure(kind: str, sent: str, name: str, value: float) -> None:
    # The type may come after what it explains.
    assert values(
        "0-2:96.1.0(4730303339303031)",
        f"0-2:24.1.0({kind})",
        f"0-2:24.2.1(161129200000W)({sent})",
        "0-2:24.4.0(1)",
    ) == {
        name: pytest.approx(value),
        f"{name}_time": "2016-11-29T20:00:00",
        f"{name}_meter_id": "G0039001",
        f"{name}_valve": 1,
    }


def test_gas_of_dsmr_3_is_named_too() -> None:
    assert values("0-1:24.1.0(3)", "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)", "(00001.001)") == {
        "gas": 1.001,
        "gas_time": "2009-02-12T16:00:00",
    }


def test_second_meter_of_a_kind_is_numbered_and_one_never_heard_of_left_out() -> None:
    assert values(
        *("0-1:24.1.0(003)", "0-1:96.1.0()", "0-1:24.2.1(700101010000W)(00000000)", "0-1:24.4.0(1)"),
        *("0-2:24.1.0(003)", "0-2:24.2.1(200426223001S)(00246.138*m3)"),
        *("0-3:24.1.0(007)", "0-3:24.2.1(632525252525S)(00000.000)"),
        *("0-4:24.1.0(003)", "0-4:24.2.3(200426223001S)(00012.000*m3)"),
    ) == {
        "gas": 246.138,
        "gas_time": "2020-04-26T22:30:01",
        "gas_2": 12,
        "gas_time_2": "2020-04-26T22:30:01",
    }


def test_what_a_second_meter_says_is_never_taken_for_the_firsts() -> None:
    assert values(
        *("0-1:24.1.0(003)", "0-1:24.2.1(200706103140S)(00000.006*m3)"),
        *("0-4:24.1.0(003)", "0-4:96.1.0(454C53)", "0-4:96.1.2(3534)"),
        *("0-4:24.2.1(200706102900S)(00028.103*m3)", "0-4:24.4.0(1)"),
    ) == {
        "gas": 0.006,
        "gas_time": "2020-07-06T10:31:40",
        "gas_2": 28.103,
        "gas_time_2": "2020-07-06T10:29:00",
        "gas_meter_id_2": "ELS",
        "gas_ean_2": "54",
        "gas_valve_2": 1,
    }


def test_relays_of_the_meter_are_no_valves_of_those_on_the_same_channel() -> None:
    assert values(
        *("0-1:96.3.10(1)", "0-2:96.3.10(0)"),
        *("0-1:24.1.0(003)", "0-1:24.2.1(200706103140S)(00000.006*m3)", "0-1:24.4.0(0)"),
        *("0-3:24.1.0(002)", "0-3:24.2.1(200706103140S)(00001.500*kWh)", "0-3:96.3.10(1)"),
    ) == {
        "relay_1": 1,
        "relay_2": 0,
        "gas": 0.006,
        "gas_time": "2020-07-06T10:31:40",
        "gas_valve": 0,
        "submeter_energy": 1.5,
        "submeter_energy_time": "2020-07-06T10:31:40",
        "submeter_energy_valve": 1,
    }


def test_what_another_meter_says_besides_is_kept_under_its_code() -> None:
    found = values(
        *("0-1:24.1.0(003)", "0-1:96.1.0(4730)", "0-1:96.1.1(4731)", "0-1:24.2.1(200426223001S)(1.5*m3)"),
        *("0-1:24.9.9(007)", "0-1:24.4.0(x)"),
    )
    assert found == {
        "gas": 1.5,
        "gas_time": "2020-04-26T22:30:01",
        "gas_meter_id": "G0",
        "obis.0_1_96_1_1": "4731",
        "obis.0_1_24_9_9": "007",
    }


def test_meter_of_an_unknown_kind_keeps_its_codes() -> None:
    assert values("0-1:24.1.0(099)", "0-1:24.2.1(200426223001S)(00246.138*m3)") == {
        "obis.0_1_24_1_0": "099",
        "obis.0_1_24_2_1": 246.138,
        "obis.0_1_24_2_1_time": "2020-04-26T22:30:01",
    }


def test_highest_power_of_the_month_has_its_time() -> None:
    assert values("1-0:1.6.0(200509134558S)(02.589*kW)") == {
        "power_import_max": 2589,
        "power_import_max_time": "2020-05-09T13:45:58",
    }


def test_several_numbers_on_one_line_are_numbered() -> None:
    """As in Luxembourg: what may be drawn, and what may be fed in."""
    assert values("1-1:31.4.0(100*A)(-063*A)") == {"current_limit_l1": 100, "current_limit_l1_2": -63}
    assert values(f"1-1:31.4.0(100*A)({'(' * 4000}5*A)") == {"current_limit_l1": 100}


def test_number_that_is_none_is_dropped() -> None:
    decoder = Telegrams(by_name, check="always")
    [frame] = decoder.feed(
        telegram("XXX5", ["1-0:1.7.0(--.---*kW)", "1-0:1.6.0(200509134558S)(-*kW)", "1-0:2.7.0(00.100*kW)"])
    )
    assert frame.values == {"power_export": 100}
    assert decoder.dropped == {"unreadable value": 2}


def test_simulated_gas_meter_tells_every_five_minutes() -> None:
    decoder = Telegrams(by_name, check="always")
    times = [frame.values["gas_time"] for sent in islice(telegrams(0), 601) for frame in decoder.feed(sent)]
    assert sorted(Counter(times).values()) == [1, 300, 300]


def test_what_values_are_named_is_described() -> None:
    found = values(
        *("0-1:24.1.0(003)", "0-1:96.1.0(4730)", "0-1:24.2.1(200426223001S)(00246.138*m3)", "0-1:24.4.0(1)"),
        *("0-2:24.1.0(003)", "0-2:24.2.1(200426223001S)(00246.138*m3)", "0-2:24.4.0(1)", "0-3:96.3.10(1)"),
        *(
            "1-0:1.6.0(200509134558S)(02.589*kW)",
            "0-0:17.0.0(069.0*kVA)",
            "1-0:1.4.0(00.288*kW)",
            "1-0:81.7.4(12*deg)",
        ),
    )
    assert set(found) <= METRICS.keys()
