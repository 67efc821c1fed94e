"""Where each key of a TOML text stands. tomllib says what is written, but not where."""

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""The way to a value: keys, and the indexes of arrays."""


class Position(NamedTuple):
    """Both count from 1; the column is that of the key's first character."""

    line: int
    column: int


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_SCALAR = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}'''
    r"""|'{3}.*?'{3,5}"""
    r'''|"(?:[^"\\]|\\.)*"'''
    r"""|'[^']*'"""
    r"|\d{4}-\d\d-\d\d \d[0-9:.+Zz-]*"  # a date and a time may be parted by a space
    r"|[^\s,\]}#]+",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_SIGN = re.compile(r"\\[ \t]*\r?\n\s*|\\(?:u.{4}|U.{8}|.)|\r\n|.", re.DOTALL)
_PLAIN_SIGN = re.compile(r"\r\n|.", re.DOTALL)
"""What one character is written as, in double and in single quotes; a line's end is one, however it is made."""
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


class Places:
    """Where everything in a TOML text stands.

    The text must be one that tomllib accepts: what is wrong in TOML is not noticed here.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        scanner = _Scanner(text)
        offsets = scanner.offsets()
        self._scalars = scanner.scalars
        self.positions: Mapping[KeyPath, Position] = {
            path: self._position(offset) for path, offset in offsets.items()
        }
        """Of every key and array element; that of a table is in its own header, if it has one."""

    def inside(self, path: KeyPath, character: int) -> Position:
        """Of a character of the text that is the value at `path`; counted from 0, in what the text means."""
        start, end = self._scalars[path]
        meant = _meant(self._text[start:end])
        return self._position(start + (meant[character] if character < len(meant) else end - start - 1))

    def _position(self, offset: int) -> Position:
        line = bisect_right(self._lines, offset)
        return Position(line, offset - self._lines[line - 1] + 1)


def nearest(positions: Mapping[KeyPath, Position], path: KeyPath) -> Position:
    """Where the value at `path` stands, or would stand: at its nearest parent, else at the file's start."""
    while path and path not in positions:
        path = path[:-1]
    return positions.get(path, Position(1, 1))


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._offsets: dict[KeyPath, int] = {}
        self.scalars: dict[KeyPath, tuple[int, int]] = {}
        """From where to where each value is written that is no array and no table."""
        self._last_index: dict[KeyPath, int] = {}  # of each array of tables

    def offsets(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._blank() < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._offsets

    def _header(self) -> KeyPath:
        of_array = self._text.startswith("[[", self._at)
        self._at += len("[[" if of_array else "[")
        path, start = self._key(())
        self._at += len("]]" if of_array else "]")
        if of_array:
            index = self._last_index[path] = self._last_index.get(path, -1) + 1
            path = (*path, index)
        self._offsets[path] = start
        return path

    def _pair(self, table: KeyPath) -> None:
        path, _ = self._key(table)
        self._at += len("=")
        self._value(path)

    def _key(self, table: KeyPath) -> tuple[KeyPath, int]:
        """Reads a dotted key; returns its whole path and the start of its last part."""
        path = table
        while True:
            start = self._blank()
            path = (*path, _decoded(self._take(_KEY)))
            self._offsets.setdefault(path, start)
            if self._text[self._blank()] != ".":
                return path, start
            self._at += len(".")
            if path in self._last_index:
                path = (*path, self._last_index[path])

    def _value(self, path: KeyPath) -> None:
        opening = self._text[self._blank()]
        if opening not in "[{":
            start = self._at
            self._take(_SCALAR)
            self.scalars[path] = start, self._at
            return
        self._at += 1
        for index in count():
            if self._text[self._blank()] in "]}":
                break
            if opening == "{":
                self._pair(path)
            else:
                self._offsets[*path, index] = self._at
                self._value((*path, index))
            if self._text[self._blank()] == ",":
                self._at += 1
        self._at += 1

    def _blank(self) -> int:
        self._take(_BLANK)
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "tomllib has accepted the text"
        self._at = match.end()
        return match[0]


def _meant(literal: str) -> list[int]:
    """For each character of a text, where it stands in what is written for it, quotes included."""
    quote = literal[:3] if literal.startswith(('"""', "'''")) else literal[:1]
    start, end = len(quote), len(literal) - len(quote)
    if len(quote) > 1 and (newline := re.compile(r"\r?\n").match(literal, start)):
        start = newline.end()  # TOML 1.0.0: the first one does not count
    signs = _PLAIN_SIGN if quote.startswith("'") else _SIGN
    return [
        match.start()
        for match in signs.finditer(literal, start, end)
        if quote.startswith("'") or not re.match(r"\\\s", match[0])
    ]


def _decoded(key: str) -> str:
    if key.startswith('"'):
        return _ESCAPE.sub(_unescaped, key[1:-1])
    return key.strip("'")


def _unescaped(escape: re.Match[str]) -> str:
    short, long, character = escape.groups()
    if character is None:
        return chr(int(short or long, 16))
    return _ESCAPED.get(character, character)
