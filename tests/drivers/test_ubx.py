"""Messages out of a stream, and what they say; values of real receivers are in test_captures.py."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Frame, Names
from drivers.nmea0183.simulator import sentence
from drivers.ubx import DRIVER, Options, codec
from drivers.ubx.codec import LONGEST, Messages
from drivers.ubx.layout import parse
from drivers.ubx.messages import MESSAGES, ONLY_WHEN_ASKED_FOR, TEXTS, layout, metrics
from drivers.ubx.simulator import message
from gateway.model import Value

EOE = message(0x01, 0x61, struct.pack("<I", 1000))
POSLLH = message(
    0x01, 0x02, struct.pack("<IiiiiII", 1000, 85_652_000, -472_852_000, 452_125, 404_525, 1500, 2500)
)
GLL = sentence("GNGLL,4717.112,N,00833.912,E,120000.00,A,A")


def decoded(*chunks: bytes, names: Names = "protocol", **options: object) -> tuple[list[Frame], Messages]:
    decoder = Messages(names=names, **options)  # type: ignore[arg-type]
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.finish()], decoder


def values(stream: bytes, names: Names = "readable", **options: object) -> dict[str, Value]:
    [frame], decoder = decoded(stream, names=names, **options)
    assert not decoder.rejected
    return frame.values


# The stream


def test_message_between_other_things_is_where_it_says() -> None:
    frames, decoder = decoded(b"\x00\xb5" + GLL + POSLLH + b"\xd3\x00\x02xx" + EOE)
    assert [(frame.id, frame.offset, frame.length) for frame in frames] == [
        ("NAV-POSLLH", 2 + len(GLL), 36),
        ("NAV-EOE", 2 + len(GLL) + 36 + 5, 12),
    ]
    assert not decoder.rejected


def test_damaged_message_costs_only_itself() -> None:
    damaged = bytearray(POSLLH)
    damaged[12] ^= 1
    frames, decoder = decoded(EOE + damaged + EOE)
    assert [frame.offset for frame in frames] == [0, 48]
    assert decoder.rejected == {"checksum": 1}


@pytest.mark.parametrize("kept", range(2, 36))
def test_message_that_is_cut_by_the_next_costs_only_itself(kept: int) -> None:
    following = POSLLH * 3
    frames, _ = decoded(POSLLH[:kept] + following)
    assert [frame.offset for frame in frames] == [kept, kept + 36, kept + 72]


def test_message_that_the_end_cuts_is_not_counted() -> None:
    frames, decoder = decoded(EOE + POSLLH[:-1])
    assert len(frames) == 1
    assert not decoder.rejected


def test_messages_behind_a_start_that_never_ends_come_at_the_end() -> None:
    begun = b"\xb5\x62\x01\x07" + struct.pack("<H", 4000)
    frames, decoder = decoded(begun + EOE + POSLLH)
    assert [frame.id for frame in frames] == ["NAV-EOE", "NAV-POSLLH"]
    assert not decoder.rejected


def test_length_beyond_all_messages_is_refused_at_once() -> None:
    decoder = Messages(names="protocol")
    frames = decoder.feed(b"\xb5\x62\x01\x07" + struct.pack("<H", LONGEST + 1) + EOE)
    assert [frame.id for frame in frames] == ["NAV-EOE"]
    assert decoder.rejected == {"too long": 1}


@given(
    st.lists(
        st.sampled_from(
            [
                *(EOE, POSLLH, GLL, b"\xb5", b"\xb5\x62", b"\x62"),
                *(b"\xb5\x62\x01\x07\x08\x00", b"\xb5\x62\x01\x07\x40\x00"),
            ]
        )
    )
)
def test_many_false_starts_are_judged_as_one_is(pieces: list[bytes]) -> None:
    at_once, whole = decoded(b"".join(pieces))
    one_by_one, piecewise = decoded(*(bytes([byte]) for byte in b"".join(pieces)))
    assert one_by_one == at_once
    assert piecewise.rejected == whole.rejected


def test_false_starts_cost_as_much_in_small_pieces_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    summed = 0

    def counted(message: bytes) -> bool:
        nonlocal summed
        summed += len(message)
        return False

    monkeypatch.setattr(codec, "_fits", counted)
    stream = b"\xb5\x62\x01\x07\x00\x1f" * 4000
    _, decoder = decoded(*(stream[at : at + 64] for at in range(0, len(stream), 64)))
    assert decoder.rejected["checksum"] > 1000
    assert summed < len(stream)


def test_unknown_message_is_a_frame_without_values() -> None:
    frames, _ = decoded(message(0x01, 0x7F, b"\x01"), message(0x77, 0x01, b"\x01"), message(0x0A, 0x04, b""))
    assert [(frame.id, frame.values) for frame in frames] == [
        ("NAV-017f-NOMINAL", {}),
        ("UNKNOWN-7701-NOMINAL", {}),
        ("MON-VER", {}),
    ]


def test_assistance_messages_are_named_by_their_first_byte() -> None:
    frames, _ = decoded(message(0x13, 0x60, b"\x01" + bytes(7)), message(0x13, 0x80, bytes(12)))
    assert [frame.id for frame in frames] == ["MGA-ACK-DATA0", "MGA-DBD"]


def test_sentences_give_readings_where_they_are_wanted() -> None:
    stream = EOE + GLL + POSLLH + GLL[:20] + EOE + GLL
    frames, decoder = decoded(stream, nmea=True)
    assert [(frame.id, frame.offset) for frame in frames] == [
        ("NAV-EOE", 0),
        ("GNGLL", stream.index(GLL)),
        ("NAV-POSLLH", stream.index(POSLLH)),
        ("NAV-EOE", stream.rindex(EOE)),
        ("GNGLL", stream.rindex(GLL)),
    ]
    assert frames[1].values["nmea.status"] == "A"
    assert decoder.dropped == {"no checksum": 1}


# Values


def test_position_is_scaled_to_degrees_and_metres() -> None:
    assert values(POSLLH) == {
        "time_of_week": 1.0,
        "lon": 8.5652,
        "lat": -47.2852,
        "height_ellipsoid": 452.125,
        "height_msl": 404.525,
        "horizontal_accuracy": 1.5,
        "vertical_accuracy": 2.5,
    }


def test_protocol_names_and_scaling_are_those_of_pyubx2() -> None:
    assert values(POSLLH, "protocol") == {
        "iTOW": 1000,
        "lon": 8.5652,
        "lat": -47.2852,
        "height": 452125,
        "hMSL": 404525,
        "hAcc": 1500,
        "vAcc": 2500,
    }


def test_high_precision_parts_are_added() -> None:
    payload = struct.pack(
        "<B2xBIiiiibbbbII", 0, 1, 1000, 85_652_000, -472_852_000, 452_125, -1, 99, -99, 9, -9, 14, 20
    )
    assert values(message(0x01, 0x14, payload)) == {
        "time_of_week": 1.0,
        "position_invalid": True,
        "lon": 8.565200099,
        "lat": -47.285200099,
        "height_ellipsoid": 452.1259,
        "height_msl": -0.0019,
        "horizontal_accuracy": 0.0014,
        "vertical_accuracy": 0.002,
    }


def utc(valid: int) -> bytes:
    return message(0x01, 0x21, struct.pack("<IIiHBBBBBB", 0, 40, -7, 2026, 6, 1, 8, 5, 9, valid))


def test_date_and_time_come_once_the_receiver_is_sure() -> None:
    assert not {"date", "time"} & values(utc(0b0011)).keys()
    sure = values(utc(0x37))
    assert (sure["date"], sure["time"], sure["utc_standard"]) == ("2026-06-01", "08:05:09", "USNO")


def pvt(valid: int = 7, flags: int = 1, length: int = 92, fix: int = 3) -> bytes:
    moment = (2026, 6, 1, 8, 0, 0, valid, 20, 0)
    payload = struct.pack(
        "<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4xihH", 0, *moment, fix, flags, *[0] * 17, 4_500_000, 250, 9
    )
    return message(0x01, 0x07, payload[:length])


def test_what_the_receiver_marks_as_void_is_absent() -> None:
    assert not {"vehicle_heading", "magnetic_declination"} & values(pvt()).keys()
    marked = values(pvt(valid=0x0F, flags=0x21))
    assert (marked["vehicle_heading"], marked["magnetic_declination"]) == (45.0, 2.5)


@pytest.mark.parametrize(("number", "text"), [(0, "none"), (2, "2D"), (3, "3D"), (5, "time only"), (9, "9")])
def test_type_of_the_fix_is_a_word(number: int, text: str) -> None:
    assert values(pvt(fix=number))["fix_type"] == text


def test_shorter_message_of_an_older_receiver_has_what_it_has() -> None:
    old = values(pvt(length=84))
    assert old["satellites"] == 0
    assert not {"vehicle_heading", "magnetic_declination"} & old.keys()
    assert values(pvt(length=84), "protocol")["headVeh"] == 0  # as pyubx2


@pytest.mark.parametrize("pins", [17, 25])
def test_jamming_stands_behind_as_many_pins_as_the_receiver_has(pins: int) -> None:
    hardware = message(
        0x0A, 0x09, struct.pack(f"<16xHHBBBxI{pins}sB14x", 90, 4200, 2, 1, 4, 0, b"\xff" * pins, 51)
    )
    told = values(hardware)
    assert (told["noise"], told["jamming_state"], told["jamming"]) == (90, "ok", 20.0)
    assert values(hardware, "protocol")["jamInd"] == (51 if pins == 17 else 255)  # as pyubx2


def test_blocks_of_a_list_are_numbered() -> None:
    block = struct.pack("<BBBBI4xHHBbBbB3x", 1, 2, 2, 1, 0, 90, 4000, 51, 3, 4, -5, 6)
    hardware = message(0x0A, 0x38, struct.pack("<BBBx", 0, 2, 0) + block * 2)
    told = values(hardware)
    assert (told["rf.1.jamming_state"], told["rf.2.antenna_status"], told["rf.2.jamming"]) == (
        "warning",
        "ok",
        20.0,
    )
    assert values(hardware, "protocol")["jamInd_02"] == 51


def satellites(*seen: tuple[int, int]) -> bytes:
    each = [struct.pack("<BBBbhhI", system, number, 40, 30, 120, -5, 8) for system, number in seen]
    return message(0x01, 0x35, struct.pack("<IBB2x", 0, 1, len(seen)) + b"".join(each))


def test_satellites_are_listed_when_asked_for_under_their_own_names() -> None:
    assert not values(satellites((0, 12)))
    told = values(satellites((0, 12), (2, 5), (0, 12)), also=["NAV-SAT"])
    assert told["satellites_in_view"] == 3
    assert {name for name in told if name.endswith("snr")} == {"sv.G12.snr", "sv.E5.snr", "sv.G12_2.snr"}
    assert told["sv.E5.residual"] == -0.5
    assert values(satellites((0, 12)), "protocol", also=["NAV-SAT"])["cno_01"] == 40


def test_list_that_is_shorter_than_it_says_has_what_it_has() -> None:
    cut = message(0x01, 0x35, satellites((0, 1), (0, 2))[6:-3])
    assert "sv.G2.snr" not in values(cut, also=["NAV-SAT"])


def test_second_solution_is_not_mixed_with_the_first() -> None:
    second = message(0x29, 0x02, POSLLH[6:-2])
    assert values(second)["nav2.lat"] == values(POSLLH)["lat"]


def test_message_that_is_ignored_is_a_frame_without_values() -> None:
    assert not values(POSLLH, ignore=["NAV-POSLLH"])


def test_number_that_is_none_is_dropped() -> None:
    payload = struct.pack("<IBBB9x12f", 0, 0, 1, 1, float("nan"), *[1.5] * 11)
    [frame], decoder = decoded(message(0x01, 0x36, payload))
    assert "posCovNN" not in frame.values
    assert frame.values["posCovNE"] == 1.5
    assert decoder.dropped == {"not a finite number": 1}


def test_texts_end_with_their_zero() -> None:
    version = message(
        0x0A, 0x04, b"ROM CORE 3.01".ljust(30, b"\0") + b"00080000\0\0" + b"PROTVER=18.00".ljust(30, b"\0")
    )
    assert values(version) == {"firmware": "ROM CORE 3.01", "hardware": "00080000"}


@pytest.mark.parametrize("old", [True, False])
def test_baseline_of_old_and_new_receivers_is_the_same(old: bool) -> None:
    if old:
        payload = struct.pack("<BxHIiiibbbxIIII", 0, 7, 0, 100, -200, 300, 1, -2, 3, 10, 20, 30, 0b101)
    else:
        payload = struct.pack(
            "<BxHIiiiii4xbbbbIIIII4xI", 1, 7, 0, 100, -200, 300, 374, 0, 1, -2, 3, 0, 10, 20, 30, 40, 0, 0b101
        )
    told = values(message(0x01, 0x3C, payload))
    assert (told["baseline_north"], told["baseline_east"], told["baseline_down"]) == (1.0001, -2.0002, 3.0003)
    assert (told["fix_ok"], told["baseline_valid"], told["base_station"]) == (True, True, 7)


# Descriptions


@pytest.mark.parametrize("form", sorted(TEXTS))
def test_every_value_of_every_message_is_described(form: str) -> None:
    name = "-".join(form.split("-")[:2]).removesuffix("HP")
    assert name in MESSAGES
    found = layout(form)
    assert found.head.values.keys() <= metrics({name}, "protocol").keys()
    values_of = [
        *found.head.values.values(),
        *(each for group in found.groups for each in group.block.values.values()),
    ]
    readable = [value.readable for value in values_of if value.readable]
    assert bool(readable) == bool(metrics({name}, "readable"))


def test_no_metric_means_two_things() -> None:
    """One name, one unit, one kind, in whatever message."""
    told: dict[str, object] = {}
    for name in MESSAGES:
        for metric, about in metrics({name}, "readable").items():
            assert told.setdefault(metric, about) == about, f"{metric} in {name}"


def test_description_follows_the_options() -> None:
    def described(**options: object) -> set[str]:
        return set(DRIVER.describe(Options.model_validate({"driver": "ubx", "port": "/dev/null", **options})))

    assert "sv.*.snr" not in described()
    assert "sv.*.snr" in described(also=["NAV-SAT"])
    assert "hdop" not in described(ignore=["NAV-DOP", "NAV2-DOP"])
    assert "nmea.lat" in described(nmea=True)
    assert "gSpeed" in described(names="protocol")


def test_messages_that_wait_to_be_asked_for_exist() -> None:
    assert ONLY_WHEN_ASKED_FOR <= MESSAGES


@pytest.mark.parametrize("text", ["U3 odd", "U4", "U4 a b", "X1(a:b)", "U4 a/x"])
def test_layout_that_cannot_be_read_is_a_mistake(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse(text, {})
