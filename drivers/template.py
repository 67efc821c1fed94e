"""Commands as people write them, with the place where the value goes: `VOLT {value:.3f}`."""

import re

from gateway.model import Value

_PLACE = re.compile(r"\{value(?::(\d{0,2}(?:\.\d{1,2})?[defg]))?\}")
_BRACKETS = re.compile(r"[{}]")


class Template:
    """A text in which each `{value}` stands for the value; `{value:.2f}` writes it with two decimals.

    Without a form a number is written as short as it can be, and a boolean as 1 or 0.
    """

    def __init__(self, text: str) -> None:
        """Raises: ValueError, with what is allowed."""
        if _BRACKETS.search(_PLACE.sub("", text)):
            raise ValueError(f"cannot be {text!r}: in {{ }} stands value, or a form such as {{value:.2f}}")
        self.takes_value = _PLACE.search(text) is not None
        self._text = text

    def filled(self, value: Value) -> str:
        """Raises: ValueError, for a text where the form wants a number."""
        return _PLACE.sub(lambda place: _written(value, place[1] or ""), self._text)


def _written(value: Value, form: str) -> str:
    if isinstance(value, bool):
        value = int(value)
    if form.endswith("d") and isinstance(value, float):
        value = round(value)
    if form:
        return format(value, form)
    return f"{value:.15g}" if isinstance(value, float) else str(value)
