"""Readings on a terminal: a table that stays in place, or plain lines where there is none."""

from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

import aiomqtt

from gateway.commands.listening import as_line, parsed, readings
from gateway.commands.listing import plain


class Lines:
    """One line for each message: for a pipe, and where rich is not installed."""

    def __init__(self, as_text: Callable[[aiomqtt.Message], str] = as_line) -> None:
        self._as_text = as_text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def show(self, message: aiomqtt.Message) -> None:
        print(self._as_text(message), flush=True)


def live_table() -> "LiveTable | Lines":
    """A table that stays in place, or lines where rich is not installed."""
    return LiveTable() if find_spec("rich") else Lines()


class LiveTable:
    """The newest value of every metric, a table for each device, redrawn four times a second."""

    def __init__(self) -> None:
        from rich.live import Live  # noqa: PLC0415 - an extra

        self._values: dict[str, dict[str, str]] = defaultdict(dict)
        self._readings: Counter[str] = Counter()
        self._presence: dict[str, str] = {}
        self._live = Live(get_renderable=self._tables, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, message: aiomqtt.Message) -> None:
        if device_and_readings := readings(message):
            device, read = device_and_readings
            self._readings[device] += len(read)
            for each in read:
                self._values[device] |= {
                    plain(metric): plain(value) for metric, value in each["values"].items()
                }
            return
        *_, above, last = str(message.topic).split("/")
        found = parsed(message)
        if not isinstance(found, dict):
            self._values[above][last] = plain(found)  # layout = "metric"
        elif last == "availability":
            self._presence[above] = plain(found.get("state"))

    def _tables(self) -> Any:
        from rich.table import Table  # noqa: PLC0415 - an extra

        side_by_side = Table.grid(padding=(0, 2))
        tables = []
        for device, values in sorted(self._values.items()):
            presence = self._presence.get(device, "")
            title = f"{plain(device)}: {presence}, {self._readings[device]} readings"
            table = Table("metric", "value", title=title)
            for metric, value in values.items():
                table.add_row(metric, value)
            tables.append(table)
        if tables:
            side_by_side.add_row(*tables)
        return side_by_side
