import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.locator import KeyPath, Places, Position, nearest

VALUES = st.sampled_from(
    [
        "1",
        "0x1F",
        "1_000.5e-3",
        "nan",
        "true",
        "2026-11-22",
        "2026-11-22 17:07:01.5Z",
        "2026-11-22T17:07:01+01:00",
        "17:07:01",
        '""',
        '"a = 1 # no comment"',
        r'"quote \" bracket ] brace } backslash \\"',
        "'C:\\raw\\'",
        "''",
        '""""""',
        '"""\n[no.table]\nk = "v"\n"""',
        '"""two quotes at the end"""""',
        '"""escaped \\""" and on\\\n   # no comment"""',
        "''''''",
        "'''\n[[no]]\nit''s = \\''''",
    ]
)
BLANK = st.sampled_from(["", " ", "\t", "  "])
BREAK = st.sampled_from(["", "\n", " # a comment, [with] = {signs}\n", "\r\n  "])
BETWEEN = st.sampled_from(["\n", "\n\n", "\r\n", " # comment = 1\n", "\n# [no.table]\n\n"])


class Keys:
    """Keys that occur once in a document, so that a position can only be the right one; each in any spelling."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.spellings: dict[str, str] = {}

    def new(self) -> str:
        number = len(self.spellings)
        name = f"k{number}" + self._draw(st.sampled_from(["", ".", " ", '"', "\\", "é", "\n", "-x", "#]"]))
        spellings = [
            json.dumps(name),
            json.dumps(name, ensure_ascii=False),
            f'"\\U0000006b{json.dumps(name)[2:]}',
        ]
        if "\n" not in name:
            spellings.append(f"'{name}'")
        if name.isascii() and name.replace("-", "").isalnum():
            spellings.append(name)
        self.spellings[name] = self._draw(st.sampled_from(spellings))
        return self.spellings[name]

    def dotted(self) -> str:
        parts = [self.new() for _ in range(self._draw(st.integers(1, 3)))]
        return (self._draw(BLANK) + "." + self._draw(BLANK)).join(parts)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    keys = Keys(draw)

    def value(depth: int) -> str:
        kind = draw(st.sampled_from(["scalar", "scalar", "array", "inline"])) if depth else "scalar"
        if kind == "scalar":
            return draw(VALUES)
        if kind == "inline":
            return (
                "{" + ",".join(draw(BLANK) + pair(depth - 1) for _ in range(draw(st.integers(0, 3)))) + " }"
            )
        items = [draw(BREAK) + value(depth - 1) + draw(BREAK) for _ in range(draw(st.integers(0, 3)))]
        return (
            "["
            + ",".join(items)
            + ("," if len(items) > 0 and draw(st.booleans()) else "")
            + draw(BREAK)
            + "]"
        )

    def pair(depth: int) -> str:
        return keys.dotted() + draw(BLANK) + "=" + draw(BLANK) + value(depth)

    def pairs() -> str:
        return "".join(draw(BLANK) + pair(2) + draw(BETWEEN) for _ in range(draw(st.integers(0, 3))))

    text = pairs()
    for _ in range(draw(st.integers(0, 3))):
        header = keys.dotted()
        if draw(st.booleans()):
            for _ in range(draw(st.integers(1, 3))):
                text += f"[[{draw(BLANK)}{header}{draw(BLANK)}]]{draw(BETWEEN)}{pairs()}"
                if draw(st.booleans()):
                    text += f"[{header} . {keys.dotted()}]{draw(BETWEEN)}{pairs()}"
        else:
            text += f"[{draw(BLANK)}{header}{draw(BLANK)}]{draw(BETWEEN)}{pairs()}"
    return text, keys.spellings


def paths(value: Any, at: KeyPath = ()) -> Iterator[KeyPath]:
    if at:
        yield at
    if isinstance(value, dict):
        for key, nested in value.items():
            yield from paths(nested, (*at, key))
    elif isinstance(value, list):
        for index, nested in enumerate(value):
            yield from paths(nested, (*at, index))


@given(documents())
def test_every_key_that_tomllib_reads_is_located_where_it_is_written(
    document: tuple[str, dict[str, str]],
) -> None:
    text, spellings = document
    positions = Places(text).positions
    lines = text.split("\n")

    assert positions.keys() == set(paths(tomllib.loads(text)))
    for path, (line, column) in positions.items():
        if isinstance(key := path[-1], str):
            assert lines[line - 1][column - 1 :].startswith(spellings[key]), path


def where(text: str, *path: str | int) -> Position:
    return Places(text).positions[path]


def test_a_table_stands_at_its_own_header_wherever_that_comes() -> None:
    text = "[a.b]\nx = 1\n[a]\ny = 2\n"
    assert where(text, "a") == (3, 2)
    assert where(text, "a", "b") == (1, 4)


def test_a_table_without_a_header_stands_where_it_is_first_named() -> None:
    assert where("a.b = 1\na.c = 2\n", "a") == (1, 1)
    assert where("[x]\n[a.b]\n", "a") == (2, 2)


def test_elements_of_arrays_have_positions_of_their_own() -> None:
    assert where('a = [\n  1,\n  "two", # and\n  3]\n', "a", 1) == (3, 3)
    assert where("a = [[1], [2, 3]]\n", "a", 1, 1) == (1, 15)


def test_each_table_of_an_array_has_its_own_header() -> None:
    text = "[[a]]\nx = 1\n\n[[a]]\nx = 2\n[a.b]\ny = 3\n"
    assert where(text, "a", 0) == (1, 3)
    assert where(text, "a", 1, "x") == (5, 1)
    assert where(text, "a", 1, "b", "y") == (7, 1)


def test_columns_count_characters() -> None:
    assert where('x = { "é" = 1, ü1.b = 2 }'.replace("ü1", "u"), "x", "u", "b") == (1, 18)


def test_lines_of_windows_count_once() -> None:
    assert where("a = 1\r\n\r\n[b]\r\nc = '''x\r\ny'''\r\nd = 2\r\n", "b", "d") == (6, 1)


@pytest.mark.parametrize(
    ("path", "position"),
    [
        (("a", "x"), Position(2, 1)),
        (("a", "missing"), Position(1, 2)),
        (("a", "x", 3, "deeper"), Position(2, 1)),
        (("b",), Position(1, 1)),
        ((), Position(1, 1)),
    ],
)
def test_what_is_not_there_stands_at_its_nearest_parent(path: KeyPath, position: Position) -> None:
    assert nearest(Places("[a]\nx = 1\n").positions, path) == position


def test_an_empty_text_has_no_positions() -> None:
    assert Places("").positions == {}
    assert Places("\n# only a comment").positions == {}
