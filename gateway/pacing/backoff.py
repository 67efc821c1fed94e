import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next attempt: exponential, full jitter *under* the cap.

    Jitter on top of the cap would bring a whole fleet back in step after a long outage.
    Source: Exponential Backoff And Jitter, AWS Architecture Blog, 2015 ("Full Jitter").
    """

    first_s: float
    cap_s: float
    draw: Callable[[float, float], float] = random.uniform
    failures: int = field(default=0, init=False)

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        # 2**64 is beyond any cap; the exponent must not grow for ever.
        ceiling = min(self.cap_s, self.first_s * 2.0 ** min(self.failures, 64))
        self.failures += 1
        return self.draw(0.0, ceiling)

    def reset(self) -> None:
        self.failures = 0
