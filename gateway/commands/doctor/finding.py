"""What was found out about one thing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from gateway.commands.listing import plain


class State(StrEnum):
    WELL = "ok"
    DOUBTFUL = "note"
    """It works, or will, but is worth a look; not counted as wrong."""
    WRONG = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    about: Literal["config", "service", "clock", "journal", "broker", "device"]
    name: str = ""
    """Of the device or the broker."""
    state: State
    cause: str
    """In a word or two, always the same ones, for scripts; `""` where all is well."""
    verdict: str
    remedy: str = ""
    details: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The verdict, what to do, and the details; nothing in them steers a terminal."""
        yield f"{self.state:6}  {plain(self.name or self.about)}: {plain(self.verdict)}"
        if self.remedy:
            yield f"        → {plain(self.remedy)}"
        for detail in self.details:
            yield f"          {plain(detail)}"

    def as_json(self) -> str:
        # Not orjson: beyond ASCII it writes what may steer a terminal.
        return json.dumps(
            {
                "about": self.about, "name": self.name, "state": self.state.lower(), "cause": self.cause,
                "verdict": self.verdict, "do": self.remedy, "details": self.details,
            }
        )  # fmt: skip
