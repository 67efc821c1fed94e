"""The documents, and the commands in them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *ROOT.glob("drivers/**/*.md"), *ROOT.glob("docs/**/*.md"))
)

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = (
    r"sudo|scripts/[\w-]+|sallyport|systemctl|journalctl|mosquitto_\w+|pip|apt|python3|git|cd|\.|curl"
    r"|\(umask|~/\S+"
)
_COMMAND = re.compile(rf"^ {{4,}}(\$ (?:.*?)|(?:{_PROGRAMS})(?: .*?)??)(?:  +#.*|    # .*)?$", re.MULTILINE)
"""Behind a `$`, or of a program that pages show without one."""


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path) -> list[tuple[str, str]]:
    """The fenced ones: language and text."""
    return _FENCED.findall(document.read_text())


def console(document: Path) -> Iterator[str]:
    """What is typed in consoles."""
    for language, text in blocks(document):
        if language == "console":
            for line in text.splitlines():
                assert line.startswith("$ "), f"{name(document)}: a console is for what is typed: {line}"
                yield line[2:]


def fenceless(document: Path) -> str:
    return _FENCED.sub("", document.read_text())


def indented(document: Path) -> Iterator[str]:
    """Commands in indented blocks, without the remarks behind them."""
    yield from (command.removeprefix("$ ").strip() for command in _COMMAND.findall(fenceless(document)))


@cache
def known_tests() -> frozenset[str]:
    """By name: those of this project, and of the contract that drivers of others pass."""
    return frozenset(
        test
        for path in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("drivers/testing/*.py"))
        for test in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
    )
