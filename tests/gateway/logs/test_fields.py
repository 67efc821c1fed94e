"""docs/logs.md lists the message ids that there are, and each is said by some line of the program."""

import ast
import re
from pathlib import Path

from gateway.logs import MessageId, about
from gateway.logs.line import MOST_FIELD, MOST_TEXT, MOST_TRACE
from gateway.logs.rationed import MOST, PERIOD_S

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "logs.md").read_text()


def _described() -> dict[str, tuple[str, str]]:
    """Of each message id, what the program says it is."""
    tree = ast.parse((ROOT / "gateway" / "logs" / "fields.py").read_text())
    [table] = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == "MessageId"]
    lines = iter(table.body[1:])
    found = {}
    for assignment, text in zip(lines, lines, strict=True):
        assert isinstance(assignment, ast.Assign)
        assert isinstance(text, ast.Expr)
        assert isinstance(assignment.targets[0], ast.Name)
        name = assignment.targets[0].id
        found[name] = (MessageId[name].value, ast.literal_eval(text.value))
    return found


def test_page_has_the_table_of_the_program() -> None:
    rows = re.findall(r"^\| `([0-9a-f]{32})` \| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name: (number, text) for number, name, text in rows} == _described()


def test_ids_are_distinct_128_bit_numbers() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in MessageId)
    assert len({each.value for each in MessageId.__members__.values()}) == len(MessageId.__members__)


def test_each_id_is_said_somewhere() -> None:
    files = [
        each
        for each in (ROOT / "gateway").rglob("*.py")
        if each.parent.name != "logs" or each.name == "start.py"
    ]
    said = {name for each in files for name in re.findall(r"\bMessageId\.(\w+)", each.read_text())}
    assert said == set(MessageId.__members__)


def test_examples_speak_of_ids_that_there_are() -> None:
    assert set(re.findall(r"MESSAGE_ID=(\w+)", PAGE)) <= set(MessageId)


def test_only_what_is_given_is_a_field() -> None:
    assert about() == {}
    assert about(MessageId.BUG, device="boiler", receiver="oncall") == {
        "MESSAGE_ID": MessageId.BUG, "DEVICE": "boiler", "RECEIVER": "oncall",
    }  # fmt: skip


def test_page_has_the_numbers_of_the_program() -> None:
    assert f"{MOST} lines pass in a minute" in PAGE
    assert PERIOD_S == 60
    bounds = f"no longer than {MOST_TEXT:,} characters, a field {MOST_FIELD}, a traceback {MOST_TRACE:,}"
    assert bounds in PAGE
