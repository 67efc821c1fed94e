import logging
from collections import deque

from gateway.logs.line import Line, shortened

MOST = 200
MOST_TEXT = 1000
MOST_TRACE = 4000


class Tail(logging.Handler):
    """The last lines of the log, for whoever looks at the running process; shorter than elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        """Of all that ever came."""
        self._lines: deque[Line] = deque(maxlen=MOST)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = Line.of(record)
        except (TypeError, ValueError):  # of our own: arguments that do not fit the text
            self.handleError(record)
            return
        trace = shortened("\n".join(line.trace), MOST_TRACE)
        line = line._replace(
            text=shortened(line.text, MOST_TEXT), trace=tuple(trace.split("\n")) if trace else ()
        )
        self.acquire()  # other threads log, too
        try:
            self.count += 1
            self._lines.append(line)
        finally:
            self.release()

    def after(self, count: int) -> list[Line]:
        """Those that came when there had been so many, as far as they are still here."""
        self.acquire()
        try:
            fresh = min(self.count - count, len(self._lines))
            return list(self._lines)[len(self._lines) - fresh :]
        finally:
            self.release()
