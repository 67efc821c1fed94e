"""What the documents say is so: their TOML loads, their commands exist."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import drivers
from gateway import __version__, config
from gateway.arguments import parser
from gateway.config.rules import BUILT_IN
from gateway.filters.choice import FILTERS
from tests.gateway.filters.running import chain, outcome
from tests.support.documents import DOCUMENTS, ROOT
from tests.support.forked import run_sallyport

README = (ROOT / "README.md").read_text()


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


# The others: tests/system/test_third_party.py, tests/test_docs_testing_rules.py.
CONFIGURED = [path for path in DOCUMENTS if path.stem not in {"writing-a-driver", "testing-rules"}]


@pytest.mark.parametrize("document", CONFIGURED, ids=_ids(CONFIGURED))
def test_every_block_of_toml_is_a_good_configuration(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", document.read_text(), re.DOTALL)):
        for secret in re.findall(r'\{ (?:credential|file) = "([^/]*?)" \}', block):
            (tmp_path / secret).write_text("hunter2")
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        config.load(file)


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_option_that_a_drivers_readme_shows_on_a_line_is_taken(name: str, tmp_path: Path) -> None:
    readme = (ROOT / "drivers" / name / "README.md").read_text()
    for line in re.findall(r"^    (\w+ = .*)$", readme, re.MULTILINE):
        (tmp_path / "gateway.toml").write_text(f'[devices.it]\ndriver = "{name}"\nport = "/dev/it"\n{line}\n')
        config.load(tmp_path / "gateway.toml")


def test_options_that_readmes_show_on_lines_are_found() -> None:
    readme = (ROOT / "drivers" / "scpi" / "README.md").read_text()
    assert re.search(r"^    (\w+ = .*)$", readme, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_every_command_in_a_console_is_one_that_sallyport_takes(document: Path) -> None:
    for line in re.findall(r"^\$ sallyport (.*)$", document.read_text(), re.MULTILINE):
        parser().parse_args(shlex.split(line))


def test_readme_names_every_command_and_no_other() -> None:
    named = re.findall(r"^\| `sallyport (\w+)`", README, re.MULTILINE)
    known = re.findall(r"^    (\w+)(?: |$)", parser().format_help(), re.MULTILINE)
    assert sorted(named) == sorted(known)


def test_readme_has_each_topic_once() -> None:
    topics = re.findall(r"^\| `((?:sallyport|homeassistant)/.*?)` \|", README, re.MULTILINE)
    assert len(topics) >= 10
    assert sorted(topics) == sorted(set(topics))


def test_readme_names_every_driver_that_comes_with_sallyport() -> None:
    assert set(re.findall(r"^\| \[(\w+)\]\(drivers/", README, re.MULTILINE)) == set(drivers.DRIVERS)


def test_mistake_that_the_readme_shows_is_reported_so(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    shown = re.search(r"^    (gateway\.toml:\d+.*)$", README, re.MULTILINE)
    assert block
    assert shown
    (tmp_path / "gateway.toml").write_text(block[1].replace("port =", "baudrte = 9600\nport ="))
    done = run_sallyport("check", "gateway.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (78, shown[1])


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_every_driver_has_its_folder_complete(name: str) -> None:
    folder = ROOT / "drivers" / name
    assert {"README.md", "sample.toml", "codec.py", "simulator.py"} <= {
        path.name for path in folder.iterdir()
    }
    assert drivers.find(name).summary
    fields = drivers.find(name).options.model_fields.values()
    assert all(field.description for field in fields)


def test_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_no_document_holds_a_place_that_was_to_be_filled_in(document: Path) -> None:
    assert not re.search(r"^[A-Z]{3,}$|\b(TODO|TBD|FIXME)\b", document.read_text(), re.MULTILINE)


Row = tuple[float, str, str]


def _filter_examples() -> Iterator[tuple[str, list[Row]]]:
    """Each filter of docs/filters.md as TOML, with the rows below it: moment, what comes in, what comes out."""
    text = (ROOT / "docs" / "filters.md").read_text()
    for written, rows in re.findall(r"^    (\{.*\})\n((?:    .*→.*\n)+)", text, re.MULTILINE):
        found = re.findall(r"^ +([\d.]+) s +(.*?) *→ *(.*)$", rows, re.MULTILINE)
        assert len(found) == rows.count("\n"), written
        yield written, [(float(moment), said, heard) for moment, said, heard in found]


FILTER_EXAMPLES = [*_filter_examples()]


def _values(text: str) -> dict[str, Any]:
    value = orjson.loads(text)
    return value if isinstance(value, dict) else {"value": value}


@pytest.mark.parametrize(
    ("written", "rows"), FILTER_EXAMPLES, ids=[written for written, _ in FILTER_EXAMPLES]
)
def test_filter_does_what_its_example_shows(written: str, rows: list[Row]) -> None:
    filters = chain(tomllib.loads(f"filter = {written}")["filter"])
    said = [(moment, _values(value)) for moment, value, _ in rows if value]
    heard = [(moment, _values(value)) for moment, _, value in rows if value]
    out = outcome(filters, said, until=rows[-1][0])
    assert [moment for moment, _ in out] == pytest.approx([moment for moment, _ in heard])
    for (_, values), (_, wanted) in zip(out, heard, strict=True):
        assert values == pytest.approx(wanted)


def test_each_filter_has_an_example() -> None:
    assert {key for written, _ in FILTER_EXAMPLES for key in FILTERS if f"{{ {key} =" in written} == set(
        FILTERS
    )


def test_rules_that_are_there_anyway_are_in_their_table() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| [^|]* \| (\w+) \|$", text, re.MULTILINE)
    assert dict(table) == {name: rule.get("severity", "warning") for name, rule in BUILT_IN.items()}
