from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Debounce:
    """When to believe a condition: after it has stayed other than what is believed for long enough.

    While nothing is known of it nothing changes; the wait that has begun goes on, and what is heard next decides.
    """

    rise_s: float = 0.0
    """How long it must be true."""
    fall_s: float = 0.0
    """How long it must be false."""
    believed: bool = False
    differs_since: float | None = None
    """Since when it has been other than what is believed."""
    due: float = field(default=inf, init=False)
    """When it changes unless something else is heard; infinity: not by itself."""

    def update(self, heard: bool | None, now: float) -> bool:
        """What to believe now. Whoever calls has seen to it that nothing is due before."""
        self.due = inf
        if heard is self.believed:
            self.differs_since = None
        elif heard is not None:
            if self.differs_since is None:
                self.differs_since = now
            due = self.differs_since + (self.fall_s if self.believed else self.rise_s)
            if due > now:
                self.due = due
            else:
                self.believed = heard
                self.differs_since = None
        return self.believed
