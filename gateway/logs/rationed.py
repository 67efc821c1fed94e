import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any

from gateway.logs.fields import FIELDS
from gateway.logs.line import MOST_TEXT, shortened
from gateway.pacing.ration import Ration
from gateway.units import written_duration

MOST = 20
PERIOD_S = 60.0

_Kind = tuple[str | None, ...]


class Rationed(logging.Handler):
    """Passes lines on: of each kind `most` in a period, then one line that says how many more there were.

    A kind is what has happened (its message id, or else the place in the program that says so) to one device, port,
    broker, rule or receiver: of 200 devices behind one hub each has a line down and a line up. Nothing is
    rationed while somebody debugs, who wants to see everything, nor what is critical: the last words before an end.
    """

    def __init__(
        self,
        *outlets: logging.Handler,
        most: int = MOST,
        period_s: float = PERIOD_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._outlets = outlets
        self._period_s = period_s
        self._now = now
        self._ration: Ration[_Kind] = Ration(most=most, period_s=period_s)
        self._withheld: dict[_Kind, dict[str, Any]] = {}
        """The last of each, as a summary repeats it. No more of it is kept: a traceback holds on to ports and files."""
        self._alarm: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = self._now()
        self._tell(now)
        kind = _kind(record)
        free = (
            record.levelno <= logging.DEBUG
            or record.levelno >= logging.CRITICAL
            or logging.getLogger().isEnabledFor(logging.DEBUG)  # asyncio then warns of each slow step
        )
        if free or self._ration.take(kind, now):
            self._pass_on(record)
            return
        try:
            self._withheld[kind] = _summary(record)
        except (TypeError, ValueError):  # of our own: arguments that do not fit the text
            self.handleError(record)
        self._set_alarm(now)

    def flush(self) -> None:
        for outlet in self._outlets:
            outlet.flush()

    def close(self) -> None:
        """Tells of what was withheld until now."""
        self.acquire()
        try:
            if self._alarm is not None:
                self._alarm.cancel()
            self._tell(inf)
            for outlet in self._outlets:
                outlet.close()
            super().close()
        finally:
            self.release()

    def _set_alarm(self, now: float) -> None:
        """Somebody must tell even if nothing else is logged, and the event loop may be what hangs."""
        if self._alarm is None and self._ration.due < inf:
            self._alarm = threading.Timer(max(0.0, self._ration.due - now), self._ring)
            self._alarm.daemon = True
            self._alarm.name = "log"
            self._alarm.start()

    def _ring(self) -> None:
        self.acquire()
        try:
            self._alarm = None
            now = self._now()
            self._tell(now)
            self._set_alarm(now)
        finally:
            self.release()

    def _tell(self, now: float) -> None:
        for kind, count in self._ration.over(now):
            summary = self._withheld.pop(kind, None)
            if summary is not None:
                within = written_duration(self._period_s)
                summary["msg"] = (
                    f"{count} more like this in the last {within}, the last one: {summary['msg']}"
                )
                self._pass_on(logging.makeLogRecord(summary))

    def _pass_on(self, record: logging.LogRecord) -> None:
        for outlet in self._outlets:
            outlet.emit(record)


def _kind(record: logging.LogRecord) -> _Kind:
    own = vars(record)
    place = None if "MESSAGE_ID" in own else f"{record.pathname}:{record.lineno}"
    return place, *(own.get(name) for name in FIELDS)


def _summary(record: logging.LogRecord) -> dict[str, Any]:
    own = vars(record)
    told = {name: own[name] for name in ("name", "levelno", "levelname", *FIELDS) if name in own}
    return {**told, "msg": shortened(record.getMessage(), MOST_TEXT)}
