import math
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.checksum import xor8
from drivers.nmea0183 import DRIVER, Options, codec
from drivers.nmea0183.codec import Sentences
from drivers.nmea0183.metrics import METRICS
from drivers.nmea0183.sentences import SENTENCES
from drivers.nmea0183.simulator import sentence, telegrams
from gateway.model import Value

FOLDER = Path(codec.__file__).parent

# Sentences as the standard and its handbooks print them, with their own checksums.
PUBLISHED: list[tuple[bytes, dict[str, Value]]] = [
    (
        b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
        {
            "time": "12:35:19",
            "lat": 48 + 7.038 / 60,
            "lon": 11 + 31 / 60,
            "fix_quality": 1,
            "num_sats": 8,
            "hdop": 0.9,
            "alt": 545.4,
            "geoid_sep": 46.9,
        },
    ),
    (
        b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A",
        {
            "time": "12:35:19",
            "status": "A",
            "lat": 48 + 7.038 / 60,
            "lon": 11 + 31 / 60,
            "speed": 22.4,
            "course": 84.4,
            "date": "1994-03-23",
            "magvar": -3.1,
        },
    ),
    (
        b"$GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1*39",
        {"mode": "A", "fix_type": 3, "pdop": 2.5, "hdop": 1.3, "vdop": 2.1, "sats_used": "04 05 09 12 24"},
    ),
    (
        b"$GPVTG,054.7,T,034.4,M,005.5,N,010.2,K*48",
        {"course_true": 54.7, "course_mag": 34.4, "speed": 5.5, "speed_kmh": 10.2},
    ),
    (
        b"$GPGLL,4916.45,N,12311.12,W,225444,A,*1D",
        {"lat": 49 + 16.45 / 60, "lon": -123 - 11.12 / 60, "time": "22:54:44", "status": "A"},
    ),
    (
        b"$GPRMB,A,0.66,L,003,004,4917.24,N,12309.57,W,001.3,052.5,000.5,V*20",
        {
            "status": "A",
            "cross_track_error": -0.66,
            "waypoint_origin": "003",
            "waypoint": "004",
            "waypoint_lat": 49 + 17.24 / 60,
            "waypoint_lon": -123 - 9.57 / 60,
            "waypoint_distance": 1.3,
            "bearing_true": 52.5,
            "waypoint_speed": 0.5,
        },
    ),
    (
        b"$GPBWC,225444,4917.24,N,12309.57,W,051.9,T,031.6,M,001.3,N,004*29",
        {
            "waypoint_lat": 49 + 17.24 / 60,
            "waypoint_lon": -123 - 9.57 / 60,
            "bearing_true": 51.9,
            "bearing_mag": 31.6,
            "waypoint_distance": 1.3,
            "waypoint": "004",
        },
    ),
    (
        b"$GPBOD,045.,T,023.,M,DEST,START*01",
        {"leg_bearing_true": 45.0, "leg_bearing_mag": 23.0, "waypoint": "DEST", "waypoint_origin": "START"},
    ),
    (b"$GPXTE,A,A,0.67,L,N*6F", {"cross_track_error": -0.67}),
    (
        b"$GPAPB,A,A,0.10,R,N,V,V,011,M,DEST,011,M,011,M*3C",
        {
            "cross_track_error": 0.1,
            "leg_bearing_mag": 11.0,
            "waypoint": "DEST",
            "bearing_mag": 11.0,
            "steer_mag": 11.0,
        },
    ),
    (
        b"$HCHDG,98.3,0.0,E,12.6,W*57",
        {"heading_mag": 98.3, "deviation": 0.0, "variation": -12.6},
    ),
    (
        b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C",
        {
            "fragments": 1,
            "fragment": 1,
            "channel": "B",
            "payload": "177KQJ5000G?tO`K>RA1wUbN0TKH",
            "fill_bits": 0,
        },
    ),
]

# The rest of the table, field by field; the checksum is computed.
WRITTEN: list[tuple[str, dict[str, Value]]] = [
    (
        "GNGGA,000000.10,3350.1234,S,07030.5,W,4,12,0.6,-5.2,M,-20.1,M,1.5,0042",
        {
            "time": "00:00:00.1",
            "lat": -(33 + 50.1234 / 60),
            "lon": -(70 + 30.5 / 60),
            "fix_quality": 4,
            "num_sats": 12,
            "hdop": 0.6,
            "alt": -5.2,
            "geoid_sep": -20.1,
            "dgps_age": 1.5,
            "dgps_station": "0042",
        },
    ),
    ("GPGGA,,,,,,0,,,,,,,,", {"fix_quality": 0}),
    ("GPGLL,,,,,,V,N", {"status": "V", "mode": "N"}),
    (
        "GNRMC,235960.000,V,0000.0000,S,00000.0000,W,0.0,360.0,311299,0.0,W,N,V",
        {
            "time": "23:59:60",
            "status": "V",
            "lat": 0.0,
            "lon": 0.0,
            "speed": 0.0,
            "course": 360.0,
            "date": "1999-12-31",
            "magvar": 0.0,
            "mode": "N",
        },
    ),
    ("GPRMC,,V,,,,,,,290224,,", {"status": "V", "date": "2024-02-29"}),
    (
        "GNGNS,120000,4807.038,N,01131.000,E,AAN,09,1.1,60.5,46.2,2.0,0001,S",
        {
            "time": "12:00:00",
            "lat": 48 + 7.038 / 60,
            "lon": 11 + 31 / 60,
            "mode": "AAN",
            "num_sats": 9,
            "hdop": 1.1,
            "alt": 60.5,
            "geoid_sep": 46.2,
        },
    ),
    ("GPZDA,201530.00,04,07,2002,-03,30", {"time": "20:15:30", "day": 4, "month": 7, "year": 2002}),
    (
        "GPGSA,A,2,01,,,,,,,,,,,32,2.5,1.5,,",
        {"mode": "A", "fix_type": 2, "pdop": 2.5, "hdop": 1.5, "sats_used": "01 32"},
    ),
    ("GNGSA,M,1,,,,,,,,,,,,,,,,1", {"mode": "M", "fix_type": 1, "sats_used": ""}),
    (
        "GPGST,172814.0,0.006,0.023,0.020,273.6,0.023,0.020,0.031",
        {"time": "17:28:14", "rms": 0.006, "std_lat": 0.023, "std_lon": 0.02, "std_alt": 0.031},
    ),
    (
        "GLGSV,1,1,03,65,-2,012,,70,,,31,71,12.5,300,00,1",
        {
            "num_messages": 1,
            "msg_num": 1,
            "sats_in_view": 3,
            "sv.65.elevation": -2,
            "sv.65.azimuth": 12,
            "sv.70.snr": 31,
            "sv.71.elevation": 12.5,
            "sv.71.azimuth": 300,
            "sv.71.snr": 0,
        },
    ),
    (
        "GPGSV,1,1,02,07,10,020,30,07,10,020,41,07,10,020,42",
        {
            "num_messages": 1,
            "msg_num": 1,
            "sats_in_view": 2,
            **{f"sv.{sv}.elevation": 10 for sv in ("07", "07_2", "07_3")},
            **{f"sv.{sv}.azimuth": 20 for sv in ("07", "07_2", "07_3")},
            "sv.07.snr": 30,
            "sv.07_2.snr": 41,
            "sv.07_3.snr": 42,
        },
    ),
    ("HEHDT,274.07,T", {"heading_true": 274.07}),
    ("HEHDT,,T", {}),
    ("HCHDM,238.5,M", {"heading_mag": 238.5}),
    ("HCHDG,101.1,1.5,W,7.1,E", {"heading_mag": 101.1, "deviation": -1.5, "variation": 7.1}),
    ("HETHS,77.52,A", {"heading_true": 77.52, "mode": "A"}),
    ("TIROT,-35.6,A", {"rate_of_turn": -35.6, "status": "A"}),
    (
        "IIRSA,10.5,A,-4.0,V",
        {
            "rudder_starboard": 10.5,
            "rudder_starboard_status": "A",
            "rudder_port": -4.0,
            "rudder_port_status": "V",
        },
    ),
    ("SDDBT,7.8,f,2.4,M,1.3,F", {"depth_ft": 7.8, "depth": 2.4, "depth_fathom": 1.3}),
    ("SDDBS,,f,22.5,M,,F", {"depth": 22.5}),
    ("SDDBK,6.6,f,2.0,M,1.1,F", {"depth_ft": 6.6, "depth": 2.0, "depth_fathom": 1.1}),
    ("INDPT,2.3,-0.5,100", {"depth": 2.3, "offset": -0.5}),
    (
        "VWVHW,302.0,T,301.5,M,6.4,N,11.9,K",
        {"heading_true": 302.0, "heading_mag": 301.5, "water_speed": 6.4, "water_speed_kmh": 11.9},
    ),
    (
        "VWVLW,2105.3,N,12.1,N,2200.0,N,13.0,N",
        {
            "water_distance_total": 2105.3,
            "water_distance_trip": 12.1,
            "ground_distance_total": 2200.0,
            "ground_distance_trip": 13.0,
        },
    ),
    ("VWVLW,2105.3,N,12.1,N", {"water_distance_total": 2105.3, "water_distance_trip": 12.1}),
    (
        "VDVBW,12.3,-0.1,A,11.9,0.2,V,0.4,A,-0.5,V",
        {
            "water_speed_long": 12.3,
            "water_speed_trans": -0.1,
            "water_speed_status": "A",
            "ground_speed_long": 11.9,
            "ground_speed_trans": 0.2,
            "ground_speed_status": "V",
            "stern_water_speed_trans": 0.4,
            "stern_water_speed_status": "A",
            "stern_ground_speed_trans": -0.5,
            "stern_ground_speed_status": "V",
        },
    ),
    (
        "IIVDR,101.0,T,99.5,M,1.3,N",
        {"current_direction_true": 101.0, "current_direction_mag": 99.5, "current_speed": 1.3},
    ),
    ("YXMTW,17.75,C", {"water_temp": 17.75}),
    ("YXMTW,64.0,F", {"water_temp_f": 64.0}),
    ("WIMTA,-3.5,C", {"air_temp": -3.5}),
    ("WIMTA,25.7,F", {"air_temp_f": 25.7}),
    ("WIMMB,29.9870,I,1.0154,B", {"pressure_inhg": 29.987, "pressure": 1.0154}),
    (
        "WIMDA,29.9870,I,1.0154,B,15.4,C,12.1,C,56.2,8.1,6.7,C,213.4,T,210.1,M,10.2,N,5.2,M",
        {
            "pressure_inhg": 29.987,
            "pressure": 1.0154,
            "air_temp": 15.4,
            "water_temp": 12.1,
            "humidity": 56.2,
            "dew_point": 6.7,
            "wind_direction_true": 213.4,
            "wind_direction_mag": 210.1,
            "wind_speed_true": 10.2,
            "wind_speed_true_ms": 5.2,
        },
    ),
    (
        "WIMWD,270.0,T,268.4,M,12.4,N,6.4,M",
        {
            "wind_direction_true": 270.0,
            "wind_direction_mag": 268.4,
            "wind_speed_true": 12.4,
            "wind_speed_true_ms": 6.4,
        },
    ),
    ("WIMWV,214.8,R,9.1,N,A", {"wind_angle": 214.8, "reference": "R", "wind_speed": 9.1, "status": "A"}),
    ("WIMWV,27,R,10.2,K,A", {"wind_angle": 27.0, "reference": "R", "wind_speed_kmh": 10.2, "status": "A"}),
    ("WIMWV,27,R,10.2,M,A", {"wind_angle": 27.0, "reference": "R", "wind_speed_ms": 10.2, "status": "A"}),
    ("WIMWV,27,R,10.2,S,A", {"wind_angle": 27.0, "reference": "R", "wind_speed_mph": 10.2, "status": "A"}),
    ("WIMWV,3,T,4,N,V", {"wind_angle_true": 3.0, "reference": "T", "wind_speed_true": 4.0, "status": "V"}),
    ("WIMWV,,T,4,K,A", {"reference": "T", "wind_speed_true_kmh": 4.0, "status": "A"}),
    ("WIMWV,,T,4,M,A", {"reference": "T", "wind_speed_true_ms": 4.0, "status": "A"}),
    ("WIMWV,,T,4,S,A", {"reference": "T", "wind_speed_true_mph": 4.0, "status": "A"}),
    ("WIMWV,,R,,N,V", {"reference": "R", "status": "V"}),
    (
        "IIVWR,045.0,L,12.6,N,6.5,M,23.3,K",
        {"wind_angle": 315.0, "wind_speed": 12.6, "wind_speed_ms": 6.5, "wind_speed_kmh": 23.3},
    ),
    (
        "IIVWT,030.,R,10.1,N,05.2,M,018.7,K",
        {
            "wind_angle_true": 30.0,
            "wind_speed_true": 10.1,
            "wind_speed_true_ms": 5.2,
            "wind_speed_true_kmh": 18.7,
        },
    ),
    (
        "IIXDR,C,19.52,C,TempAir,P,1.02481,B,Barometer,A,-1.5,D,ROLL",
        {"xdr.TempAir": 19.52, "xdr.Barometer": 1.02481, "xdr.ROLL": -1.5},
    ),
    ("WIXDR,A,,D,0,A,326,D,0,S,0.1,M,0", {"xdr.0": 326.0, "xdr.0_2": 0.1}),
    ("WIXDR,C,022.0,C,,P,1.01,B,T.out", {"xdr.C": 22.0, "xdr.T_out": 1.01}),
    (
        "GPAPB,A,A,,,N,V,V,011.5,T,,012.5,T,013.5,T",
        {
            "leg_bearing_true": 11.5,
            "bearing_true": 12.5,
            "steer_true": 13.5,
        },
    ),
    (
        "GPBWR,225444,,,,,051.9,T,,M,001.3,N,004",
        {
            "bearing_true": 51.9,
            "waypoint_distance": 1.3,
            "waypoint": "004",
        },
    ),
    ("GPXTE,V,V,,,N,S", {}),
    ("GPBWC,125106,,,,,,T,,M,,N,,S", {}),
    ("GPBOD,,T,,M,,", {}),
    ("GPRMB,V,,,,,,,,,,,,A,S", {"status": "V"}),
    ("GPTXT,01,01,02,ANTSTATUS=OK", {"text": "ANTSTATUS=OK"}),
    (
        "AIVDO,2,1,7,,55NBjP01mtGIL@CW;SM<D60P5Ld000000000,0",
        {
            "fragments": 2,
            "fragment": 1,
            "message_id": 7,
            "payload": "55NBjP01mtGIL@CW;SM<D60P5Ld000000000",
            "fill_bits": 0,
        },
    ),
]

EXAMPLES = [*PUBLISHED, *((sentence(content).rstrip(), values) for content, values in WRITTEN)]


@pytest.mark.parametrize(("line", "values"), EXAMPLES, ids=[line.decode() for line, _ in EXAMPLES])
def test_sentence_gives_its_values(line: bytes, values: dict[str, Value]) -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(line + b"\r\n")
    assert frame.values == {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for name, value in values.items()
    }
    assert {name: type(value) for name, value in frame.values.items()} == {
        name: type(value) for name, value in values.items()
    }
    assert (frame.offset, frame.length, frame.id) == (0, len(line), line[1:].split(b",")[0].decode())
    assert not decoder.rejected
    assert not decoder.dropped


def test_every_sentence_of_the_table_has_an_example() -> None:
    assert {line[3:6].decode() for line, _ in EXAMPLES} == SENTENCES.keys()


def test_every_metric_is_described_and_every_description_is_of_a_metric() -> None:
    given_names = {name for _, values in EXAMPLES for name in values}
    assert [name for name in given_names if described_by(name) is None] == []
    assert {described_by(name) for name in given_names} == METRICS.keys()


def test_readme_lists_each_sentence_with_its_metrics() -> None:
    readme = (FOLDER / "README.md").read_text()
    rows = {
        sentence: row
        for row in readme.splitlines()
        if row.startswith("| ")
        for sentence in row.split("|")[1].split()
    }
    missing = [
        (line, name)
        for line, values in EXAMPLES
        for name in values
        if f"`{described_by(name)}`" not in rows.get(line[3:6].decode(), "")
    ]
    assert missing == []


def described_by(name: str) -> str | None:
    parts = name.split(".")
    for pattern in METRICS:
        wanted = pattern.split(".")
        if len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted)):
            return pattern
    return None


def test_field_that_cannot_be_read_costs_itself_alone() -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(sentence("GPRMC,256199,A,48O7.038,N,01131.000,X,fast,084.4,300294,003.1,,A"))
    assert frame.values == {"status": "A", "course": 84.4, "mode": "A"}
    assert decoder.dropped == {"unreadable field": 6}
    assert not decoder.rejected


@pytest.mark.parametrize("written", ["nan", "-inf", "Infinity", "1e999", "--", "4-2", "\xb2", "0x1F"])
@pytest.mark.parametrize(
    "content",
    [
        "GPGGA,,,,,,{},,{},,,,,,",
        "HCHDG,,{},E,,",
        "YXMTW,{},C",
        "IIVWR,{},L,,,,,,",
        "GPGLL,{},N,,,,",
        "GPZDA,{},,,",
        "GPRMC,,,,,,,,,{},,,",
        "GPGSV,,,,07,{},{},{}",
        "IIXDR,C,{},C,T",
    ],
)
def test_what_is_no_number_gives_no_value(content: str, written: str) -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(latin_sentence(content.format(*[written] * content.count("{}"))))
    assert frame.values == {}
    assert decoder.dropped.keys() == {"unreadable field"}


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("GPGLL,9000.0000,N,18000.0000,W,,,", {"lat": 90.0, "lon": -180.0}),
        ("GPGLL,4759.99999,N,01160.0000,E,,,", {"lat": pytest.approx(48.0, abs=1e-6), "lon": 12.0}),
        ("GPGLL,9000.0001,N,18000.0001,W,,,", {}),
        ("GPGLL,-4807.038,N,-01131.000,E,,,", {}),
        ("GPGLL,4807.038,,01131.000,,,,", {}),
    ],
)
def test_position_stays_on_the_globe(content: str, values: dict[str, Value]) -> None:
    (frame,) = Sentences().feed(sentence(content))
    assert frame.values == values


@pytest.mark.parametrize(
    ("written", "iso"), [("010169", "1969-01-01"), ("311268", "2068-12-31"), ("290223", None), ("1170", None)]
)
def test_two_digits_of_a_year_reach_from_1969_to_2068(written: str, iso: str | None) -> None:
    (frame,) = Sentences().feed(sentence(f"GPRMC,,,,,,,,,{written},,,"))
    assert frame.values.get("date") == iso


def test_number_that_would_not_fit_64_bits_is_none() -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(sentence(f"GPZDA,,{'9' * 18},{'9' * 19},{'9' * 400}"))
    assert frame.values == {"day": int("9" * 18)}
    assert decoder.dropped == {"unreadable field": 2}


def test_zero_has_no_sign() -> None:
    (frame,) = Sentences().feed(sentence("HCHDG,,0.0,W,0.0,W"))
    assert [math.copysign(1, float(value)) for value in frame.values.values()] == [1, 1]


def test_names_made_unlike_each_other_stay_unlike_those_that_were_sent() -> None:
    (frame,) = Sentences().feed(sentence("IIXDR,A,1,D,T_2,A,2,D,T,A,3,D,T,A,4,D,T"))
    assert frame.values == {"xdr.T_2": 1.0, "xdr.T": 2.0, "xdr.T_3": 3.0, "xdr.T_4": 4.0}


@pytest.mark.parametrize(
    ("content", "address"),
    [
        ("PGRMC,A,100,1,,,", "PGRMC"),  # Garmin's own, and not an RMC of the talker PG
        ("PSRFEPE,053229.438,V,,,,,", "PSRFEPE"),
        ("PUBX,00,081350.00,4717.113210,N", "PUBX"),
        ("PMTK010", "PMTK010"),
        ("CCGPQ,GGA", "CCGPQ"),
        ("GPGBS,135806.000,4.6,4.4,4.8,,,,,,", "GPGBS"),
    ],
)
def test_sentence_without_a_row_is_a_frame_without_values(content: str, address: str) -> None:
    (frame,) = Sentences().feed(sentence(content))
    assert (frame.id, frame.values) == (address, {})


@pytest.mark.parametrize("kind", SENTENCES)
def test_sentence_may_end_after_any_field(kind: str) -> None:
    decoder = Sentences()
    frames = decoder.feed(b"".join(sentence(f"XX{kind}" + ",1" * count) for count in range(25)))
    assert len(frames) == 25


@given(
    kind=st.sampled_from(sorted(SENTENCES)),
    fields=st.lists(
        st.sampled_from(["", " ", "A", "N", "E", "W", "L", "R", "T", "C", "M", "2", "07.5", "-3", "180593"])
        | st.text(
            st.characters(max_codepoint=0xFF, exclude_categories=["Cc"], exclude_characters="$!"), max_size=25
        ),
        max_size=30,
    ),
)
def test_whatever_the_fields_say_the_frame_stands_and_its_values_are_described(
    kind: str, fields: list[str]
) -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(latin_sentence(",".join([f"XX{kind}", *fields])))
    for name, value in frame.values.items():
        assert described_by(name), name
        if isinstance(value, float):
            assert math.isfinite(value)
        elif isinstance(value, int):
            assert abs(value) < 2**63
        else:
            assert isinstance(value, str)


def latin_sentence(content: str) -> bytes:
    body = content.encode("latin-1")
    return b"$%b*%02X\r\n" % (body, xor8(body))


def test_ignored_sentences_are_frames_without_values() -> None:
    options = Options(driver="nmea0183", port="/dev/ttyS0", ignore=("GSV",))
    decoder = DRIVER.decoder(options)
    gsv, hdt = decoder.feed(sentence("GLGSV,1,1,00") + sentence("HEHDT,1.5,T"))
    assert gsv.values == {}
    assert hdt.values == {"heading_true": 1.5}


def test_sentence_to_ignore_must_exist() -> None:
    with pytest.raises(ValidationError, match=r"ignore\.0\n.*must be one of APB, BOD"):
        Options.model_validate({"driver": "nmea0183", "port": "/dev/ttyS0", "ignore": ["GVS"]})


def test_sample_is_valid_and_defaults_are_those_of_the_standard() -> None:
    sample = tomllib.loads((FOLDER / "sample.toml").read_text())
    assert Options.model_validate(sample["devices"]["gps"]).ignore == ("GSV", "GSA")
    options = Options(driver="nmea0183", port="/dev/ttyS0")
    assert (options.baudrate, options.require_checksum, options.ignore) == (4800, True, ())


def test_simulator_prints_a_whole_second_that_the_decoder_accepts() -> None:
    decoder = Sentences()
    ids = [frame.id for frame in decoder.feed(next(telegrams()))]
    assert ids == ["GPRMC", "GPGGA", "GPVTG", "GPGSV", "GPGSV", "SDDPT", "YXMTW", "WIMWV"]


def test_simulator_says_the_same_for_the_same_seed() -> None:
    assert list(islice(telegrams(7), 50)) == list(islice(telegrams(7), 50))
    assert list(islice(telegrams(7), 50)) != list(islice(telegrams(8), 50))


def test_simulated_yacht_moves_as_it_says() -> None:
    decoder = Sentences()
    stream = b"".join(islice(telegrams(), 5000))
    frames = decoder.feed(stream)
    assert len(frames) == 5000 * 8
    assert not decoder.rejected
    assert not decoder.dropped
    fixes = [frame.values for frame in frames if frame.id == "GPRMC"]
    for before, after in pairwise(fixes):
        north = (number(after, "lat") - number(before, "lat")) * 60
        east = (
            (number(after, "lon") - number(before, "lon")) * 60 * math.cos(math.radians(number(after, "lat")))
        )
        course, speed = math.radians(number(before, "course")), number(before, "speed")
        assert north * 3600 == pytest.approx(speed * math.cos(course), abs=1.0)
        assert east * 3600 == pytest.approx(speed * math.sin(course), abs=1.0)
    first = datetime.fromisoformat(f"{fixes[0]['date']}T{fixes[0]['time']}")
    last = datetime.fromisoformat(f"{fixes[-1]['date']}T{fixes[-1]['time']}")
    assert last - first == timedelta(seconds=4999)
    depths = [number(frame.values, "depth") for frame in frames if frame.id == "SDDPT"]
    winds = [number(frame.values, "wind_speed") for frame in frames if frame.id == "WIMWV"]
    assert 5 < min(depths) < max(depths) < 20
    assert 3 < min(winds) < max(winds) < 30


def number(values: Mapping[str, Value], name: str) -> float:
    value = values[name]
    assert isinstance(value, float)
    return value
