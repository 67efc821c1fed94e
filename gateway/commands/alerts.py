"""`sallyport alerts`: what fires, who takes care of it, and quiet for a while."""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gateway import config
from gateway.commands.asking import ask
from gateway.commands.listening import plain
from gateway.errors import UsageError
from gateway.notify.notice import rank
from gateway.rules.engine import ACKNOWLEDGED, INHIBITED, SILENCED

_QUIET = {ACKNOWLEDGED: "acknowledged by", SILENCED: "silenced by", INHIBITED: "inhibited by"}


def show(path: Path, *, as_json: bool) -> int:
    """Raises: ConfigError; Unreachable."""
    answer = ask(config.load(path), "alert/list", {})
    if as_json:
        print(json.dumps(answer))  # not orjson: beyond ASCII it writes what may steer a terminal
        return 0
    alerts, silences = answer["alerts"], answer["silences"]
    alerts.sort(key=lambda each: (each["state"] != "firing", rank(each["severity"]), -each["since_s"]))
    if not alerts:
        print("no alert fires or is pending")
    else:
        _table(
            ("severity", "state", "rule", "device", "for", "since", "value", "quiet", "message"),
            [_alert(each) for each in alerts],
        )
    if silences:
        print()
        _table(
            ("silence", "rule", "device", "labels", "ends in", "by"), [_silence(each) for each in silences]
        )
    return 0


def acknowledge(path: Path, rule: str, device: str | None, by: str) -> int:
    """Raises: ConfigError; Unreachable; Refused, when nothing of that kind fires."""
    request = {"rule": rule, "by": by} | ({} if device is None else {"device": device})
    for each in ask(config.load(path), "alert/ack", request)["acknowledged"]:
        name = ", ".join(filter(None, (each["rule"], each["device"])))
        print(f"{plain(name)}: acknowledged by {plain(by)}")
    return 0


def silence(path: Path, wanted: Mapping[str, str | None], labels: Sequence[str]) -> int:
    """`wanted`: as the gateway wants it. Raises: ConfigError; UsageError; Unreachable; Refused."""
    request: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    if labels:
        request["labels"] = dict(map(_label, labels))
    made = ask(config.load(path), "alert/silence", request)
    print(f"{plain(made['name'])}: silenced for {_span(made['left_s'])}")
    if not made["covers"]:
        print("nothing that is watched now matches it", file=sys.stderr)
    return 0


def unsilence(path: Path, name: str) -> int:
    """Raises: ConfigError; Unreachable; Refused, when there is none of this name."""
    print(f"{plain(ask(config.load(path), 'alert/unsilence', {'name': name})['name'])}: taken back")
    return 0


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--label {text}: must be NAME=VALUE")
    return name, value


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = [heads, *rows]
    widths = [max(map(len, column)) for column in zip_longest(*shown, fillvalue="")]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _alert(alert: Mapping[str, Any]) -> tuple[str, ...]:
    labels = alert["labels"]
    quiet = ", ".join(f"{words} {labels[name]}" for name, words in _QUIET.items() if name in labels)
    since = "clock not set" if "clock" in alert else f"{alert['since'][:19]}Z"
    value = alert["value"]
    cells = (
        alert["severity"], alert["state"], alert["rule"], alert["device"], _span(alert["since_s"]), since,
        "" if value is None else f"{value:.6g}" if isinstance(value, float) else value, quiet, alert["message"],
    )  # fmt: skip
    return tuple(map(plain, cells))


def _silence(silence: Mapping[str, Any]) -> tuple[str, ...]:
    labels = " ".join(f"{name}={value}" for name, value in silence["labels"].items())
    cells = (
        silence["name"],
        silence["rule"],
        silence["device"],
        labels,
        _span(silence["left_s"]),
        silence["by"],
    )
    return tuple(map(plain, cells))


def _span(seconds: float) -> str:
    """`45s`, `12m`, `3h 5m`, `2d 4h`."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = {"d": days, "h": hours, "m": minutes} if whole >= 60 else {"s": whole}  # noqa: PLR2004 - a minute
    said = [f"{number}{unit}" for unit, number in parts.items() if number]
    return " ".join(said[:2]) or "0s"
