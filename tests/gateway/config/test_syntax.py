import tomllib

import pytest

from gateway.config.locator import Position
from gateway.config.syntax import explained


def explanation(text: str) -> tuple[Position, str]:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    return explained(text, str(caught.value))


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ("name = Boiler 1", 1, 8, 'a text needs quotes: key = "text"'),
        ("x = `a`", 1, 5, 'this is not the plain quote: use " as programs do'),
        ("“x” = 1", 1, 1, 'this is not the plain quote: use " as programs do'),
        ("x =", 1, 4, 'a value is missing behind the "="'),
        ("x = # later\ny = 1", 1, 5, 'a value is missing behind the "="'),
        ("x = none", 1, 5, "TOML has no empty value: leave the line out"),
        ("x = .5", 1, 5, "a number needs a digit before its point: 0.5"),
        ("x = 5.", 1, 6, "a number needs a digit behind its point: 5.0"),
        ("x = 5 s", 1, 7, 'a value with a unit needs quotes: "5s"'),
        ("x = 60%", 1, 7, 'a value with a unit needs quotes: "5s"'),
        ("x = 1 y = 2", 1, 7, "each setting has a line of its own, and a text needs quotes"),
        ("x = 192.168.1.20", 1, 12, 'a text needs quotes: key = "text"'),
        ("x = 2026-13-01", 1, 9, 'a text needs quotes: key = "text"'),
        ("x = 2026-02-30", 1, 5, "there is no such date or time; a text needs quotes"),
        ("= 1", 1, 1, 'a key is missing before the "="'),
        ("; old", 1, 1, "a comment begins with #"),
        ("<x>", 1, 1, "this is not TOML, where each line is key = value, below a [table]"),
        ("é = 1", 1, 1, "a key with anything but A-Z, a-z, 0-9, _ and - needs quotes around it"),
        ("hot water = 1", 1, 5, "a key with a space or a special character needs quotes around it"),
        ("[a]]", 1, 4, "nothing may follow the header of a table on its line"),
        ("[]", 1, 2, "a name is missing here, or it needs quotes around it"),
        ("[[a]", 1, 4, 'the "]" is missing; a name with a space or a special character needs quotes'),
        ("x = 'a\ny = 'b'", 1, 7, "the closing quote is missing"),
        ("x = 1\ny = '''a\n", 2, 5, "the closing quote of this text is missing"),
        ('x = "a', 1, 5, "the closing quote of this text is missing"),
        ('x = "\x01"', 1, 6, "a control character stands here: delete it"),
        ("x = [\n  1\n  2\n]", 3, 3, 'the array lacks a comma here, or its closing "]"'),
        ("y = 1\nx = [\n  1\n", 2, 5, 'the array lacks a comma here, or its closing "]"'),
        ("x = [1, # and", 1, 14, 'the closing "]" of an array is missing'),
        ("x = { a = 1", 1, 5, "{ … } stands on one line, with commas between its keys"),
    ],
)
def test_a_slip_is_explained_where_it_was_made(text: str, line: int, column: int, hint: str) -> None:
    assert explanation(text) == (Position(line, column), hint)


def test_lines_and_columns_of_a_file_from_windows_are_the_same() -> None:
    text = "[a]\nx = 1\nx = 2\n"
    assert explanation(text) == explanation(text.replace("\n", "\r\n"))
    assert explanation("x = 1\r\ny = \r\n") == (Position(2, 5), 'a value is missing behind the "="')


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        (
            "[a]\nx = 1\n[b]\nx = 2\n  x = 3",
            5,
            3,
            "x is written twice in this table, first on line 4: keep one",
        ),
        (
            'a."b c" = 1\na."b c" = 2',
            2,
            1,
            'a."b c" is written twice in this table, first on line 1: keep one',
        ),
        (
            "[a]\n[b]\n[ a ] # again",
            3,
            3,
            "the table [a] is written twice; the first is on line 1: join them",
        ),
        ("[a]\n[[a]]", 2, 3, "the table [a] is written twice; the first is on line 1: join them"),
        ("a = 1\na.b = 2", 2, 1, "this name is in use already, for a value or for another table"),
        ("a.b = 1\n[a]", 2, 2, "this name is in use already, for a value or for another table"),
        (
            "[a]\nx = 1\n[b]\ny.z = 1\ny = 2",
            5,
            1,
            "this name is in use already, for a value or for another table",
        ),
        ("a = { b = 1 }\n[a.c]", 2, 2, "this name is in use already, for a value or for another table"),
        ('[x]\ny = 1\ny = """\nz"""', 4, 1, "this name is in use already, for a value or for another table"),
    ],
)
def test_what_is_written_twice_is_named_with_its_first_place(
    text: str, line: int, column: int, hint: str
) -> None:
    assert explanation(text) == (Position(line, column), hint)


def test_a_message_that_another_python_may_have_is_passed_on() -> None:
    assert explained("x = 1\n", "Something new (at line 1, column 5)") == (Position(1, 5), "Something new")
    assert explained("x = 1\n", "Something new") == (Position(1, 1), "Something new")
