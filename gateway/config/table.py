from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """What all tables have in common: unknown keys are refused, and no complaint shows a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
