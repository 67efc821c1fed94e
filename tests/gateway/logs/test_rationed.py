import gc
import logging
import threading
import time
import weakref
from math import inf

import pytest

from gateway.logs import MessageId, about
from gateway.logs.rationed import MOST, PERIOD_S, Rationed
from tests.gateway.logs.records import Kept, raised, record


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rationed(most: int = MOST) -> tuple[Rationed, Kept, Clock]:
    outlet, clock = Kept(), Clock()
    return Rationed(outlet, most=most, now=clock), outlet, clock


def test_of_what_goes_on_and_on_some_lines_pass_and_one_says_how_many_more_there_were() -> None:
    handler, outlet, clock = rationed()
    for number in range(100):
        clock.now = number / 10
        handler.handle(record("board: rejected %d", number, extra=about(device="board")))
    assert outlet.texts == [f"board: rejected {number}" for number in range(MOST)]
    clock.now = PERIOD_S
    handler.handle(record("board: rejected %d", 100, extra=about(device="board")))
    assert outlet.texts[MOST:] == [
        f"{100 - MOST} more like this in the last 1m, the last one: board: rejected 99",
        "board: rejected 100",
    ]
    handler.close()


def test_summary_is_about_the_same_and_as_important() -> None:
    handler, outlet, _ = rationed(most=1)
    for _ in range(3):
        handler.handle(record("50 %% of %s", "x", level=logging.ERROR, extra=about(device="boiler")))
    handler.close()
    summary = outlet.records[-1]
    assert summary.getMessage() == "2 more like this in the last 1m, the last one: 50 % of x"
    assert summary.levelno == logging.ERROR
    assert summary.levelname == "ERROR"
    assert vars(summary)["DEVICE"] == "boiler"


def test_hub_that_is_pulled_costs_no_device_its_line_down_and_its_line_up() -> None:
    handler, outlet, _ = rationed()
    for number in range(200):
        name = f"meter-{number}"
        handler.handle(record("%s: offline", name, extra=about(MessageId.DEVICE_OFFLINE, device=name)))
    for number in range(200):
        name = f"meter-{number}"
        handler.handle(record("%s: online", name, extra=about(MessageId.DEVICE_ONLINE, device=name)))
    handler.close()
    assert len(outlet.records) == 400


def test_kind_is_the_message_id_or_else_the_place_in_the_program() -> None:
    handler, outlet, _ = rationed(most=1)
    handler.handle(record("a", line=1))
    handler.handle(record("b", line=2))
    handler.handle(record("c", line=1))
    handler.handle(record("d", line=1, extra=about(MessageId.BUG)))
    handler.handle(record("e", line=2, extra=about(MessageId.BUG)))
    assert outlet.texts == ["a", "b", "d"]
    handler.close()


def test_last_words_and_debugging_are_never_withheld() -> None:
    handler, outlet, _ = rationed(most=1)
    for level in (logging.DEBUG, logging.CRITICAL):
        for _ in range(50):
            handler.handle(record("x", level=level))
    assert len(outlet.records) == 100
    handler.close()


def test_while_somebody_debugs_nothing_is_withheld(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    handler, outlet, _ = rationed(most=1)
    for device in ("boiler", "pump", "boiler"):
        handler.handle(record("Executing <Task pending name='%s'>", device, level=logging.WARNING))
    assert len(outlet.texts) == 3
    handler.close()


def test_tracebacks_are_rationed_and_what_is_withheld_holds_on_to_nothing() -> None:
    handler, outlet, _ = rationed(most=1)
    handler.handle(record("a bug", error=raised("first")))
    port = Kept()  # as something that a frame of the traceback has
    gone = weakref.ref(port)
    error = raised("second")
    vars(error)["port"] = port
    handler.handle(record("a bug", error=error))
    del error, port
    gc.collect()
    assert gone() is None
    handler.close()
    assert outlet.texts == ["a bug", "1 more like this in the last 1m, the last one: a bug"]
    assert outlet.records[-1].exc_info is None


def test_closing_tells_of_what_was_withheld_and_closes_the_outlet() -> None:
    handler, outlet, _ = rationed(most=1)
    for _ in range(3):
        handler.handle(record("x"))
    handler.close()
    assert outlet.texts[-1].startswith("2 more like this")
    assert outlet.closed


def test_text_that_does_not_fit_its_arguments_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    handler, outlet, _ = rationed(most=1)
    for _ in range(2):
        handler.handle(record("%d readings", "many"))
    assert "Logging error" in capsys.readouterr().err
    handler.close()
    assert len(outlet.records) == 1


@pytest.mark.real_time
def test_periods_end_by_themselves_when_nothing_more_is_logged() -> None:
    all_told = threading.Event()

    class Outlet(Kept):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            if len(self.records) == 4:
                all_told.set()

    outlet = Outlet()
    handler = Rationed(outlet, most=1, period_s=0.05)
    for name in ("a", "b"):
        for _ in range(3):
            handler.handle(record("%s", name, extra=about(device=name)))
        time.sleep(0.02)  # so that one ends after the other
    assert all_told.wait(30)
    handler.close()
    assert sorted(outlet.texts) == [
        "2 more like this in the last 50ms, the last one: a",
        "2 more like this in the last 50ms, the last one: b",
        "a", "b",
    ]  # fmt: skip


def test_nothing_withheld_means_no_thread() -> None:
    handler, _, _ = rationed()
    before = threading.active_count()
    handler.handle(record("x"))
    assert handler._ration.due == inf
    assert threading.active_count() == before
    handler.close()
