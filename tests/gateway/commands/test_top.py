"""What `sallyport top` makes of keys and of what a gateway says, without either."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.top.keys import Keys
from gateway.commands.top.view import View, sparkline

BARS = "12345678"


@pytest.mark.parametrize(
    ("pieces", "keys"),
    [
        ([b"qj\x1b[A/"], ["q", "j", "up", "/"]),
        ([b"\x1b[", b"5~"], ["page up"]),
        ([b"\x1b", b"[B"], ["down"]),
        ([b"\x1bOA\x1b[H\x1b[4~\r\x7f\x08"], ["up", "home", "end", "enter", "backspace", "backspace"]),
        (["ä€".encode()[:1], "ä€".encode()[1:]], ["ä", "€"]),
        ([b"\x1bq"], ["escape", "q"]),
        ([b"\x1b[99;99;99;99;99~x"], [*"99;99;99~x"]),
        ([b"\x1b[1;5Ca\x00\x01b"], ["a", "b"]),
    ],
)
def test_keys_are_told_from_what_a_terminal_sends_however_it_is_cut(
    pieces: list[bytes], keys: list[str]
) -> None:
    heard = Keys()
    assert [key for piece in pieces for key in heard.feed(piece)] == keys


def test_escape_alone_is_a_key_once_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waiting
    assert keys.flush() == ["escape"]
    assert not keys.waiting
    assert keys.flush() == []


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_no_bytes_are_too_much_for_it(pieces: list[bytes]) -> None:
    keys = Keys()
    heard = [key for piece in pieces for key in keys.feed(piece)]
    assert all(key.isprintable() for key in heard + keys.flush())


@pytest.mark.parametrize(
    ("history", "shown"),
    [
        ([], ""),
        ([None] * 8, "        "),
        ([1.0] * 8, "11111111"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "12345678"),
        ([None, None, 0.0, 0.0, 7.0, 7.0, None, None], "  1188  "),
        ([-3.4e38, 3.4e38] * 4, "18181818"),
        ([0.0, 7.0, 0.0, 0.0, None, None, 0.0, 0.0, 7.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "81 18111"),
    ],
)
def test_sparkline_is_as_high_as_what_was_highest_with_gaps_where_nothing_was_heard(
    history: Sequence[float | None], shown: str
) -> None:
    assert sparkline(history, 8, BARS) == shown


def device(name: str, **told: Any) -> dict[str, Any]:
    metrics = [{"name": each, "value": 1.5, "unit": "°C"} for each in told.pop("metrics", ["t"])]
    return {
        "name": name, "driver": "json", "port": "/dev/x", "state": "online", "age_s": 1.0, "rate": 1.0,
        "rejected": {}, "metrics": metrics, **told,
    }  # fmt: skip


def overview(*devices: dict[str, Any]) -> dict[str, Any]:
    broker = {"name": "mqtt", "connected": True, "waiting": 0, "set_aside": 0, "evicted": 0}
    return {
        "gateway": "plant", "up_s": 60, "devices": devices, "brokers": [broker],
        "journal": {"path": None, "trouble": "", "used": 0},
    }  # fmt: skip


def viewed(*devices: dict[str, Any]) -> View:
    view = View(by="anna")
    view.draw(80, 3)  # too small for anything to be unfolded
    view.take(overview(*devices), [])
    return view


def order(view: View) -> list[str]:
    return [line.plain.split()[1] for line in view.draw(80, 24) if line.plain.startswith("●")]


def test_devices_are_sorted_by_what_is_asked_for() -> None:
    view = viewed(
        device("b", state="stale", age_s=9.0, rate=0.0, reason="gone"),
        device("c", age_s=1.0, rate=50.0),
        device("a", age_s=2.0, rate=3.0),
        device("d", state="offline", age_s=None, rate=0.0),
    )
    assert order(view) == ["a", "b", "c", "d"]
    for key, names in {"2": "dbac", "3": "cabd", "4": "dbac", "1": "abcd"}.items():
        view.press(key)
        assert "".join(order(view)) == names


def test_narrow_screen_shows_first_that_nobody_answers_and_what_fires() -> None:
    view = viewed(device("a"))
    firing = {
        "rule": "hot", "device": "a", "severity": "critical", "state": "firing", "since_s": 1.0, "message": "it is",
        "labels": {},
    }  # fmt: skip
    view.take(overview(device("a")), [firing])
    assert view.draw(40, 10)[0].plain == "plant  1/1 devices online  1 alert  1.0 "
    view.lose("nothing for 5 s")
    assert view.draw(40, 10)[0].plain == "plant  does not answer: nothing for 5 s "
    view.press("?")
    assert [line.plain for line in view.draw(80, 24)] == [line.plain for line in view.draw(200, 24)]


def test_line_that_is_chosen_stays_chosen_when_others_move() -> None:
    view = viewed(device("a"), device("b"), device("c"))
    view.press("down")
    assert chosen(view) == "b"
    view.take(overview(device("a", rate=9.0), device("b"), device("c", rate=99.0)), [])
    view.press("3")
    assert (order(view), chosen(view)) == (["c", "a", "b"], "b")
    view.take(overview(device("a"), device("c")), [])
    assert chosen(view) in ("a", "c")
    view.take(overview(), [])
    assert view.draw(80, 24)
    for key in ("up", "down", "end", " ", "a", "s", "e"):
        assert view.press(key).verb == ""


def chosen(view: View) -> str:
    [line] = [
        line.plain for line in view.draw(80, 24) if any("reverse" in str(span.style) for span in line.spans)
    ]
    return line.split()[1]


@given(
    keys=st.lists(
        st.sampled_from(
            ["up", "down", "page up", "page down", "home", "end", "e", " ", "/", "x", "escape", "enter", "?", "1", "2",
             "3", "4", "a", "s", "backspace", "redraw"]
        ),
        max_size=30,
    ),
    width=st.integers(1, 120),
    height=st.integers(1, 30),
)  # fmt: skip
def test_screen_is_filled_and_not_overflown_whatever_is_pressed(
    keys: list[str], width: int, height: int
) -> None:
    view = View(by="anna")
    alert = {
        "rule": "hot", "device": "d3", "state": "firing", "severity": "critical", "since_s": 5, "message": "x" * 200,
        "labels": {},
    }  # fmt: skip
    for turn, key in enumerate(["", *keys]):
        if turn % 3 == 0:
            names = [f"d{number}" for number in range(40 - turn)]
            view.take(
                overview(*(device(name, metrics=["t", "name-of-a-metric" * 4]) for name in names)), [alert]
            )
        view.press(key)
        lines = view.draw(width, height)
        assert len(lines) == height
        assert all(line.cell_len <= width for line in lines)


def test_histories_are_wanted_of_what_is_seen_unfolded() -> None:
    view = viewed(*(device(f"d{number:02}") for number in range(40)))
    view.draw(80, 10)
    assert view.wanted_histories() == []
    view.press(" ")
    view.draw(80, 10)
    assert view.wanted_histories() == ["d00"]
    assert view.lacks_histories
    view.take_histories([{"name": "d00", "metrics": [{"name": "t", "history": [1.0, 2.0]}]}])
    assert not view.lacks_histories
    view.press("e")
    view.press("end")
    view.draw(80, 10)
    assert view.wanted_histories() == ["d36", "d37", "d38", "d39"]


def test_site_that_fits_is_shown_unfolded_at_once_and_another_is_not() -> None:
    view = View(by="anna")
    view.draw(80, 24)
    view.take(overview(device("a"), device("b")), [])
    assert view.wanted_histories() == ["a", "b"]
    assert viewed(device("a"), device("b")).wanted_histories() == []
