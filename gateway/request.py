"""What somebody asks of the running gateway, checked where it enters, and carried out."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import GatewayError, Refused
from gateway.logs import MessageId, about

log = logging.getLogger(__name__)

Verb = Callable[[dict[str, Any]], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Carries a request out and returns what to answer. Raises: Refused, with the reason."""

LARGEST = 64 * 1024
"""Bytes of a request."""

MOST_NAMED = 5
"""Problems of one request; the rest is more of the same."""

READING = frozenset({"alert/list", "devices", "dump", "journal", "overview", "ping", "plan"})
"""Verbs that change nothing; what is done by the others is in the log."""

OF_ONE_DEVICE = frozenset({"device/restart", "set"})
"""Verbs whose request names a `device`."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


Text = Annotated[str, Field(strict=True, max_length=128), AfterValidator(_printable)]


_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_long": "must not hold more than {max_length}",
    "dict_type": "must be an object",
    "literal_error": "must be {expected}",
}


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Self:
        """Raises: Refused, with what is wrong."""
        try:
            return cls.model_validate(request)
        except ValidationError as error:
            problems = dict.fromkeys(map(cls._problem, error.errors()[:MOST_NAMED]))
            raise Refused("; ".join(problems)) from None

    @classmethod
    def _problem(cls, error: ErrorDetails) -> str:
        key = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in cls.model_fields.items()]
            near = get_close_matches(key, known, 1)
            return f"{key}: unknown key" + (f'; did you mean "{near[0]}"?' if near else "")
        if error["type"] in _WORDS:
            what = _WORDS[error["type"]].format(**error.get("ctx", {}))
        else:
            what = error["msg"].removeprefix("Value error, ")
        return f"{key}: {what}" if key else what


class Nothing(Request):
    """A request that has nothing to say but its verb."""


def parsed(payload: bytes) -> dict[str, Any]:
    """Raises: Refused."""
    if len(payload) > LARGEST:
        raise Refused(f"the request is larger than {LARGEST} bytes")
    if not payload.strip():
        raise Refused("the request is empty: it must be a JSON object, if only {}")
    try:
        request = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Refused(f"the request is no JSON: {error}") from None
    if not isinstance(request, dict):
        raise Refused("the request must be a JSON object, if only {}")
    return request


async def carried_out(
    verbs: Mapping[str, Verb], verb: str, request: dict[str, Any], *, asked: str
) -> dict[str, Any]:
    """The answer. `asked`: where, and by whom as far as that is known; for the log.

    Raises: Refused, or what else the verb lets through.
    """
    if verb not in verbs:
        raise Refused(f"there is no such verb; there are {', '.join(sorted(verbs))}")
    wanted = "" if verb in READING else orjson.dumps(request).decode()  # a verb may take it apart
    answer: dict[str, Any] = failed("not finished: the gateway stopped, or has failed")
    try:
        result = verbs[verb](request)
        answer = {"status": "ok", **(await result if isinstance(result, Awaitable) else result)}
    except GatewayError as error:
        answer = failed(str(error))
        raise
    finally:
        if verb not in READING:
            _note(f"{asked}: {verb} {wanted}", verb, answer)
    return answer


def _note(what: str, verb: str, answer: Mapping[str, Any]) -> None:
    # Only one that an answer names is there: anybody can make up others, and each would have a ration of its own.
    device = str(answer.get("device", "")) if verb in OF_ONE_DEVICE else ""
    if answer["status"] == "ok":
        log.info("%s: done", what, extra=about(MessageId.REQUEST_CARRIED_OUT, device=device))
    else:
        log.warning("%s: %s", what, answer["error"], extra=about(MessageId.REQUEST_REFUSED, device=device))


def failed(why: str) -> dict[str, Any]:
    """The answer to what was not carried out. `why` may hold half characters, as the name of a file does."""
    return {"status": "error", "error": why.encode(errors="backslashreplace").decode()}
