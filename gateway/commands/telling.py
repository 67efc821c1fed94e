"""`sallyport set` and `sallyport ask`: the gateway that runs on this machine is told something, or asked."""

import json
from collections.abc import Sequence
from typing import Any

import orjson

from gateway import intercom, wire
from gateway.commands.listing import plain
from gateway.errors import UsageError
from gateway.model import Value


def set_(gateway: str | None, device: str, written: Sequence[str]) -> int:
    """`written`: METRIC=VALUE. Raises: UsageError; Unreachable; Refused, with what was set all the same."""
    values = dict(map(_setting, written))
    answer = intercom.ask("set", gateway, request={"device": device, "values": values})
    for metric, value in answer["set"].items():
        print(plain(f"{device}.{metric} = {json.dumps(value, ensure_ascii=False)}"))
    return 0


def ask(gateway: str | None, verb: str, request: str) -> int:
    """`request`: a JSON object. Raises: UsageError; Unreachable; Refused."""
    print(json.dumps(intercom.ask(verb, gateway, request=_request(request))))
    return 0


def _setting(text: str) -> tuple[str, Value]:
    metric, equals, value = text.partition("=")
    if not (metric and equals):
        raise UsageError(f"{text}: must be METRIC=VALUE")
    return metric, wire.read_scalar(value.encode(errors="replace"))


def _request(text: str) -> dict[str, Any]:
    try:
        request = orjson.loads(text)  # as the gateway reads it: no NaN
    except ValueError as error:
        raise UsageError(f"{text}: is no JSON: {error}") from None
    if not isinstance(request, dict):
        raise UsageError(f"{text}: must be a JSON object, such as {{}}")
    return request
