"""`sallyport top`: what flows and what does not, as long as one looks."""

import os
import sys

from gateway import intercom
from gateway.errors import UsageError
from gateway.units import duration

_SHORTEST_S = 0.1


def run(gateway: str | None, *, every: str, by: str) -> int:
    """Until it is ended. `by`: who acknowledges and silences.

    Raises: UsageError, where it cannot be shown; Unreachable, when no gateway runs.
    """
    try:
        every_s = duration(every)
    except ValueError as error:
        raise UsageError(f"--every {every}: {error}") from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("needs a terminal to draw on; `sallyport status` prints what is to be seen")
    try:
        from gateway.commands.top import looking  # noqa: PLC0415 - rich is an extra
    except ImportError:
        raise UsageError(
            "needs rich: pip install 'sallyport[cli]'; `sallyport status` does without"
        ) from None
    return looking.run(intercom.place(gateway), every_s=max(every_s, _SHORTEST_S), by=by)
