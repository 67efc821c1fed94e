"""What of a gateway is on the screen, and what a key does; neither terminal nor gateway are known here."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gateway.commands import picture
from gateway.commands.listing import plain, span
from gateway.commands.picture import Told
from gateway.notify.notice import rank

_STATES = {"offline": 0, "stale": 1, "online": 2}
_COLOURS = {"offline": "red", "stale": "yellow", "online": "green", "critical": "red", "warning": "yellow"}
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-~=+*#"
_SPARK_WIDTH = 30
_NAME_WIDTH = 28
_STATE_WIDTH = 8
_FIXED = 2
"""Rows above the list; one is below it."""
_LONGEST_TEXT = 64
_ORDERS = {"1": "name", "2": "state", "3": "rate", "4": "age"}
"""By the keys that choose them. What is worst, fastest, or was not heard of for the longest time, comes first."""
SILENCE = "1h"

HELP = """\
 up, down, k, j         the line above, below
 page up, page down     a page
 home, end              the first line, the last one
 space, enter           the metrics of this device, and their last minutes
 e                      those of all devices; none
 1  2  3  4             devices by name, state, rate, age
 /                      only what holds this text; escape ends it
 a                      acknowledge this alert: quiet until it is resolved
 s                      silence this alert for some time
 ?                      this page
 q, Ctrl-C              quit

 Of a device: readings a second (or a minute), how old the last one is,
 frames that came broken.

 Any key goes on."""


class Row(NamedTuple):
    """A line of the list, whatever stands in it now."""

    kind: str
    """`title`, `alert`, `device` or `metric`."""
    name: str
    """Of the device or the rule."""
    part: str = ""
    """The metric's name, or the device of an alert."""


@dataclass
class Wish:
    """What a key asks for."""

    verb: str = ""
    """Of a request to the gateway; empty: none."""
    request: dict[str, Any] = field(default_factory=dict)
    quits: bool = False


class View:
    def __init__(self, *, by: str, ascii_only: bool = False) -> None:
        """`by`: who acknowledges and silences."""
        self._by = by
        self._bars = _PLAIN_BARS if ascii_only else _BARS
        self._dot = "*" if ascii_only else "●"
        self._overview: Told | None = None
        self._alerts: list[Told] = []
        self._devices: dict[str, Told] = {}
        self._histories: dict[str, Mapping[str, Sequence[float | None]]] = {}
        self._order = "name"
        self._filter = ""
        self._unfolded: set[str] = set()
        self._chosen: Row | None = None
        self._begin = 0
        self._height = 1
        self._asking = ""
        """What is typed now: `filter`, `silence`, or nothing."""
        self._typed = ""
        self._silencing = Row("alert", "")
        """The alert that it is typed for: the list may change meanwhile."""
        self._helps = False
        self._said = ""
        """Of the last request, until the next key."""
        self._away = ""

    # What is known.

    def take(self, overview: Told, alerts: Iterable[Told]) -> None:
        first = self._overview is None
        self._overview, self._away = overview, ""
        self._devices = {device["name"]: device for device in overview["devices"]}
        self._alerts = sorted(
            alerts, key=lambda each: (not picture.fires(each), rank(each["severity"]), -each["since_s"])
        )
        lines = len(self._devices) + sum(len(each["metrics"]) for each in self._devices.values())
        if first and lines + len(self._alerts) + 2 <= self._height:
            self._unfolded = {*self._devices}

    def take_histories(self, devices: Iterable[Told]) -> None:
        self._histories = {
            device["name"]: {each["name"]: each["history"] for each in device["metrics"] if "history" in each}
            for device in devices
        }

    def lose(self, why: str) -> None:
        """The gateway does not answer."""
        self._away = why

    def tell(self, text: str) -> None:
        self._said = text

    def wanted_histories(self) -> list[str]:
        """The devices of which there is more to be seen than a line."""
        seen = self._rows()[self._begin : self._begin + self._height]
        return [*dict.fromkeys(row.name for row in seen if row.kind == "metric")]

    @property
    def lacks_histories(self) -> bool:
        """Whether some of them have not been told yet."""
        return not self._histories.keys() >= {*self.wanted_histories()}

    # Keys.

    def press(self, key: str) -> Wish:
        self._said = ""
        if self._helps:
            self._helps = False
            return Wish()
        if self._asking:
            return self._type(key)
        wish = Wish()
        match key:
            case "q":
                wish = Wish(quits=True)
            case "?":
                self._helps = True
            case "1" | "2" | "3" | "4":
                self._order = _ORDERS[key]
            case "/":
                self._asking, self._typed = "filter", self._filter
            case "e":
                self._unfolded = set() if self._unfolded >= self._devices.keys() else {*self._devices}
            case " " | "enter":
                self._unfold()
            case "a" | "s":
                wish = self._quieten(key)
            case _:
                self._go(key)
        return wish

    def _type(self, key: str) -> Wish:
        wish = Wish()
        match key:
            case "escape":
                if self._asking == "filter":
                    self._filter = ""
                self._asking = ""
            case "enter":
                if self._asking == "silence":
                    wish = self._silenced()
                self._asking = ""
            case "backspace":
                self._typed = self._typed[:-1]
            case _ if len(key) == 1 and len(self._typed) < _LONGEST_TEXT:
                self._typed += key
        if self._asking == "filter":
            self._filter = self._typed
        return wish

    def _go(self, key: str) -> None:
        rows = [row for row in self._rows() if row.kind != "title"]
        page, all_of_it = self._height, len(rows)
        steps = {
            "up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page, "home": -all_of_it,
            "end": all_of_it,
        }  # fmt: skip
        if rows:
            at = rows.index(self._chosen) if self._chosen in rows else 0
            self._chosen = rows[max(0, min(len(rows) - 1, at + steps.get(key, 0)))]

    def _unfold(self) -> None:
        if (row := self._choice()) is not None and row.kind in ("device", "metric"):
            self._unfolded ^= {row.name}
            self._chosen = Row("device", row.name)

    def _quieten(self, key: str) -> Wish:
        row = self._choice()
        if row is None or row.kind != "alert":
            self.tell("go to an alert first" if self._alerts else "there are no alerts")
        elif key == "s":
            self._asking, self._typed, self._silencing = "silence", SILENCE, row
        else:
            return Wish("alert/ack", {"rule": row.name, "device": row.part, "by": self._by})
        return Wish()

    def _silenced(self) -> Wish:
        request = {"rule": self._silencing.name, "for": self._typed, "by": self._by}
        about = self._silencing.part
        return Wish("alert/silence", request | ({"device": about} if about else {}))

    def _choice(self) -> Row | None:
        """The line that is chosen; of a list that has lost it, the first one."""
        rows = [row for row in self._rows() if row.kind != "title"]
        if self._chosen not in rows:
            self._chosen = rows[0] if rows else None
        return self._chosen

    # Lines.

    def _rows(self) -> list[Row]:
        rows = []
        alerts = [
            each for each in self._alerts if self._matches(each["rule"], each["device"], each["message"])
        ]
        if alerts:
            rows += [Row("title", "alerts"), *(Row("alert", each["rule"], each["device"]) for each in alerts)]
        rows.append(Row("title", "devices"))
        devices = sorted(self._devices.values(), key=lambda device: _place(self._order, device))
        for device in devices:
            metrics = [each["name"] for each in device["metrics"]]
            if self._matches(device["name"], device["driver"], device["state"]):
                shown = metrics
            elif not (shown := [name for name in metrics if self._matches(name)]):
                continue
            rows.append(Row("device", device["name"]))
            if device["name"] in self._unfolded:
                rows += [Row("metric", device["name"], name) for name in shown]
        return rows

    def _matches(self, *texts: str) -> bool:
        wanted = self._filter.lower()
        return not wanted or any(wanted in text.lower() for text in texts)

    def draw(self, width: int, height: int) -> list[Text]:
        """As many lines as are wanted."""
        self._height = max(1, height - _FIXED - 1)
        if self._helps:
            lines = [Text(line) for line in HELP.splitlines()]
        elif self._overview is None:
            lines = [Text(self._away or "asking the gateway ...")]
        else:
            lines = [self._title(self._overview), self._pipes(self._overview), *self._list(width)]
            lines += [Text()] * (height - 1 - len(lines))
            lines = [*lines[: height - 1], self._bottom()]
        lines = [*lines, *[Text()] * (height - len(lines))][:height]
        for line in lines:
            line.truncate(width, overflow="crop")
        return lines

    def _list(self, width: int) -> Iterator[Text]:
        rows = self._rows()
        chosen = self._choice()
        at = rows.index(chosen) if chosen is not None else 0
        # Whatever stands above the first line that can be chosen is seen with it.
        above = 0 if at <= 1 else at
        self._begin = max(0, min(self._begin, above, len(rows) - 1))
        self._begin = max(self._begin, at - self._height + 1)
        wide = max((cell_len(plain(name)) for name in self._devices), default=0)
        name_width = max(8, min(_NAME_WIDTH, wide))
        for row in rows[self._begin : self._begin + self._height]:
            line = self._line(row, name_width)
            if row == chosen:
                line.pad_right(max(0, width - line.cell_len))
                line.stylize("reverse")
            yield line

    def _line(self, row: Row, name_width: int) -> Text:
        match row.kind:
            case "title" if row.name == "alerts":
                return Text("  alerts", style="bold")
            case "title":
                heads = f"  {'device':{name_width}}  {'state':8}{'rate':>9}{'age':>9}{'broken':>8}  values"
                return Text(heads, style="bold")
            case "alert":
                return self._alert_line(self._alert(row))
            case "device":
                return self._device_line(self._devices[row.name], name_width)
            case _:
                return self._metric_line(self._devices[row.name], row.part, name_width)

    def _alert(self, row: Row) -> Told:
        return next(each for each in self._alerts if (each["rule"], each["device"]) == (row.name, row.part))

    def _alert_line(self, alert: Told) -> Text:
        quiet = picture.quiet(alert)
        style = "dim" if quiet or not picture.fires(alert) else _COLOURS.get(alert["severity"], "bold")
        text = f"  {plain(alert['severity'])} {alert['state']} {span(alert['since_s'])}  {picture.alert_name(alert)}"
        return Text(f"{text}{f' ({quiet})' if quiet else ''}: {plain(alert['message'])}", style=style)

    def _device_line(self, device: Told, name_width: int) -> Text:
        colour = _COLOURS.get(device["state"], "")
        folded = device["name"] not in self._unfolded
        line = Text()
        line.append(f"{self._dot} ", style=colour)
        line.append(f"{set_cell_size(plain(device['name']), name_width)}  ")
        line.append(f"{plain(device['state']):8}", style=colour)
        line.append(f"{picture.rate(device):>9}{picture.age(device):>9}")
        rejected = picture.broken(device)
        line.append(f"{rejected:>8}", style="yellow" if rejected else "")
        if why := picture.reason(device):
            line.append(f"  {why}", style=colour)
        elif folded:
            line.append(f"  {picture.values(device)}")
        else:
            line.append(f"  {plain(device['driver'])} on {plain(device['port'])}", style="dim")
        return line

    def _metric_line(self, device: Told, name: str, name_width: int) -> Text:
        metric = next(each for each in device["metrics"] if each["name"] == name)
        line = Text(f"    {set_cell_size(plain(name), name_width + _STATE_WIDTH)}  ")
        line.append(f"{picture.value(metric):>16}", style="" if device["state"] == picture.ONLINE else "dim")
        history = self._histories.get(device["name"], {}).get(name, ())
        line.append(f"  {sparkline(history, _SPARK_WIDTH, self._bars)}", style="cyan")
        return line

    # Around the list.

    def _title(self, overview: Told) -> Text:
        online = sum(each["state"] == picture.ONLINE for each in self._devices.values())
        firing = sum(picture.fires(each) and not picture.quiet(each) for each in self._alerts)
        rate = sum(each["rate"] for each in self._devices.values())
        # What matters most comes first: a terminal may be narrow.
        line = Text(plain(overview["gateway"]), style="bold")
        if self._away:
            line.append(f"  does not answer: {self._away}", style="bold red")
        line.append(f"  {online}/{len(self._devices)} devices online", style="not bold")
        if firing:
            line.append(f"  {firing} alert{'s' if firing > 1 else ''}", style="bold red")
        if "clock" in overview:
            line.append("  the clock is not set", style="bold yellow")
        line.append(f"  {rate:.1f} readings/s  up {span(overview['up_s'])}", style="not bold")
        return line

    def _pipes(self, overview: Told) -> Text:
        line = Text()
        for told in overview["brokers"]:
            line.append(f"{picture.broker(told)}  ", style="" if told["connected"] else "red")
        trouble = overview["journal"]["trouble"]
        line.append(f"journal {picture.journal(overview['journal'])}", style="red" if trouble else "")
        return line

    def _bottom(self) -> Text:
        if self._asking == "filter":
            return Text(f"show what holds: {plain(self._typed)}_   (enter keeps it, escape ends it)")
        if self._asking == "silence":
            return Text(f"silence it for: {plain(self._typed)}_   (such as 30m, 2h, 1d; escape leaves it)")
        if self._said:
            return Text(plain(self._said), style="bold")
        held = f"  / only {plain(self._filter)!r}" if self._filter else "  / filter"
        return Text(
            f"q quit  ? help{held}  1-4 by {self._order}  space unfold  a acknowledge  s silence", style="dim"
        )


def sparkline(history: Sequence[float | None], width: int, bars: str) -> str:
    """The last minutes in so many characters; a gap where nothing was heard."""
    if not history:
        return ""
    known = [each for each in history if each is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    said = []
    for number in range(width):
        part = history[number * len(history) // width : (number + 1) * len(history) // width]
        heard = [each for each in part if each is not None]
        if not heard:
            said.append(" ")
            continue
        # Scaled first: the difference of two large numbers may be none.
        height = (max(heard) / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0
        said.append(bars[min(len(bars) - 1, int(height * len(bars)))])
    return "".join(said)


def _place(order: str, device: Told) -> tuple[float, str]:
    """Where a device stands among the others."""
    match order:
        case "state":
            first = float(_STATES.get(device["state"], 0))
        case "rate":
            first = -device["rate"]
        case "age":
            first = -math.inf if device["age_s"] is None else -device["age_s"]
        case _:
            first = 0.0
    return first, device["name"]
