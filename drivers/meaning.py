"""What people say of a value that an instrument prints, in the configuration."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.device_class import DeviceClass
from drivers.driver import Metric, Settable, StateClass
from gateway.model import Value


class ValueOptions(BaseModel):
    """What one value means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["auto", "number", "integer", "boolean", "text"] = Field(
        default="auto", description="What it is; auto: a number if it reads as one, else a text."
    )
    unit: str = Field(default="", description="Its unit, as a UCUM code.")
    label: str = Field(default="", description="What people call it.")
    device_class: DeviceClass = Field(default="", description="Home Assistant's class of the sensor.")
    state_class: StateClass = Field(default="", description="Home Assistant's class of the state.")
    scale: float = Field(default=1.0, description="What a number is multiplied with.")
    offset: float = Field(default=0.0, description="What is added to it then.")
    names: Mapping[str, Value] = Field(
        default={}, description="What a printed text means, such as { S = true, U = false }."
    )

    def metric(self, name: str, settable: Settable | None = None) -> Metric:
        label = self.label or name.replace("_", " ").capitalize()
        return Metric(self.unit, label, self.device_class, self.state_class, settable)
