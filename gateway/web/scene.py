"""What the page shows, and what of it has become another since it was looked at last."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.config import Config
from gateway.logs import tail
from gateway.logs.line import Line
from gateway.source import Source
from gateway.web.history import MOST as MOST_ALERTS
from gateway.web.history import History
from gateway.web.sight import Sight

STRETCH = 16
"""Devices that are looked at in one turn of the loop: readings are to come between them."""

_RUNNING = frozenset({"age_s", "since_s", "left_s", "up_s", "time"})
"""What is another at each look without anything having happened."""


class Scene:
    def __init__(self, sight: Sight, history: History) -> None:
        self._sight = sight
        self._history = history
        self._devices: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, Any] = {}
        self._alerts: dict[str, Any] = {}
        self._turn = -1
        self._sampled = -1
        self._logged = 0
        self._log: deque[dict[str, Any]] = deque(maxlen=tail.MOST)
        self._happened = 0
        self._happenings: deque[dict[str, Any]] = deque(maxlen=MOST_ALERTS)
        self._config: Config | None = None
        self._configured = 0

    def whole(self) -> dict[str, Any]:
        """All of it, as it was when `change` was called last."""
        return {
            **self._parts,
            "sampled": self._sampled,
            "devices": list(self._devices.values()),
            "log": [*self._log],
            "happened": [*self._happenings],
        }

    async def change(self) -> dict[str, Any]:
        """What is another than at the last call; empty if nothing is."""
        overview, changed = self._sight.overview, dict[str, Any]()
        sampled, turn = overview.sampled, overview.turn
        is_sampled = sampled != self._sampled
        # The rate of a device falls when nothing is heard of it, which nobody says.
        devices, gone = await self._look_at(overview.changed(-1 if is_sampled else self._turn))
        if is_sampled:
            changed["sampled"] = sampled
        self._turn, self._sampled = turn, sampled
        if devices:
            changed["devices"] = devices
        if gone:
            changed["gone"] = gone
        if is_sampled or self._history.count != self._happened:
            self._alerts = dict(await self._answer("alert/list"))
        for name, part in self._now().items():
            before = self._parts.get(name)
            if part is not before and _still(part) != _still(before):
                changed[name] = part
            self._parts[name] = part
        if self._sight.log.count != self._logged:
            changed["log"] = [line_of(each) for each in self._sight.log.after(self._logged)]
            self._logged = self._sight.log.count
            self._log.extend(changed["log"])
        if self._history.count != self._happened:
            changed["happened"] = [*self._history.after(self._happened)]
            self._happened = self._history.count
            self._happenings.extend(changed["happened"])
        return changed

    async def _look_at(self, sources: Iterable[Source]) -> tuple[list[dict[str, Any]], list[str]]:
        """What is another of these, and who has gone."""
        changes = []
        for number, source in enumerate(sources, 1):
            told = self._sight.overview.device(source)
            if change := _difference(self._devices.get(source.name, {}), told):
                changes.append(change)
            self._devices[source.name] = told
            if not number % STRETCH:
                await asyncio.sleep(0)
        there = dict.fromkeys(source.name for source in self._sight.overview.changed())
        gone = [name for name in self._devices if name not in there]
        self._devices = {name: self._devices[name] for name in there if name in self._devices}
        return changes, gone

    def _now(self) -> dict[str, Any]:
        overview, config = self._sight.overview, self._sight.config()
        if config is not self._config:
            self._config = config
            self._configured += 1
            self._rules = rules_of(config)
        journal = {**overview.journal(), "max_size": config.journal.max_size}
        return {
            "gateway": {**overview.gateway(), "unready": self._sight.health.unready},
            "brokers": [
                {**each, "url": ", ".join(map(str, config.brokers[each["name"]].ways))}
                for each in overview.brokers()
                if each["name"] in config.brokers
            ],
            "journal": journal,
            "alerts": self._alerts.get("alerts", []),
            "silences": self._alerts.get("silences", []),
            "rules": self._rules,
            "configured": self._configured,
        }

    async def _answer(self, verb: str) -> Mapping[str, Any]:
        answer = self._sight.verbs[verb]({})
        return answer if isinstance(answer, Mapping) else await answer


def rules_of(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "when": rule.when, "severity": rule.severity, "enabled": rule.enabled,
            "each": list(rule.each or ()),
        }
        for name, rule in config.rules.items()
    ]  # fmt: skip


def line_of(line: Line) -> dict[str, Any]:
    time = datetime.fromtimestamp(line.created, UTC).isoformat(timespec="milliseconds")
    return {
        "time": time.replace("+00:00", "Z"), "level": line.level, "text": line.text, "trace": list(line.trace),
    }  # fmt: skip


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Of a device; of metrics that have the same names as before, only the values."""
    change = {
        key: value
        for key, value in now.items()
        if key not in _RUNNING and key != "metrics" and before.get(key, _NOTHING) != value
    }
    if dropped := [key for key in before if key not in now]:
        change["dropped"] = dropped
    metrics, former = now["metrics"], before.get("metrics", ())
    if [_meaning(each) for each in metrics] != [_meaning(each) for each in former]:
        change["metrics"] = metrics
    else:
        values = {
            each["name"]: each["value"]
            for each, old in zip(metrics, former, strict=True)
            if each["value"] != old["value"]
        }
        if values:
            change["values"] = values
    return {"name": now["name"], "age_s": now["age_s"], **change} if change else {}


_NOTHING = object()


def _meaning(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    return metric["name"], metric["label"], metric["unit"]


def _still(part: Any) -> Any:
    match part:
        case dict():
            return {key: _still(value) for key, value in part.items() if key not in _RUNNING}
        case list():
            return [_still(each) for each in part]
    return part
