"""What a person probably did when TOML's grammar stops them; tomllib only says what it had hoped for.

No sentence quotes the line it is about: that line may hold a password.
"""

import re
from typing import NamedTuple

from gateway.config.locator import Position


class _Slip(NamedTuple):
    message: str
    """How tomllib's message begins."""
    place: str
    """What is found around the place where it stopped; `@@` marks that place in its line."""
    hint: str


_NEEDS_QUOTES = 'a text needs quotes: key = "text"'
_TYPOGRAPHIC = "“”„‟‘’‚«»`´"  # noqa: RUF001 - they are what we look for

_UNCLOSED_TEXT = r"""Unterminated string|Expected \"'"""

_SLIPS = (
    _Slip("Invalid", f"@@[{_TYPOGRAPHIC}]", 'this is not the plain quote: use " as programs do'),
    _Slip("Invalid value", r"[,\[]\s*(#.*)?@@$", 'the closing "]" of an array is missing'),
    _Slip("Invalid value", r"=[ \t]*(#.*)?@@[ \t]*(#|$)", 'a value is missing behind the "="'),
    _Slip(
        "Invalid value",
        r"@@(?i:true|false|yes|no|on|off)\b",
        "write true or false, in small letters and without quotes",
    ),
    _Slip("Invalid value", r"@@(?i:none|null|nil)\b", "TOML has no empty value: leave the line out"),
    _Slip("Invalid date", r"", "there is no such date or time; a text needs quotes"),
    _Slip("Invalid value", r"@@[+-]?\.\d", "a number needs a digit before its point: 0.5"),
    _Slip("Invalid value", r"", _NEEDS_QUOTES),
    _Slip("Invalid statement", r"@@(//|;|/\*|--)", "a comment begins with #"),
    _Slip("Invalid statement", r"@@=", 'a key is missing before the "="'),
    _Slip(
        "Invalid statement", r"@@[{<]", "this is not TOML, where each line is key = value, below a [table]"
    ),
    _Slip("Invalid statement", r"", "a key with anything but A-Z, a-z, 0-9, _ and - needs quotes around it"),
    _Slip("Expected '='", r"@@:", 'write "=" between a key and its value, not ":"'),
    _Slip(
        "Expected '='", r"""@@[^"'=]*=""", "a key with a space or a special character needs quotes around it"
    ),
    _Slip("Expected '='", r"", 'a "=" is missing between the key and its value'),
    _Slip("Expected newline", r"^\s*\[.*\]\s*@@", "nothing may follow the header of a table on its line"),
    _Slip("Expected newline", r"\d\s*@@[A-Za-zµ%]+\s*(#|$)", 'a value with a unit needs quotes: "5s"'),
    _Slip("Expected newline", r"\d@@,\d", "a number is written with a point, not with a comma: 0.5"),
    _Slip("Expected newline", r"\b0@@\d", "a number must not begin with 0; a text needs quotes"),
    _Slip("Expected newline", r"\d@@\.\s*(#|$)", "a number needs a digit behind its point: 5.0"),
    _Slip("Expected newline", r"\d@@[.:-]", _NEEDS_QUOTES),
    _Slip("Expected newline", r"@@[;,]", "nothing but a comment may follow the value on its line"),
    _Slip(
        "Expected newline",
        r"""["']\s*@@""",
        'the text ends at its second quote: write \\" for a quote inside it, and begin a comment with #',
    ),
    _Slip("Expected newline", r"", "each setting has a line of its own, and a text needs quotes"),
    _Slip(
        "Unescaped|Invalid hex|Escaped",
        r"",
        "in double quotes a backslash has a meaning of its own: put this text in single quotes, or double it",
    ),
    _Slip(r"Illegal character '\\n'|Found invalid character '\\n'", r"", "the closing quote is missing"),
    _Slip("Illegal character|Found invalid character", r"", "a control character stands here: delete it"),
    _Slip(_UNCLOSED_TEXT, r"", "the closing quote of this text is missing"),
    _Slip("Unclosed array", r"", 'the array lacks a comma here, or its closing "]"'),
    _Slip("Unclosed inline", r"", "{ … } stands on one line, with commas between its keys"),
    _Slip("Duplicate inline", r"", "this key is written twice in one { … }"),
    _Slip("Invalid initial", r"@@\}", 'no comma may stand before the "}"'),
    _Slip("Invalid initial", r"", "a name is missing here, or it needs quotes around it"),
    _Slip("Exceeds the limit", r"", "a number has thousands of digits"),
    _Slip("maximum recursion", r"", "a value is nested too deeply"),
    _Slip("Expected ']", r"", 'the "]" is missing; a name with a space or a special character needs quotes'),
)

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_OPENINGS = (
    ("Unclosed array", r"=\s*(\[)"),
    ("Unclosed inline", r"(\{)"),
    (_UNCLOSED_TEXT, r"""(\"{3}|'{3})"""),
    (_UNCLOSED_TEXT, r"""([\"'])"""),
)
"""What tomllib may find unclosed, and how it was begun."""
_HEADER = re.compile(r"\s*\[+\s*([^\]#]+?)\s*\]")
_PAIR = re.compile(r"""\s*((?:[\w.-]|"[^"]*"|'[^']*')+)\s*=""")


def explained(text: str, message: str) -> tuple[Position, str]:
    """Where a text stops being TOML, and why, from the message with which tomllib refuses it."""
    where = _WHERE.search(message)
    message = _WHERE.sub("", message)
    if where is None:
        at = Position(1, 1)
    elif where[1] is None:
        at = _at_end(text, message)
    else:
        at = Position(int(where[1]), int(where[2]))
    line = text.split("\n")[at.line - 1].rstrip("\r")
    if message.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate", "Cannot redefine")):
        column = len(line) - len(line.lstrip(" \t[")) + 1
        return Position(at.line, column), _twice(text, at.line)
    place = f"{line[: at.column - 1]}@@{line[at.column - 1 :]}"
    for slip in _SLIPS:
        if re.match(slip.message, message) and re.search(slip.place, place):
            return at, slip.hint
    return at, message


def _at_end(text: str, message: str) -> Position:
    """Where something is missing when the document ends: where what is open was begun, else behind all."""
    offset = len(text.rstrip())
    for unclosed, opening in _OPENINGS:
        if re.match(unclosed, message) and (
            begun := [match.start(1) for match in re.finditer(opening, text)]
        ):
            offset = begun[-1]
            break
    before = text[:offset]
    return Position(before.count("\n") + 1, offset - before.rfind("\n"))


def _twice(text: str, number: int) -> str:
    """What a line repeats, and where it stood first."""
    *before, again = text.split("\n")[:number]
    if (header := _HEADER.match(again)) is not None:
        for earlier, line in enumerate(before, 1):
            if (first := _HEADER.match(line)) and first[1] == header[1]:
                return f"the table [{header[1]}] is written twice; the first is on line {earlier}: join them"
    elif (pair := _PAIR.match(again)) is not None:
        for earlier in range(number - 1, 0, -1):
            line = before[earlier - 1]
            if _HEADER.match(line):
                break
            if (first := _PAIR.match(line)) and first[1] == pair[1]:
                return f"{pair[1]} is written twice in this table, first on line {earlier}: keep one"
    return "this name is in use already, for a value or for another table"
