import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.accounts import Accounts
from gateway.bus import EventBus
from gateway.config import Config
from gateway.health import Health
from gateway.logs import Tail
from gateway.model import Clock
from gateway.overview import Overview
from gateway.request import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is to be seen of a gateway, and what can be asked of it."""

    overview: Overview
    accounts: Accounts
    verbs: Mapping[str, Verb]
    health: Health
    log: Tail
    clock: Clock
    bus: EventBus
    config: Callable[[], Config]
    """As it is now."""
    reloaded: Callable[[], asyncio.Event]
    """Set when another one has taken effect; then there is a new event."""
