"""`d0`: the optical port of meters, IEC 62056-21 (formerly IEC 1107), in modes A to D."""

from contextlib import AbstractAsyncContextManager
from typing import Literal

from pydantic import Field

from drivers.asking import AskingOptions, asking
from drivers.d0.codec import Readouts
from drivers.d0.metrics import METRICS, described
from drivers.d0.reader import Reader
from drivers.d0.simulator import Meter, telegrams
from drivers.d0.values import by_code, by_name
from drivers.driver import Clues, Device, Driver, LineSetting, Simulation, listening
from drivers.port import Parity
from gateway.model import Clock
from gateway.units import Duration, DurationOrNever


class Options(AskingOptions):
    baudrate: int = Field(
        default=300,
        ge=50,
        le=4_000_000,
        description="Bits per second at which the meter is spoken to; in mode D at which it talks, often 2400 or 9600.",
    )
    data_bits: Literal[5, 6, 7, 8] = Field(default=7, description="Data bits: 5, 6, 7 or 8.")
    parity: Parity = Field(default="even", description="Parity: none, even, odd, mark or space.")
    interval: Duration = Field(
        default=60.0,
        ge=0.01,
        le=86_400,
        description="How often the meter is asked, from one start to the next; not in mode D.",
    )
    stale_after: DurationOrNever = Field(
        default=180.0,
        ge=0.1,
        description='No reading for this long makes the device stale; "never" switches that off.',
    )
    timeout: Duration = Field(
        default=2.0,
        ge=0.01,
        le=60,
        description="How long the line may be silent before an answer counts as missing; the standard allows 1.5 s.",
    )
    mode: Literal["auto", "A", "B", "C", "D"] = Field(
        default="auto",
        description="The meter's mode; D talks by itself. Auto takes A, B, C or E from what the meter says first.",
    )
    address: str = Field(
        default="",
        max_length=32,
        pattern=r"^[0-9A-Za-z ]*$",
        description="The meter's address, where several share the line; empty: whichever is there.",
    )
    wake_up: bool = Field(
        default=False, description="Send two seconds of zeros before, as meters with a battery want it."
    )
    fastest: int = Field(
        default=19_200,
        ge=300,
        le=19_200,
        description="The highest speed that is agreed to in mode C; some optical heads do no more than 2400 or 9600.",
    )

    @property
    def asked_every(self) -> float:
        return 0 if self.mode == "D" else self.interval


def _decoder(options: Options) -> Readouts:
    return Readouts(by_name if options.names == "readable" else by_code)


_ask = asking(lambda name, line, options: Reader(name, line, options, _decoder))
_listen = listening(_decoder)


def _open(name: str, options: Options, clock: Clock) -> AbstractAsyncContextManager[Device]:
    return (_listen if options.mode == "D" else _ask)(name, options, clock)


DRIVER = Driver(
    summary="optical port of meters (D0, IEC 62056-21, IEC 1107): electricity, heat, gas, modes A to D",
    options=Options,
    decoder=_decoder,
    open=_open,
    simulation=Simulation(telegrams=telegrams, answering=Meter, talks=False),
    clues=Clues(
        evidence="form",
        options={"mode": "D"},
        lines=(LineSetting(2400, 7, "even"), LineSetting(9600, 7, "even")),
        questions=({},),
    ),
    metrics=METRICS,
    described=lambda options: described(options.names),
    shares_port=True,
)
