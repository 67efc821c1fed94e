"""`sallyport alerts`: what fires, who takes care of it, and quiet for a while."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway import config, intercom
from gateway.commands.asking import ask
from gateway.commands.listing import plain, span, table
from gateway.commands.picture import quiet
from gateway.errors import Unreachable, UsageError
from gateway.notify.notice import rank


def show(path: Path, *, as_json: bool) -> int:
    """Raises: ConfigError; Unreachable."""
    answer = _ask(path, "alert/list", {})
    if as_json:
        print(json.dumps(answer))  # not orjson: beyond ASCII it writes what may steer a terminal
        return 0
    alerts, silences = answer["alerts"], answer["silences"]
    alerts.sort(key=lambda each: (each["state"] != "firing", rank(each["severity"]), -each["since_s"]))
    if not alerts:
        print("no alert fires or is pending")
    else:
        table(
            ("severity", "state", "rule", "device", "for", "since", "value", "quiet", "message"),
            [_alert(each) for each in alerts],
        )
    if silences:
        print()
        table(("silence", "rule", "device", "labels", "ends in", "by"), [_silence(each) for each in silences])
    return 0


def acknowledge(path: Path, rule: str, device: str | None, by: str) -> int:
    """Raises: ConfigError; Unreachable; Refused, when nothing of that kind fires."""
    request = {"rule": rule, "by": by} | ({} if device is None else {"device": device})
    for each in _ask(path, "alert/ack", request)["acknowledged"]:
        name = ", ".join(filter(None, (each["rule"], each["device"])))
        print(f"{plain(name)}: acknowledged by {plain(by)}")
    return 0


def silence(path: Path, wanted: Mapping[str, str | None], labels: Sequence[str]) -> int:
    """`wanted`: as the gateway wants it. Raises: ConfigError; UsageError; Unreachable; Refused."""
    request: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    if labels:
        request["labels"] = dict(map(_label, labels))
    made = _ask(path, "alert/silence", request)
    print(f"{plain(made['name'])}: silenced for {span(made['left_s'])}")
    if not made["covers"]:
        print("nothing that is watched now matches it", file=sys.stderr)
    return 0


def unsilence(path: Path, name: str) -> int:
    """Raises: ConfigError; Unreachable; Refused, when there is none of this name."""
    print(f"{plain(_ask(path, 'alert/unsilence', {'name': name})['name'])}: taken back")
    return 0


def _ask(path: Path, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Of the gateway on this machine, which needs no broker; else, or where this user may not, over the broker."""
    loaded = config.load(path)
    try:
        place = intercom.place(loaded.gateway.name)
    except Unreachable:
        return ask(loaded, verb, request)
    try:
        return asyncio.run(intercom.put(place, verb, request, patience_s=intercom.SOON_S))
    except Unreachable as here:
        try:
            return ask(loaded, verb, request)
        except Unreachable as there:
            raise Unreachable(f"{here}; {there}") from None


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--label {text}: must be NAME=VALUE")
    return name, value


def _alert(alert: Mapping[str, Any]) -> tuple[str, ...]:
    since = "clock not set" if "clock" in alert else f"{alert['since'][:19]}Z"
    value = alert["value"]
    cells = (
        alert["severity"], alert["state"], alert["rule"], alert["device"], span(alert["since_s"]), since,
        "" if value is None else f"{value:.6g}" if isinstance(value, float) else value, quiet(alert), alert["message"],
    )  # fmt: skip
    return tuple(map(plain, cells))


def _silence(silence: Mapping[str, Any]) -> tuple[str, ...]:
    labels = " ".join(f"{name}={value}" for name, value in silence["labels"].items())
    cells = (
        silence["name"],
        silence["rule"],
        silence["device"],
        labels,
        span(silence["left_s"]),
        silence["by"],
    )
    return tuple(map(plain, cells))
