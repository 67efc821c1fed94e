"""What people write of an instrument that prints text."""

import codecs
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.asking import AskingOptions
from drivers.driver import Metric, Settable
from drivers.meaning import ValueOptions
from drivers.pattern import Pattern
from drivers.template import Template
from drivers.text.units import METRICS
from gateway.model import Value
from gateway.units import Size


def _pattern(text: str) -> str:
    Pattern(text)
    return text


def _template(text: str) -> str:
    Template(text)
    return text


def _encoding(name: str) -> str:
    try:
        is_text = codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - nothing else says so
    except LookupError:
        is_text = False
    if not is_text:
        raise ValueError('is not known: usual ones are "utf-8", "latin-1" and "cp1252"')
    return name


PatternText = Annotated[str, AfterValidator(_pattern)]
TemplateText = Annotated[str, AfterValidator(_template)]


class CommandOptions(BaseModel):
    """How a metric is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send: TemplateText = Field(
        min_length=1, description="What is sent, line end included; {value} stands for the value."
    )
    acknowledged: PatternText = Field(
        default="", description="A pattern of the line that says yes; without it nothing is waited for."
    )
    refused: PatternText = Field(default="", description="A pattern of the line that says no.")
    minimum: float | None = Field(default=None, description="The least it may be.")
    maximum: float | None = Field(default=None, description="The most it may be.")
    choices: tuple[Value, ...] = Field(default=(), description="What it may be, instead of a number.")

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        self.settable.check_itself()
        return self

    @property
    def settable(self) -> Settable:
        choices = self.choices
        if not choices and not Template(self.send).takes_value:
            choices = (True,)  # a button
        return Settable(minimum=self.minimum, maximum=self.maximum, choices=choices)


class Options(AskingOptions):
    format: Literal["auto", "kern", "sartorius", "mt-sics", "and", "ohaus", "plain"] = Field(
        default="auto",
        description="How the instrument prints, where there are neither patterns nor columns: auto finds out.",
    )
    patterns: Mapping[str, PatternText] = Field(
        default={},
        description="Regular expressions by name, whose named groups are the values; the first that fits counts.",
    )
    columns: tuple[str, ...] = Field(
        default=(), description='The names of the columns of a table; "" leaves one out.'
    )
    separator: str = Field(
        default=",", min_length=1, max_length=8, description="What stands between two columns."
    )
    header: bool = Field(
        default=False,
        description="The first line names the columns, unless they are named here; it has no values.",
    )
    decimal: Literal[".", ","] = Field(default=".", description="The decimal sign of patterns and columns.")
    values: Mapping[str, ValueOptions] = Field(
        default={},
        description="What a value means, by its name: type, unit, label, device_class, state_class, scale, "
        "offset, names.",
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        default="utf-8", description="How characters are encoded; what is not of it becomes a question mark."
    )
    terminator: str = Field(
        default="", max_length=8, description='What ends a line; "": a line feed, a carriage return or both.'
    )
    max_line: Size = Field(
        default=1024, ge=16, le=1 << 16, description="A line that grows beyond this is given up."
    )
    poll: str = Field(
        default="",
        description="What is sent every interval to get a line; without it the instrument prints by itself.",
    )
    commands: Mapping[str, CommandOptions] = Field(
        default={},
        description="What may be set, by name: send, acknowledged, refused, minimum, maximum, choices.",
    )

    @property
    def asked_every(self) -> float:
        return self.interval if self.poll else 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.patterns and (self.columns or self.header):
            raise ValueError("patterns and columns exclude each other")
        if self.poll and self.header:
            raise ValueError("header cannot be with poll: an answer has no header line")
        if len(set(filter(None, self.columns))) != len(list(filter(None, self.columns))):
            raise ValueError("columns: two of them have the same name")
        return self

    @model_validator(mode="after")
    def _tells_what_it_values(self) -> Self:
        told: set[str] = set()
        for name, text in self.patterns.items():
            names = Pattern(text).names
            if not names:
                raise ValueError(f"patterns: {name} has no named group, such as (?P<value>...)")
            told |= set(names)
        told |= {*self.columns, *self.commands}
        is_open = not self.patterns and not self.columns  # a format's own names, or those of a header line
        if not is_open and (strangers := self.values.keys() - told):
            raise ValueError(f"values: nothing tells {min(strangers)}")
        return self

    @property
    def is_table(self) -> bool:
        return bool(self.columns or self.header)


def described(options: Options) -> Mapping[str, Metric]:
    """What a device with these options reports; nothing where its header line says so."""
    if options.patterns:
        names = [name for pattern in options.patterns.values() for name in Pattern(pattern).names]
    elif options.is_table:
        names = [name for name in options.columns if name]
    else:
        names = list(METRICS)
    if options.header and not names:
        return {}
    found = {name: _metric(name, options) for name in dict.fromkeys([*names, *options.commands])}
    if options.names == "protocol":
        return {name: Metric("", metric.label, settable=metric.settable) for name, metric in found.items()}
    return found


def _metric(name: str, options: Options) -> Metric:
    command = options.commands.get(name)
    settable = command.settable if command else None
    if not (options.patterns or options.is_table) and name in METRICS and name not in options.values:
        return replace(METRICS[name], settable=settable)
    return options.values.get(name, ValueOptions()).metric(name, settable)
