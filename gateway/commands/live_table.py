"""Readings on a terminal: a table that stays in place, or plain lines where there is none."""

from collections import Counter, defaultdict
from types import TracebackType
from typing import Any, Self

import aiomqtt

from gateway.commands import tail


class Lines:
    """One line for each reading: for a pipe, and where rich is not installed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def show(self, message: aiomqtt.Message) -> None:
        print(tail.as_line(message), flush=True)


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
        _, _, device, *rest = str(message.topic).split("/")
        found = tail.parsed(message)
        if rest == ["availability"]:
            self._presence[device] = found["state"]
        elif not rest and "values" in found:
            self._readings[device] += 1
            self._values[device] |= {metric: tail.plain(value) for metric, value in found["values"].items()}

    def _tables(self) -> Any:
        from rich.table import Table  # noqa: PLC0415 - an extra

        side_by_side = Table.grid(padding=(0, 2))
        tables = []
        for device, values in sorted(self._values.items()):
            title = f"{device}: {self._presence.get(device, '')}, {self._readings[device]} readings"
            table = Table("metric", "value", title=title)
            for metric, value in values.items():
                table.add_row(metric, value)
            tables.append(table)
        if tables:
            side_by_side.add_row(*tables)
        return side_by_side
