"""What somebody asks of the running gateway, checked where it enters."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import Refused

MOST_NAMED = 5
"""Problems of one request; the rest is more of the same."""


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
