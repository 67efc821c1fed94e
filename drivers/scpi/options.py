"""What people write of an instrument that is asked with SCPI or a dialect like it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.asking import AskingOptions
from drivers.driver import Metric, Settable
from drivers.meaning import ValueOptions
from drivers.pattern import Pattern
from drivers.template import Template
from gateway.model import Value
from gateway.units import Duration, Size


def _pattern(text: str) -> str:
    Pattern(text)
    return text


def _template(text: str) -> str:
    Template(text)
    return text


def _one_line(text: str) -> str:
    if not text.strip() or set(text) & set("\r\n"):
        raise ValueError("must be one line, without its end")
    return text


class QueryOptions(ValueOptions):
    """One question, and what its answer means; with a pattern or fields, what it says goes for all parts."""

    name: str = Field(min_length=1, description="What the value is called.")
    query: Annotated[str, AfterValidator(_one_line)] = Field(
        description='What is asked, such as "MEAS:VOLT?".'
    )
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        default="",
        description="A regular expression whose named groups are values; value stands for the name.",
    )
    fields: tuple[str, ...] = Field(
        default=(), description='Names of the parts of an answer with commas; "" leaves one out.'
    )
    interval: Duration = Field(
        default=0.0, ge=0, le=86_400, description="How often it is asked, if less often than the others."
    )

    @property
    def metrics(self) -> tuple[str, ...]:
        if self.pattern:
            return tuple(self.name if name == "value" else name for name in Pattern(self.pattern).names)
        return tuple(filter(None, self.fields)) or (self.name,)


class CommandOptions(BaseModel):
    """How a metric is set, and how we know that it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send: Annotated[str, AfterValidator(_one_line), AfterValidator(_template)] = Field(
        description='What is sent, such as "VOLT {value:.3f}".'
    )
    confirm: str = Field(
        default="*OPC?",
        description='What is asked then: "*OPC?" wants a 1, another query the value itself; "": nothing is.',
    )
    minimum: float | None = Field(default=None, description="The least it may be.")
    maximum: float | None = Field(default=None, description="The most it may be.")
    choices: tuple[Value, ...] = Field(default=(), description="What it may be, instead of a number.")
    names: Mapping[str, Value] = Field(
        default={}, description="How choices are written, such as { ON = true, OFF = false }."
    )

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        self.settable.check_itself()
        return self

    @property
    def settable(self) -> Settable:
        choices = self.choices or tuple(self.names.values())
        if not choices and not Template(self.send).takes_value:
            choices = (True,)  # a button
        return Settable(minimum=self.minimum, maximum=self.maximum, choices=choices)


class Options(AskingOptions):
    queries: tuple[QueryOptions, ...] = Field(
        default=(), description="What is asked, and what the answers mean; without any it is asked who it is."
    )
    values: Mapping[str, ValueOptions] = Field(
        default={},
        description="What a part of an answer means, by its name: type, unit, label, device_class, state_class, scale, "
        "offset, names.",
    )
    commands: Mapping[str, CommandOptions] = Field(
        default={},
        description="What may be set, by name: send, confirm, minimum, maximum, choices, names.",
    )
    start: tuple[Annotated[str, AfterValidator(_one_line)], ...] = Field(
        default=(), description='What is sent after opening, such as ["SYST:REM", "*CLS"].'
    )
    expect_idn: str = Field(
        default="", description="A text that the answer to *IDN? must hold, or it is another instrument."
    )
    error_query: str = Field(
        default="",
        description='What reads the error queue, usually "SYST:ERR?"; after each command and round.',
    )
    terminator: str = Field(default="\n", min_length=1, max_length=4, description="What ends what we send.")
    max_answer: Size = Field(
        default=4096, ge=64, le=64 * 1024, description="An answer longer than this is refused."
    )

    @property
    def asked_every(self) -> float:
        return max(self.interval, min((query.interval for query in self.queries), default=0.0))

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        self._check_patterns()
        for query in self.queries:
            if repeated := [name for name, count in Counter(query.metrics).items() if count > 1]:
                raise ValueError(f"queries: {query.query} tells {repeated[0]} twice: give one another name")
        told = {name for query in self.queries for name in query.metrics}
        if strangers := self.values.keys() - told - self.commands.keys():
            raise ValueError(f"values: no query tells {min(strangers)}")
        return self

    def _check_patterns(self) -> None:
        for query in self.queries:
            if query.pattern and query.fields:
                raise ValueError(f"queries: {query.name} has a pattern and fields, which exclude each other")
            if query.pattern and not Pattern(query.pattern).names:
                raise ValueError(
                    f"queries: the pattern of {query.name} has no named group, such as (?P<value>...)"
                )


IDENTITY = QueryOptions(name="identity", query="*IDN?", type="text", label="Instrument")


def described(options: Options) -> Mapping[str, Metric]:
    """What a device with these options reports."""
    found: dict[str, Metric] = {}
    for query in options.queries or (IDENTITY,):
        for name in query.metrics:
            told = query if name == query.name else ValueOptions()
            found[name] = options.values.get(name, told).metric(name)
    for name, command in options.commands.items():
        known = found.get(name) or options.values.get(name, ValueOptions()).metric(name)
        found[name] = replace(known, settable=command.settable)
    return found
