"""What docs/troubleshooting.md says that one sees is said by the program."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from gateway.logs import MessageId

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text()
ELSEWHERE = {
    "Connection refused": "the operating system's",
    "systemctl status": "a command",
    "status=226/NAMESPACE": "systemd's",
    "seq": "a key of readings",
    "run": "a key of readings",
    "sallyport journal": "a command",
    "gateway.toml:9:1: …": "the place of a mistake: tests/test_docs.py",
    '"clock":"unsynchronised"': "gateway/wire.py writes it byte by byte",
    "at the next start: …": "put together from gateway.plan.Verb",
}
"""What stands in a first column and is no message of the program, and whose it is."""

SYMPTOMS = [
    symptom
    for row in re.findall(r"^\| (?!---|what is)(.*?) \| ", TEXT, re.MULTILINE)
    for symptom in re.findall(r"`([^`]+)`", row)
    if symptom not in ELSEWHERE
]
HOLE = "\0"


def _template(node: ast.expr) -> str:
    """A text of the program, with a hole for each value in it."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%[\d.]*[sdrfg]", HOLE, text)
        case ast.JoinedStr(values=parts):
            return "".join(_template(part) for part in parts)
        case _:
            return HOLE


@cache
def templates() -> tuple[str, ...]:
    return tuple(
        _template(node)
        for package in ("gateway", "drivers")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )


def is_said(symptom: str) -> bool:
    """By one text; `…` stands for a hole, or at the ends for anything."""
    parts = [re.escape(part) for part in symptom.strip("… ").split("…")]
    wanted = re.compile(f"[^{HOLE}]*{HOLE}[^{HOLE}]*".join(parts))
    return any(wanted.search(template) for template in templates())


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_message_that_the_page_shows_is_one_of_the_program(symptom: str) -> None:
    refused = symptom.removeprefix("refused: ")
    assert is_said(symptom) or (refused != symptom and is_said(refused))


def test_messages_that_nobody_says_are_not_found() -> None:
    assert len(SYMPTOMS) >= 40
    assert not is_said("the broker has gone fishing")
    assert not is_said("…: no such … device")


@pytest.mark.parametrize("known", ELSEWHERE)
def test_what_is_not_the_programs_is_on_the_page(known: str) -> None:
    assert f"`{known}`" in TEXT


def test_message_ids_that_it_looks_for_are_those_of_the_log() -> None:
    named = re.findall(r"MESSAGE_ID=(\w+)", TEXT)
    assert named
    assert [each for each in named if each not in set(MessageId)] == []
