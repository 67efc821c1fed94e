"""What the documents say is so: their TOML loads, their commands exist, their links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import drivers
from gateway import __version__, config
from gateway.cli import parser

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *ROOT.glob("drivers/**/*.md"), *ROOT.glob("docs/**/*.md"))
)
README = (ROOT / "README.md").read_text()


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


CONFIGURED = [
    path for path in DOCUMENTS if path.stem != "writing-a-driver"
]  # tests/system/test_third_party.py


@pytest.mark.parametrize("document", CONFIGURED, ids=_ids(CONFIGURED))
def test_every_block_of_toml_is_a_good_configuration(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", document.read_text(), re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        config.load(file)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_every_command_in_a_console_is_one_that_sallyport_takes(document: Path) -> None:
    for line in re.findall(r"^\$ sallyport (.*)$", document.read_text(), re.MULTILINE):
        parser().parse_args(shlex.split(line))


def test_readme_names_every_command_and_no_other() -> None:
    named = set(re.findall(r"^\| `sallyport (\w+)`", README, re.MULTILINE))
    known = set(re.findall(r"^    (\w+) ", parser().format_help(), re.MULTILINE))
    assert named == known


def test_readme_names_every_driver_that_comes_with_sallyport() -> None:
    assert set(re.findall(r"^\| \[(\w+)\]\(drivers/", README, re.MULTILINE)) == set(drivers.DRIVERS)


def test_mistake_that_the_readme_shows_is_reported_so(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    shown = re.search(r"^    (gateway\.toml:\d+.*)$", README, re.MULTILINE)
    assert block
    assert shown
    (tmp_path / "gateway.toml").write_text(block[1].replace("port =", "baudrte = 9600\nport ="))
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "gateway.toml"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
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
