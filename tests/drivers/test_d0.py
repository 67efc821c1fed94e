"""What readouts tell, by code and by name, and which of them are believed."""

from collections import Counter

import pytest

from drivers.checksum import xor8
from drivers.d0.codec import LONGEST, Readouts
from drivers.d0.simulator import readout
from drivers.d0.values import by_code, by_name
from gateway.model import Value

FIRST = b"/ISk5MT174-0001\r\n"
CHECKED = FIRST + readout(["1.8.0(0008048.375*kWh)", "F.F(0000000)"])
PUSHED = b"/SIE32WR5\r\n6.8(0029.055*MWh)6.26(01589.28*m3)\r\n9.2(&&)0.0(00010213)!\r\n"
"""Mode D: without STX, ETX and BCC, and several values in a line."""
WRONG = CHECKED.replace(b"8048.375", b"8048.376")


def decoded(stream: bytes) -> tuple[list[bytes], Counter[str]]:
    """The frames as they stand in the stream, and what was refused."""
    decoder = Readouts(by_code)
    frames = [*decoder.feed(stream), *decoder.finish()]
    return [stream[frame.offset : frame.offset + frame.length] for frame in frames], decoder.rejected


def codes(*lines: str) -> dict[str, Value]:
    [frame] = Readouts(by_code).feed(FIRST + readout(list(lines)))
    return frame.values


def values(*lines: str) -> dict[str, Value]:
    [frame] = Readouts(by_name).feed(FIRST + readout(list(lines)))
    return frame.values


# Which readouts are believed


def test_readout_with_the_right_check_character_is_a_frame_with_its_first_line_as_id() -> None:
    [frame] = Readouts(by_code).feed(CHECKED)
    assert (frame.offset, frame.length, frame.id) == (0, len(CHECKED), "/ISk5MT174-0001")
    assert frame.values == {"1.8.0": 8048.375, "F.F": "0000000"}


def test_wrong_check_character_costs_the_readout() -> None:
    assert decoded(WRONG + CHECKED) == ([CHECKED], {"checksum": 1})


def test_check_character_may_be_any_byte() -> None:
    seen = set()
    for number in range(2000):
        stream = FIRST + readout([f"1.8.0({number}*kWh)", "C.1(/ABC5\\X)" if number % 2 else "C.1(x)"])
        assert decoded(stream + CHECKED) == ([stream, CHECKED], {})
        seen.add(stream[-1])
    assert len(seen) > 8


def test_readout_of_mode_d_needs_no_check_character() -> None:
    found = Readouts(by_code).feed(PUSHED * 2)
    assert [frame.length for frame in found] == [len(PUSHED)] * 2
    assert found[0].values == {"6.8": 29.055, "6.26": 1589.28, "9.2": "&&", "0.0": "00010213"}


@pytest.mark.parametrize("whole", [CHECKED, PUSHED])
def test_line_feeds_alone_end_lines_too(whole: bytes) -> None:
    """As a terminal's driver makes them of CR LF."""
    for end in (b"\n\n", b"\n"):
        first, *lines = whole.split(b"\r\n")
        stream = end.join([first, *lines])
        if b"\x03" in stream:
            block = stream[stream.index(b"\x02") + 1 : -1]
            stream = stream[:-1] + bytes([xor8(block)])
        found, rejected = decoded(stream + whole)
        assert rejected == {}
        assert [each.rstrip(b"\n") for each in found] == [stream.rstrip(b"\n"), whole.rstrip(b"\n")]


def test_end_sign_may_be_the_last_that_comes() -> None:
    for whole in (PUSHED, CHECKED[: CHECKED.index(b"!") + 3]):
        assert decoded(whole.rstrip(b"\r\n")) == ([whole.rstrip(b"\r\n")], {})


def test_readout_that_ends_without_etx_is_believed_once_something_else_follows() -> None:
    short = FIRST + b"\x021.8.0(0008048.375*kWh)\r\n!\r\n"
    decoder = Readouts(by_code)
    assert decoder.feed(short) == []
    assert [frame.length for frame in decoder.feed(b"\x00")] == [len(short)]
    assert decoded(short) == ([short], {})


@pytest.mark.parametrize("echo", [b"\x06050\r\n", b"\x06\r\n", b"\x00\x00", b"\r\n", b"\x9a\xe0"])
def test_echo_of_the_acknowledgement_belongs_to_the_readout(echo: bytes) -> None:
    stream = FIRST + echo + CHECKED.removeprefix(FIRST)
    assert decoded(stream) == ([stream], {})


def test_echo_of_the_acknowledgement_is_no_value_in_mode_d_either() -> None:
    decoder = Readouts(by_code)
    [frame] = decoder.feed(PUSHED.replace(b"WR5\r\n", b"WR5\r\n\x06030\r\n"))
    assert (next(iter(frame.values)), decoder.dropped) == ("6.8", {})


@pytest.mark.parametrize(
    "before", [b"/?!\r\n", b"\x00" * 40 + b"/?00123456!\r\n", b"/?!\r\n/?!\r\n", b"\xff/"]
)
def test_our_own_request_before_it_is_passed_over(before: bytes) -> None:
    assert decoded(before + CHECKED) == ([CHECKED], {})


def test_request_stands_for_the_first_line_where_that_was_not_recorded() -> None:
    stream = b"/?Bla0!\r\n6.8(0029.055*MWh)0.0(00010213)!\r\n"
    [frame] = Readouts(by_code).feed(stream)
    assert (frame.offset, frame.length, frame.id) == (0, len(stream), "/?Bla0!")


def test_block_without_a_first_line_is_a_frame_if_its_check_character_is_right() -> None:
    block = CHECKED.removeprefix(FIRST)
    assert decoded(block) == ([block], {})
    assert decoded(WRONG.removeprefix(FIRST)) == ([], {})


def test_answer_to_a_read_command_ends_with_etx_alone() -> None:
    block = b"0.0.0(00123456)\x03"
    answer = b"\x02%b%c" % (block, xor8(block))
    assert decoded(answer) == ([answer], {})


@pytest.mark.parametrize("whole", [CHECKED, PUSHED])
@pytest.mark.parametrize("cut_at", [len(FIRST), len(FIRST) + 5, len(FIRST) + 20])
def test_readout_that_is_cut_costs_itself_only(whole: bytes, cut_at: int) -> None:
    assert decoded(whole[:cut_at] + whole) == ([whole], {"cut": 1})


@pytest.mark.parametrize("whole", [CHECKED, PUSHED])
def test_end_that_the_stream_cuts_off_is_not_counted(whole: bytes) -> None:
    for length in range(len(whole)):
        assert decoded(whole[:length])[1] == {}


def test_readout_of_twenty_kilobytes_is_read() -> None:
    stream = FIRST + readout([f"1.8.{number}(0008048.375*kWh)" for number in range(900)])
    assert len(stream) > 20_000
    assert decoded(stream) == ([stream], {})


def test_readout_that_does_not_end_is_given_up() -> None:
    line = b"1.8.0(0008048.375*kWh)\r\n"
    assert decoded(FIRST + line * (LONGEST // len(line) + 1) + CHECKED) == ([CHECKED], {"too long": 1})


def test_readout_without_values_is_refused() -> None:
    assert decoded(FIRST + b"nothing\r\n!\r\n") == ([], {"no values": 1})


@pytest.mark.repetitive
@pytest.mark.parametrize(
    "hostile",
    [
        b"/AAA5x\r\n",
        b"\x02",
        b"\x02\x03A",
        b"/AAA5x\r\n\x02!\r\n\x03A",
        b"/AAA5x\r\n" + b"\x03" * 60_000,
        b"/AAA5x\r\n1" + b"(1)" * 20_000 + b"!\r\n",
        b"/AAA5x\r\n" + b"(1\n" * 20_000 + b")!\r\n",
        b"/AAA5x\r\n" + b"1\n" * 20_000 + b")!\r\n",
        b"/?!\r\n1",
    ],
)
def test_after_a_megabyte_that_is_hard_to_read_comes_the_next_one(hostile: bytes) -> None:
    found, _ = decoded(hostile * (1_000_000 // len(hostile)) + b"\r\n" + CHECKED + CHECKED)
    assert found[-1] == CHECKED


# What they tell, by code


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1-0:1.8.0*255(0008048.375*kWh)", {"1-0:1.8.0": 8048.375}),
        ("1-0:1.8.0*15(0004224.392*kWh)", {"1-0:1.8.0*15": 4224.392}),
        ("0-0:96.1.255*255(1ESY1313002565)", {"0-0:96.1.255": "1ESY1313002565"}),
        ("31.7.0(+000.8*A)", {"31.7.0": 0.8}),
        ("16.7.0(-0.12*kW)", {"16.7.0": -0.12}),
        ("6.31(0030710*h)", {"6.31": 30710}),
        ("0.2.0(1.03)", {"0.2.0": 1.03}),
        ("0.1.0(33)", {"0.1.0": "33"}),
        ("1-0:1.6.2*01()", {"1-0:1.6.2*01": ""}),
        ("9.4(088*C&082*C)", {"9.4": "088*C&082*C"}),
        ("0.3.0(1000*imp/kWh)", {"0.3.0": 1000}),
        ("0.2.0(V01.69#EEA3546C)", {"0.2.0": "V01.69#EEA3546C"}),
        ("1.6.0(02.468*kW)(1703100930)", {"1.6.0": 2.468, "1.6.0_2": "1703100930"}),
        ("F(0)9.20(64030874)6.35(60*m)", {"F": "0", "9.20": "64030874", "6.35": 60}),
        ("P.01(1703100930)(00)(15)\r\n(0.123)(0.456)",
         {"P.01": "1703100930", "P.01_2": "00", "P.01_3": "15", "P.01_4": 0.123, "P.01_5": 0.456}),
    ],
)  # fmt: skip
def test_line_becomes_values_under_its_code(line: str, expected: dict[str, Value]) -> None:
    assert codes(line) == expected


def test_what_is_no_value_is_dropped_and_the_others_kept() -> None:
    decoder = Readouts(by_code)
    [frame] = decoder.feed(
        FIRST + b"F\x19\x0e\x19vff\r\n1-1:52.7.0(230.5*V)\r\n(\x01)2.8.0(1.5*kWh)\r\n!\r\n"
    )
    assert frame.values == {"1-1:52.7.0": 230.5, "2.8.0": 1.5}
    assert decoder.dropped == {"unreadable line": 2}


# By name


def test_codes_have_the_same_names_with_and_without_their_first_parts() -> None:
    assert values("1.8.1(0008048.375*kWh)") == values("1-0:1.8.1*255(0008048.375*kWh)")
    assert values("1.8.1(0008048.375*kWh)") == {"energy_import_t1": 8048.375}


def test_numbers_without_a_unit_have_the_one_that_meters_leave_out() -> None:
    assert values("1.8.0(0008048.375)", "1.8.2(00012345)", "1.7.0(0.908)") == {
        "energy_import": 8048.375,
        "energy_import_t2": 12345,
        "power_import": 908,
    }


def test_highest_powers_have_their_times_and_past_periods_their_number() -> None:
    assert values(
        "1.6.0(02.468*kW)(1703100930)",
        "1.6.0*01(03.258*kW)(170210200015)",
        "1.6.0*02()",
        "1.8.0*01(0007904.135*kWh)",
    ) == {
        "power_import_max": 2468,
        "power_import_max_time": "2017-03-10T09:30",
        "history.1.power_import_max": 3258,
        "history.1.power_import_max_time": "2017-02-10T20:00:15",
        "history.1.energy_import": 7904.135,
    }


def test_heat_meters_are_understood() -> None:
    assert values(
        "6.8(0029.055*MWh)6.26(01589.28*m3)6.8*01(0028.086*MWh)9.36(2017-01-18&01:36:47)9.7(20000)"
    ) == {
        "heat": 29055,
        "heat_volume": 1589.28,
        "history.1.heat": 28086,
        "time": "2017-01-18T01:36:47",
        "obis.9_7": "20000",
    }


def test_texts_stay_as_they_are_printed() -> None:
    assert values("F.F(00000000)", "0.2.0(1.03)", "0.0.0(63355730)", "0.1.0(33)") == {
        "error": "00000000",
        "firmware": "1.03",
        "meter_number": "63355730",
        "resets": 33,
    }


def test_number_that_is_none_is_dropped() -> None:
    decoder = Readouts(by_name)
    [frame] = decoder.feed(FIRST + readout(["1.7.0(--.--*kW)", "1.6.0(0.5*kW)(9999999999)", "2.7.0(0.1*kW)"]))
    assert frame.values == {"power_import_max": 500, "power_export": 100}
    assert decoder.dropped == {"unreadable value": 2}
