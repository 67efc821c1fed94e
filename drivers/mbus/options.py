"""What can be set for a meter on an M-Bus."""

from pydantic import Field, field_validator

from drivers.asking import AskingOptions
from drivers.mbus.address import Secondary
from drivers.mbus.link import ANY
from drivers.port import Parity
from gateway.units import Duration, DurationOrNever

_HIGHEST = 250


class Options(AskingOptions):
    baudrate: int = Field(
        default=2400,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 2400 from the factory; 300 and 9600 are common too.",
    )
    parity: Parity = Field(default="even", description="Parity: even by the standard.")
    address: int | str = Field(
        default=ANY,
        description="The meter's primary address, 0 to 250, or 254 for the only meter on the bus; or its secondary one,"
        ' 8 digits or 16 such as "123456782D2C0804", F for any.',
    )
    interval: Duration = Field(
        default=300.0,
        ge=0.01,
        le=86_400,
        description="How often the meter is asked. One with a battery may allow a few hundred answers a month only.",
    )
    stale_after: DurationOrNever = Field(
        default=900.0,
        ge=0.1,
        description='No reading for this long makes the device stale; "never" switches that off.',
    )
    retries: int = Field(
        default=2,
        ge=0,
        le=10,
        description="How often a question is repeated that finds no answer, or a spoilt one.",
    )
    max_telegrams: int = Field(
        default=16,
        ge=1,
        le=255,
        description="A meter that announces more telegrams than this is asked no further.",
    )
    application_reset: bool = Field(
        default=False,
        description="Reset the meter's application layer before each round, for one that goes on where it stopped.",
    )

    @field_validator("address")
    @classmethod
    def _known_form(cls, address: int | str) -> int | str:
        if isinstance(address, str):
            Secondary.parse(address)
        elif not (0 <= address <= _HIGHEST or address == ANY):
            raise ValueError(
                f"must be from 0 to {_HIGHEST}, or {ANY} for the only meter on the bus; a secondary address is a text"
            )
        return address
