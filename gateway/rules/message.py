"""An alert's text with values filled in, from a template that can do nothing else."""

import re
from collections.abc import Callable
from string import Formatter

from gateway.model import Value

LONGEST = 1000
"""Characters of a text: a device that says long strings must not make long alerts."""

Look = Callable[[str], Value | None]
"""The value of a name, as `boiler.temperature`; None: not known."""

_NAME = re.compile(r"[\w*-]+(\.[\w*-]+)*")
_FORMAT = re.compile(r"[-+ ]?0?\d{0,2}[,_]?(\.\d{1,2})?[defg%]?", re.ASCII)


class Message:
    def __init__(self, template: str) -> None:
        """A template: `{boiler.temperature:.1f} °C`; a brace is written twice.

        Raises: ValueError, with what is wrong.
        """
        self.names: set[str] = set()
        self._parts: list[tuple[str, str | None, str]] = []
        try:
            parts = [*Formatter().parse(template)]
        except ValueError:
            raise ValueError(
                'holds a single brace: one that is meant as such is written twice, "{{"'
            ) from None
        for text, name, form, conversion in parts:
            if name is not None:
                if not _NAME.fullmatch(name) or conversion:
                    raise ValueError(f"{{{name}}} is not a name of a value, such as {{boiler.temperature}}")
                if not _FORMAT.fullmatch(form or ""):
                    raise ValueError(
                        f"{{{name}:{form}}}: a number is written with a form such as .1f or 6.2f"
                    )
                self.names.add(name)
            self._parts.append((text, name, form or ""))

    def filled(self, look: Look) -> str:
        """With a `?` for what is not known."""
        written = []
        for text, name, form in self._parts:
            written.append(text)
            if name is not None:
                written.append(_written(look(name), form))
        return "".join(written)[:LONGEST]


def _written(value: Value | None, form: str) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return value[:LONGEST] if isinstance(value, str) else format(value, form)
    except ValueError:  # `d` of a float; `.1` of an integer
        return f"{value:g}" if isinstance(value, float) else str(value)
    except OverflowError:  # an integer with more digits than a float has
        return "?"
