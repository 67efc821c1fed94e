"""What one may write in [rules.<name>], and the rules that are there without being written."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from gateway.config.actions import Action
from gateway.config.table import Table
from gateway.filters.filter import Globs
from gateway.rules.engine import ACKNOWLEDGED, INHIBITED, PORT_DOWN, SILENCED
from gateway.rules.message import Message
from gateway.rules.rule import Flap, OnStale, Rule
from gateway.rules.rulebook import Statute
from gateway.units import Duration, DurationOrNever

_NAME = re.compile(r"[\w.-]{1,64}")
_TAKEN = (ACKNOWLEDGED, SILENCED, INHIBITED, "rule", "device", "severity")


def rule_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is a level of a topic: letters, digits, _, - and . only, 64 at most")
    return name


def _label(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"is taken: {', '.join(_TAKEN)} are labels that an alert has anyway")
    return name


_LabelName = Annotated[
    str, AfterValidator(_label), WithJsonSchema({"type": "string", "not": {"enum": [*_TAKEN]}})
]

RuleName = Annotated[
    str,
    AfterValidator(rule_name),
    WithJsonSchema({"type": "string", "maxLength": 64, "pattern": r"^[^\s/+#]+$"}),
]


class FlapOptions(Table):
    changes: int = Field(ge=2, le=1000, description="An alert that begins or ends so many times …")
    within: Duration = Field(
        ge=1,
        le=31 * 86_400,
        description="… in so long goes on firing until there were fewer in the time before.",
    )


class RuleOptions(Table):
    when: str = Field(
        description="What must be true for an alert, such as 'boiler.temperature > 80 and pump.running'."
    )
    clear: str | None = Field(
        default=None,
        min_length=1,
        description="What must be true for its end; without it, that `when` is not.",
    )
    each: Globs | None = Field(
        default=None,
        description="Devices, by name or with * and ?, that get an alert of their own; `when` calls each of them this.",
    )
    for_: Duration = Field(
        default=0.0,
        alias="for",
        le=31 * 86_400,
        description="How long `when` must be true without a break before the alert fires.",
    )
    keep_for: Duration = Field(
        default=0.0,
        le=31 * 86_400,
        description="How long it must be over without a break before the alert is resolved.",
    )
    on_stale: Literal["hold", "fire", "resolve"] = Field(
        default="hold",
        description="What it means that a device that it reads has gone quiet:"
        ' nothing ("hold"), the same as true ("fire"), or as false ("resolve").',
    )
    flap: FlapOptions | None = Field(
        default=None,
        description='An alert that comes and goes too often stays: { changes = 6, within = "10m" }.',
    )
    repeat: DurationOrNever = Field(
        default=None, ge=1, description='How often an alert that fires is published again; or "never".'
    )
    severity: Annotated[str, Field(min_length=1, max_length=32)] = Field(
        default="warning",
        description='How bad it is: "critical", "warning", "info", or a word of your own.',
    )
    message: str = Field(
        default="",
        max_length=1000,
        description="What people read, with values in braces: 'at {boiler.temperature:.1f} °C'; without it, `when`.",
    )
    labels: Mapping[_LabelName, str] = Field(
        default_factory=dict, description='Words for grouping and silencing: { site = "north" }.'
    )
    enabled: bool = Field(default=True, description="Whether it is in force.")
    inhibited_by: tuple[str, ...] = Field(
        default=(),
        description="Rules that say more: while one of them fires for the same device, or for none, this one is quiet.",
    )
    notify: tuple[str, ...] = Field(
        default=(), description="Whom to tell besides publishing it: names of tables [notify.<name>]."
    )

    do: tuple[Action, ...] = Field(
        default=(),
        description='What devices are told when it fires: [{ device = "pump", set = { running = false } }].',
    )

    @field_validator("message")
    @classmethod
    def _fillable(cls, text: str) -> str:
        Message(text)
        return text

    def statute(self, name: str) -> Statute:
        template = self.message or self.when.strip().replace("{", "{{").replace("}", "}}")
        rule = Rule(
            name=name,
            for_s=self.for_,
            keep_for_s=self.keep_for,
            on_stale=OnStale(self.on_stale),
            flap=Flap(self.flap.changes, self.flap.within) if self.flap else None,
            repeat_s=self.repeat,
            enabled=self.enabled,
            severity=self.severity,
            message=Message(template),
            labels=self.labels,
            inhibited_by=self.inhibited_by,
        )
        return Statute(rule=rule, when=self.when, clear=self.clear, each=self.each)


BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    PORT_DOWN: {
        "each": "*",
        "when": "offline(this)",
        "for": "1m",
        "severity": "critical",
        "message": "the port {device} is down",
    },
    "device_offline": {
        "each": "*",
        "when": "offline(this)",
        "for": "1m",
        "severity": "critical",
        "message": "{device} is offline",
    },
    "device_stale": {
        "each": "*",
        "when": "stale(this) and not offline(this)",
        "clear": "not stale(this)",
        "inhibited_by": ["device_offline"],
        "message": "{device} is not heard any more",
    },
    "frame_errors": {
        "each": "*",
        "when": 'delta(this["$rejected"], "10m") > max(10, 0.1 * delta(this["$read"], "10m"))',
        "keep_for": "10m",
        "message": "of what {device} says, more than a tenth is broken: look at cable, speed and parity",
    },
    "publisher_behind": {
        "when": "status.behind > 120",
        "clear": "status.behind < 30",
        "for": "30s",
        "keep_for": "1m",
        "message": "{status.waiting} readings wait for {status.behind_broker}, for {status.behind:.0f} s now",
    },
    "journal_filling": {
        "when": "status.journal_used > 0.8 or status.journal_trouble",
        "clear": "status.journal_used < 0.7 and not status.journal_trouble",
        "severity": "critical",
        "message": "the journal is at {status.journal_used:.0%} of its room, or cannot be written",
    },
    "clock_unsynchronised": {
        "when": "not status.clock_synchronised",
        "for": "10m",
        "message": "nothing sets the clock: times cannot be believed",
    },
}
"""Rules that are there unless they are switched off; a table [rules.<name>] of the same name changes what it names."""


def is_built_in(name: str, rule: RuleOptions) -> bool:
    """Whether a rule is there without being written, or as if it were not."""
    return name in BUILT_IN and rule == RuleOptions.model_validate(BUILT_IN[name])
