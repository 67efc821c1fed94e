"""The man page and the schema, as commands print them."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway import cli
from gateway.arguments import parser
from gateway.commands import manual


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "sallyport.1"
    file.write_text(manual.page(parser()))
    return file


def test_man_has_nothing_to_say_against_the_page(page: Path) -> None:
    if not shutil.which("man"):
        pytest.skip("man is not installed: apt install man-db")
    done = subprocess.run(
        ["man", "--warnings", "--local-file", page],
        env={"LC_ALL": "C.UTF-8", "MANWIDTH": "200", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    for action in _commands(parser()):
        assert f"sallyport {action}" in shown
    assert "--gateway NAME which one, where several run" in shown
    assert "$SALLYPORT_CONFIG, else /etc/sallyport/gateway.toml" in shown
    assert "3 `status`: no gateway runs here, or none that answers" in shown
    assert not re.search(r"[`~^]|\.SS.*\n\.PP", page.read_text()), (
        "groff_char(7): what is copied is something else"
    )
    assert "> ~/.config/fish/completions/sallyport.fish" in shown
    assert "list, acknowledge" not in shown.partition("COMMANDS")[0]


def test_help_of_each_command_fits_a_terminal_and_has_an_example_that_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in _commands(parser()):
        with pytest.raises(SystemExit, match=r"^0$"):
            parser().parse_args([name, "--help"])
        told = capsys.readouterr().out.splitlines()
        examples = [line for line in told if re.search(r"^  (\$|bash|zsh|fish) +(sudo )?sallyport ", line)]
        assert [line for line in told if len(line) > 79 and line not in examples] == []
        assert examples, name
        for line in examples:
            words = shlex.split(re.split(r" [|>] ", line.partition("sallyport ")[2])[0])
            assert parser().parse_args(words).command == name


def _commands(top: argparse.ArgumentParser) -> list[str]:
    [commands] = [each for each in top._actions if isinstance(each, argparse._SubParsersAction)]
    return [*commands.choices]


def test_page_has_every_option_of_every_command(page: Path) -> None:
    text = page.read_text().replace("\\-", "-")
    for name, command in _parsers("sallyport", parser()):
        section = text.partition(f"\n.SS {name}\n" if name != "sallyport" else "\n.SH DESCRIPTION\n")[2]
        for option in (
            each for action in command._actions for each in action.option_strings if each != "--help"
        ):
            assert f"\\fB{option}\\fR" in section.partition("\n.SS ")[0] or option == "-h", (name, option)


def _parsers(name: str, of: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    found = [(name, of)]
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each, inner in action.choices.items():
                found += _parsers(f"{name} {each}", inner)
    return found


def test_command_prints_it(capsys: pytest.CaptureFixture[str], page: Path) -> None:
    assert cli.main(["manual"]) == 0
    assert capsys.readouterr().out == page.read_text()


def test_schema_is_printed_or_written_beside_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["schema"]) == 0
    printed = capsys.readouterr().out
    Draft202012Validator.check_schema(json.loads(printed))
    file = tmp_path / "sallyport.schema.json"
    assert cli.main(["schema", str(file)]) == 0
    assert file.read_text() == printed
    assert f"#:schema ./{file.name}" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == [file]
    assert printed.isascii(), "whatever the locale"
    nowhere = tmp_path / "nowhere" / "x.json"
    assert cli.main(["schema", str(nowhere)]) == 2
    assert capsys.readouterr().err == f"sallyport schema: {nowhere}: No such file or directory\n"


def test_new_configuration_names_the_schema_that_lies_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path / "gateway.toml")]) == 0
    first, _, _ = (tmp_path / "gateway.toml").read_text().partition("\n")
    assert first == "#:schema ./sallyport.schema.json"
    assert (
        json.loads((tmp_path / "sallyport.schema.json").read_text())["title"] == "Sallyport's configuration"
    )
    assert cli.main(["check", str(tmp_path / "gateway.toml")]) == 0
    capsys.readouterr()
