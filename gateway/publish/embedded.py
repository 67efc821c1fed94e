"""A broker inside the process, on the loopback: for a first run, and for sites that have none."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import Unreachable

HOST = "127.0.0.1"


@asynccontextmanager
async def embedded_broker(port: int) -> AsyncIterator[None]:
    """amqtt, which speaks MQTT 3.1.1; anonymous, reachable from this machine only.

    Raises: Unreachable, when amqtt is not installed or the port is taken.
    """
    try:
        from amqtt.broker import Broker  # noqa: PLC0415 - an extra, and 0.2 s that only its users pay
        from amqtt.errors import BrokerError  # noqa: PLC0415
    except ImportError:
        raise Unreachable("the embedded broker needs amqtt: pip install 'sallyport[embedded]'") from None
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters comes back as an exception
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        await broker.start()
    except BrokerError as error:
        cause = error.__cause__
        why = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else cause or error
        raise Unreachable(f"the embedded broker cannot listen on {HOST}:{port}: {why}") from error
    try:
        yield
    finally:
        await broker.shutdown()
