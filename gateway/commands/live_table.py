"""Readings on a terminal: a table that stays in place, or plain lines where there is none."""

from collections import Counter
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
    """The newest value of every metric, redrawn four times a second."""

    def __init__(self) -> None:
        from rich.live import Live  # noqa: PLC0415 - an extra

        self._values: dict[tuple[str, str], tuple[str, str]] = {}
        self._readings: Counter[str] = Counter()
        self._presence: dict[str, str] = {}
        self._live = Live(get_renderable=self._table, refresh_per_second=4)

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
            for metric, value in found["values"].items():
                self._values[device, metric] = (tail.plain(value), found["time"][11:19])

    def _table(self) -> Any:
        from rich.table import Table  # noqa: PLC0415 - an extra

        table = Table("device", "metric", "value", "at (UTC)", title=self._title())
        for (device, metric), (value, at) in sorted(self._values.items()):
            table.add_row(device, metric, value, at)
        return table

    def _title(self) -> str:
        return " · ".join(
            f"{device} {self._presence.get(device, '')}: {count} readings"
            for device, count in self._readings.items()
        )
