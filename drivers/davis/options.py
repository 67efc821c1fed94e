from typing import Literal

from pydantic import Field

from drivers.asking import AskingOptions
from drivers.davis.codec import Packets
from drivers.davis.quantities import RainBucket
from gateway.units import Duration


class Options(AskingOptions):
    baudrate: int = Field(
        default=19_200,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line, as set up in the console.",
    )
    timeout: Duration = Field(
        default=4.0,
        ge=0.01,
        le=60,
        description="How long a silence makes an answer missing; a packet takes up to two seconds.",
    )
    packets: Literal["loop", "loop2", "both"] = Field(
        default="loop",
        description='What is asked for: "loop", which all consoles know; "loop2" with dew point, gusts and pressure, '
        'or "both", from a Vantage Vue or a Pro2 with firmware 1.90.',
    )
    rain_bucket: RainBucket = Field(
        default="0.01in", description='What one tip of the rain collector is: "0.01in", "0.2mm" or "0.1mm".'
    )

    def decoder(self) -> Packets:
        return Packets(names=self.names, bucket=self.rain_bucket)
