"""What a driver is: options people write, a decoder that knows bytes, a device that yields readings."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from drivers.device_class import DeviceClass
from drivers.port import Address, FlowControl, Parity, SerialPort
from drivers.power import well_formed
from gateway.errors import LinkLost, Refused
from gateway.filters.choice import AnyFilter
from gateway.filters.filter import Names as Globs
from gateway.model import Clock, Reading, Stamp, Value
from gateway.units import Duration, DurationOrNever

NO_ANSWER = "no answer"
"""What a question is counted under that found none, among a device's broken frames."""

Names = Literal["readable", "protocol"]


StateClass = Literal["", "measurement", "total", "total_increasing"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a value means; said once, never repeated in a reading."""

    unit: str
    """UCUM code, `""` for a number without one or a text."""
    label: str
    device_class: str = ""
    """What kind of quantity it is, in Home Assistant's words for a sensor, such as `energy`; `""`: none fits."""
    state_class: StateClass = ""
    """Whether a number is of this moment or a count; `""` for what is no number to be averaged or summed."""
    settable: "Settable | None" = None
    """What may be written to it; None: nothing."""


class MetricOptions(BaseModel):
    """What one metric means; what is not written is as its driver has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str | None = Field(default=None, max_length=64, description="Its unit, as a UCUM code.")
    label: str | None = Field(default=None, max_length=100, description="What people call it.")
    device_class: DeviceClass | None = Field(
        default=None, description="What kind of quantity it is, in Home Assistant's words."
    )
    state_class: StateClass | None = Field(
        default=None,
        description='Whether it is a "measurement" of the moment, a "total" or "total_increasing".',
    )

    def over(self, metric: Metric | None, name: str) -> Metric:
        """What its driver says of it, if anything, and what is written here."""
        return replace(metric or Metric("", name), **self.model_dump(exclude_none=True))


class DriverOptions(BaseModel):
    """The options every device has. A driver's own `Options` adds to them or changes a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: str = Field(description="Which driver reads it; `sallyport drivers` lists them.")
    port: str = Field(
        min_length=1,
        json_schema_extra={"pattern": r"^(/|[Uu][Ss][Bb]:|([Tt][Cc][Pp]|[Rr][Ff][Cc]2217)://)\S"},
        description="Where it is: a device path (best one below /dev/serial/by-id), usb:VID:PID[:serial[:interface]],"
        " tcp://host:port or rfc2217://host:port.",
    )
    baudrate: int = Field(default=9600, ge=50, le=4_000_000, description="Bits per second on the line.")
    data_bits: Literal[5, 6, 7, 8] = Field(default=8, description="Data bits: 5, 6, 7 or 8.")
    parity: Parity = Field(default="none", description="Parity: none, even, odd, mark or space.")
    stop_bits: float = Field(
        default=1, description="Stop bits: 1, 1.5 or 2.", json_schema_extra={"enum": [1, 1.5, 2]}
    )
    flow_control: FlowControl = Field(default="none", description="Flow control: none, rts/cts or xon/xoff.")
    exclusive: bool = Field(
        default=True, description="Lock the port (flock), so that a second gateway cannot read it too."
    )
    stale_after: DurationOrNever = Field(
        default=60.0,
        ge=0.1,
        description='No reading for this long makes the device stale; "never" switches that off.',
    )
    reopen_after: DurationOrNever = Field(
        default=60.0,
        ge=1,
        le=86_400,
        description="A device that has been stale for this long, or has not answered: its port is closed and opened"
        ' again, then after twice as long, and so on; "never" leaves it alone.',
    )
    power_cycle: str | None = Field(
        default=None,
        description="What switches the power of its USB port, .../1-1-port2/disable in /sys/bus/usb/devices: off and on"
        " when it is still silent after its port was opened again twice.",
    )
    retry_max: Duration = Field(
        default=5.0, ge=0.1, le=3600, description="The longest wait between two attempts to open the port."
    )
    names: Names = Field(
        default="readable",
        description='What metrics are called: "readable" names and units, or the "protocol"\'s own codes and scaling.',
    )
    metrics: Mapping[str, MetricOptions] = Field(
        default={},
        max_length=1024,
        description="What metrics mean that their driver does not know, by the names under which they are published:"
        ' metrics.temperature = { unit = "Cel" }.',
    )
    filters: tuple[AnyFilter, ...] = Field(
        default=(),
        max_length=100,
        description="What happens to the readings before they are published, in this order; `sallyport filters` lists"
        " the filters.",
    )

    @cached_property
    def told(self) -> dict[Callable[[Any], Mapping[str, Metric]], Mapping[str, Metric]]:
        """What `Driver.describe` has made of them. No private attribute: these count when options are compared."""
        return {}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("told", None)  # else it would tell of what the copy was made from
        return copied

    @field_validator("port")
    @classmethod
    def _well_formed(cls, port: str) -> str:
        Address.parse(port)
        return port

    @field_validator("power_cycle")  # called only for one that is written
    @classmethod
    def _switch(cls, path: str, info: ValidationInfo) -> str:
        if not well_formed(path):
            raise ValueError(
                'must be the file "disable" of a hub\'s port, such as'
                ' "/sys/bus/usb/devices/1-1:1.0/1-1-port2/disable"'
            )
        if "reopen_after" in info.data and info.data["reopen_after"] is None:
            raise ValueError('needs reopen_after: with "never" nothing is done about a device that is silent')
        return path

    @field_validator("stop_bits")
    @classmethod
    def _stop_bits(cls, wanted: float, info: ValidationInfo) -> float:
        if wanted not in (1, 1.5, 2):
            raise ValueError("must be 1, 1.5 or 2")
        port = info.data.get("port")
        if wanted == 1.5 and port and Address.parse(port).scheme in ("device", "usb"):  # noqa: PLR2004
            raise ValueError("works with rfc2217:// only: this machine's own ports cannot do it")
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Settable:
    """What a command may set a metric to: one of the choices, or else a number within the bounds."""

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Value, ...] = ()

    def check_itself(self) -> None:
        """Raises: ValueError, when nothing can fit."""
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum must not be greater than maximum")

    def check(self, metric: str, value: Value) -> None:
        """Raises: Refused, with what is allowed."""
        if self.choices:
            if not any(is_same(value, choice) for choice in self.choices):
                allowed = ", ".join(map(_written, self.choices))
                raise Refused(f"{metric} cannot be {_written(value)}: it may be {allowed}")
            return
        if isinstance(value, bool | str) or not isfinite(value):
            raise Refused(f"{metric} cannot be {_written(value)}: it must be a number")
        if self.minimum is not None and value < self.minimum:
            raise Refused(f"{metric} cannot be {value}: {self.minimum:g} is the least")
        if self.maximum is not None and value > self.maximum:
            raise Refused(f"{metric} cannot be {value}: {self.maximum:g} is the most")


def _written(value: Value) -> str:
    """As in TOML and JSON."""
    return str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def is_same(value: Value, choice: Value) -> bool:
    """60 is 60.0, but true is not 1."""
    return value == choice and isinstance(value, bool) is isinstance(choice, bool)


@dataclass(slots=True)
class Frame:
    """One good frame of a stream."""

    offset: int
    """Of its first byte, counted from the start of the stream."""
    length: int
    id: str
    """Which of the protocol's frame or sentence types it is."""
    values: dict[str, Value]
    """Empty for a good frame that carries nothing we map."""


class Decoder(Protocol):
    """Bytes in, frames out, in any split; no I/O and no clock, so that captures and fuzzers can drive it.

    It never raises on what the line says, and what it holds back between two calls is bounded.
    """

    @property
    def rejected(self) -> Counter[str]:
        """Frames that were begun and refused, by reason."""
        ...

    @property
    def dropped(self) -> Counter[str]:
        """What good frames held that cannot be a value, and lines that are not meant for us; by reason."""
        ...

    def feed(self, data: bytes) -> Iterable[Frame]: ...

    def finish(self) -> Iterable[Frame]:
        """The stream has ended: frames that only an end of stream completes."""
        ...


class Device(Protocol):
    """An open instrument."""

    @property
    def rejected(self) -> Counter[str]: ...

    @property
    def dropped(self) -> Counter[str]: ...

    def readings(self) -> AsyncIterator[Reading]:
        """Endless. Raises LinkError when the port goes away; owns nothing, so it may be left at any point."""
        ...


@runtime_checkable
class Writable(Device, Protocol):
    """A device that takes commands."""

    async def write(self, metric: str, value: Value) -> None:
        """Set a metric, between two questions on the same line; done once the device has said yes.

        Raises: Refused, with the reason: no such metric, not settable, outside its bounds, or the device's own
        no; LinkSilent, FrameError: no answer that can be read, so that it may or may not have been carried out.
        """
        ...


class Answering(Protocol):
    """A simulated instrument that speaks when it is asked; no I/O and no clock."""

    def answer(self, heard: bytes) -> bytes:
        """What it says to these bytes, which may be a part of a question, or several; it keeps the part."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The device's side of the line, for `sallyport demo`, tests, and users without hardware.

    It is the instrument that the driver's sample.toml describes.
    """

    telegrams: Callable[[int], Iterator[bytes]]
    """From a seed: what it says, endless, whole frames, the same for the same seed. Of one that is asked: answers."""
    every_s: float = 1.0
    """Between two telegrams."""
    answering: Callable[[int], Answering] | None = None
    """From a seed; None for one that only talks by itself."""
    talks: bool = True
    """Whether it says its telegrams by itself; one that answers need not."""


class LineSetting(NamedTuple):
    """How a serial line is set; `str()` gives the usual short form, such as 9600 8N1."""

    baudrate: int
    data_bits: int = 8
    parity: Parity = "none"
    stop_bits: float = 1

    def __str__(self) -> str:
        return f"{self.baudrate} {self.data_bits}{self.parity[0].upper()}{self.stop_bits:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """How `sallyport sniff` recognises the driver's instruments."""

    lines: tuple[LineSetting, ...] = ()
    """How their lines are set, besides the options' defaults; the likeliest first."""
    evidence: Literal["checksum", "form", "guess"] = "checksum"
    """What a good frame proves: its checksum fits, it has a form that hardly comes about by chance, or less."""
    heard: bool = True
    """Whether they are recognised by listening; not those that speak only when asked."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """With which the decoder understands what any of them says."""
    besides: Mapping[str, Any] = field(default_factory=dict)
    """Further ones for listening only: all of what is said counts, even if one would not want it as readings."""
    questions: tuple[Mapping[str, Any], ...] = ()
    """Options with which asking harms no instrument, whichever it is; each is tried by opening the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What a driver's module exports as `DRIVER`, and what the entry-point group `sallyport.drivers` names."""

    summary: str
    """One line for `sallyport drivers`."""
    options: type[DriverOptions]
    decoder: Callable[[Any], Decoder]
    """From the driver's validated options."""
    open: Callable[[str, Any, Clock], AbstractAsyncContextManager[Device]]
    """From the device's name, the driver's validated options and the clock. Raises LinkError."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """By readable name, as far as they do not depend on the options; `*` stands for one part of a name that
    the instrument chooses."""
    simulation: Simulation | None = None
    clues: Clues = field(default_factory=Clues)
    shares_port: bool = False
    """Whether several devices may have the same port: instruments with addresses on one bus."""
    maker: str = ""
    """Who makes its instruments, where it is always the same one."""
    model: str = ""
    """Likewise, what they are called."""
    capture_options: Mapping[str, str] = field(default_factory=dict)
    """What `sallyport decode` takes for granted, as on its command line: a capture asks nobody."""
    described: Callable[[Any], Mapping[str, Metric]] | None = None
    """From the driver's validated options, where the metrics depend on these (`names` among them)."""
    complete: bool = False
    """Whether nothing else is ever reported: a rule that asks for another metric is then wrong, not doubtful."""

    def describe(self, options: DriverOptions) -> Mapping[str, Metric]:
        """What a device with these options reports; made once for them."""
        if self.described is None:
            return self.metrics
        if self.described not in options.told:
            options.told[self.described] = self.described(options)
        return options.told[self.described]

    def settable(self, options: DriverOptions) -> Mapping[str, Settable]:
        """What may be written to a device with these options; by the driver's own names, as `describe` has them."""
        return {
            name: metric.settable
            for name, metric in self.describe(options).items()
            if metric.settable is not None
        }

    def meant(self, options: DriverOptions, metric: str, value: Value) -> str:
        """The driver's own name of a metric that a command shall set; it names what the filters leave to be seen.

        Raises: Refused, when the device certainly would.
        """
        name = metric
        for each in reversed(options.filters):
            name = each.before(name, value)
        settable = self.settable(options)
        known = name if name in settable else next((each for each in settable if name in Globs([each])), None)
        if known is None:
            raise Refused(f"{metric} cannot be set")
        settable[known].check(metric, value)
        return name


class Listener:
    """A device that talks by itself: every frame with values becomes a reading."""

    def __init__(self, name: str, port: SerialPort, decoder: Decoder, *, shows_cuts: bool = True) -> None:
        """`shows_cuts`: whether a frame that was cut off can be told from a whole one, as by a checksum."""
        self._name = name
        self._port = port
        self._decoder = decoder
        self._shows_cuts = shows_cuts

    @property
    def rejected(self) -> Counter[str]:
        return self._decoder.rejected

    @property
    def dropped(self) -> Counter[str]:
        return self._decoder.dropped

    @property
    def heard(self) -> int:
        """Bytes that came since the port was opened, understood or not."""
        return self._port.heard

    async def readings(self) -> AsyncIterator[Reading]:
        at = Stamp(0, 0.0)  # for nobody: before the first bytes a decoder holds nothing
        while True:
            try:
                data, at = await self._port.read()
            except LinkLost:
                # What the hang-up cut off may be a whole frame that lacks only its line end. Where nothing tells, 12
                # may be half of 1234.
                if self._shows_cuts:
                    for reading in self._readings(self._decoder.finish(), at):
                        yield reading
                raise
            for reading in self._readings(self._decoder.feed(data), at):
                yield reading

    def _readings(self, frames: Iterable[Frame], at: Stamp) -> Iterator[Reading]:
        for frame in frames:
            if frame.values:
                yield Reading(at=at, device=self._name, values=frame.values)


def listening(
    decoder: Callable[[Any], Decoder], *, shows_cuts: bool = True
) -> Callable[[str, Any, Clock], AbstractAsyncContextManager[Device]]:
    """`Driver.open` of a device that talks by itself; `shows_cuts` as in `Listener`."""

    @asynccontextmanager
    async def open_device(name: str, options: DriverOptions, clock: Clock) -> AsyncIterator[Device]:
        async with SerialPort.open(options, clock) as port:
            yield Listener(name, port, decoder(options), shows_cuts=shows_cuts)

    return open_device
