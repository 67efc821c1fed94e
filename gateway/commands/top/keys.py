"""Keys, from what a terminal sends."""

from codecs import getincrementaldecoder

_ESCAPE = "\x1b"
_NAMED = {
    "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x0c": "redraw",
}  # fmt: skip
_SEQUENCES = {
    "[A": "up", "[B": "down", "[5~": "page up", "[6~": "page down", "[H": "home", "[F": "end", "[1~": "home",
    "[4~": "end", "[7~": "home", "[8~": "end", "OA": "up", "OB": "down", "OH": "home", "OF": "end",
}  # fmt: skip
_LONGEST = 8
"""Characters after an escape; nothing that we know is longer."""


class Keys:
    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._waiting = ""

    @property
    def waiting(self) -> bool:
        """Whether an escape has come: the key of that name, or the beginning of another one."""
        return bool(self._waiting)

    def feed(self, data: bytes) -> list[str]:
        """Printable characters as they are, others by their names; what nobody knows is dropped."""
        text = self._waiting + self._decoder.decode(data)
        self._waiting = ""
        keys = []
        while text:
            if text[0] == _ESCAPE:
                key, text = self._sequence(text)
            else:
                char, text = text[0], text[1:]
                key = _NAMED.get(char, char if char.isprintable() else "")
            if key:
                keys.append(key)
        return keys

    def flush(self) -> list[str]:
        """Nothing more has come: it was the key itself."""
        was, self._waiting = self._waiting, ""
        return ["escape"] if was == _ESCAPE else []

    def _sequence(self, text: str) -> tuple[str, str]:
        """The key that stands there, and what follows it."""
        if text == _ESCAPE or (text[1] in "[O" and (end := _end(text)) == 0):
            self._waiting = text
            return "", ""
        if text[1] not in "[O":
            return "escape", text[1:]
        return _SEQUENCES.get(text[1:end], ""), text[end:]


def _end(text: str) -> int:
    """Where a sequence ends (ECMA-48, section 5.4: a final byte from @ to ~); 0: it has not come yet."""
    for at in range(2, min(len(text), _LONGEST)):
        if "@" <= text[at] <= "~":
            return at + 1
    return 0 if len(text) < _LONGEST else _LONGEST
