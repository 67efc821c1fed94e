"""Completion in real shells, and what they are offered."""

import asyncio
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from gateway import cli
from gateway.arguments import SHELLS, parser
from gateway.commands import completion
from tests.support.terminal import Terminal

CONFIG = """
[devices.boiler]
driver = "json"
port = "/dev/ttyUSB0"
[devices."hall 2"]
driver = "json"
port = "/dev/ttyUSB1"
[rules.overheat]
when = "boiler.temperature > 80"
"""

STARTS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
PREPARES = {
    "bash": "source <(sallyport completion bash)",
    "zsh": "autoload -U compinit; compinit -u -D; source <(sallyport completion zsh)",
    "fish": "sallyport completion fish | source",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))  # whatever else runs on this machine
    (tmp_path / "gateway.toml").write_text(CONFIG)
    (tmp_path / "another.toml").write_text('[devices.kiln]\ndriver = "json"\nport = "/dev/ttyUSB0"\n')
    return tmp_path


@pytest.mark.real_time
@pytest.mark.parametrize("shell", SHELLS)
async def test_shell_completes_commands_options_names_and_files(shell: str, site: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: apt install {shell}")
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}:/usr/local/bin:/usr/bin:/bin", "PS1": "ready> ", "PROMPT": "ready> ",
        "HOME": str(site), "SALLYPORT_CONFIG": str(site / "gateway.toml"), "HISTFILE": "", "XDG_CACHE_HOME": str(site),
    }  # fmt: skip
    async with Terminal.running(*STARTS[shell], environment=environment) as terminal:
        await asyncio.sleep(0.5)
        terminal.press(f"cd {site}; {PREPARES[shell]}; clear; echo pre''pared\n")
        await terminal.shows("prepared")
        for typed, completed in {
            "stat": "status ",
            "run --conf": "--config ",
            "rules exp": "explain ",
            "decode nmea": "nmea0183 ",
            "doctor boi": "boiler ",
            "doctor --config another.toml k": "kiln ",
            "alerts ack over": "overheat ",
            "check anoth": "another.toml ",
            "check ~/anoth": "~/another.toml ",
            "doctor hal": r"hall\ 2 ",
        }.items():
            before = typed.rpartition(" ")[0]
            terminal.press(f"sallyport {typed}\t")
            await terminal.shows(f"sallyport {before} {completed}".replace("  ", " ").rstrip())
            terminal.press("\x15")  # the line goes


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("shell", "names"),
    [("zsh", ("-f", "-c", "print -l $fpath")), ("fish", ("-c", "string join \\n $fish_complete_path"))],
)
def test_shell_looks_where_install_puts_what_it_completes_with(
    shell: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: apt install {shell}")

    def lines(*command: str) -> list[str]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        }  # as over ssh: no XDG_DATA_DIRS of a desktop
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.splitlines()

    service = Path(__file__).parents[2] / "scripts/service"
    places = lines("bash", "-c", f'. {service}; printf "%s\\n" "$SHARE/zsh/site-functions" "$FISH"')
    assert places[SHELLS.index(shell) - 1] in lines(shell, *names)


def offered(site: Path, *words: str) -> list[str]:
    return [word for word, _ in completion._Completion(parser(), site / "gateway.toml").of([*words])]


def test_what_a_command_takes_is_offered(site: Path) -> None:
    assert {"run", "status", "top", "rules"} <= {*offered(site, "")}
    assert offered(site, "st") == ["status"]
    assert offered(site, "rules", "") == ["check", "test", "explain", "replay"]
    assert offered(site, "rules", "ex") == ["explain"]
    assert offered(site, "completion", "") == [*SHELLS]
    assert offered(site, "journal", "p") == ["purge"]
    assert offered(site, "record", "--parity", "e") == ["even"]
    assert offered(site, "filters", "med") == ["median"]
    assert offered(site, "decode", "--device", "x") == [":files"]
    assert offered(site, "decode", "json", "") == [":files"]
    assert offered(site, "sniff", "/dev/tty") == [":files"]
    assert offered(site, "record", "/dev/tty") == [":files"]
    assert offered(site, "unknown", "") == []
    assert offered(site) == offered(site, "")


def test_options_are_offered_once_unless_they_may_be_repeated(site: Path) -> None:
    assert offered(site, "status", "--j") == ["--json"]
    assert "--json" not in offered(site, "status", "--json", "-")
    assert "--driver" in offered(site, "sniff", "--driver", "json", "--")
    assert offered(site, "status", "--gateway", "") == []


def test_value_may_stand_behind_a_sign_as_one_word_or_as_bash_takes_it_apart(site: Path) -> None:
    assert offered(site, "record", "--parity=e") == ["--parity=even"]
    assert offered(site, "record", "--parity", "=", "e") == ["even"]
    assert "odd" in offered(site, "record", "--parity", "=")
    assert offered(site, "run", "--config=") == [":files"]
    assert offered(site, "doctor", f"--config={site / 'another.toml'}", "") == ["kiln"]
    assert offered(site, "doctor", "--config", "=", str(site / "another.toml"), "") == ["kiln"]


def test_names_are_those_of_the_configuration_if_it_can_be_read(site: Path) -> None:
    assert offered(site, "doctor", "") == ["boiler", "hall 2"]
    assert offered(site, "doctor", "boiler", "") == ["boiler", "hall 2"]
    assert "overheat" in offered(site, "rules", "explain", "")
    assert "device_stale" in offered(site, "rules", "explain", "dev")
    assert offered(site, "doctor", "--config", "/nowhere", "") == []
    (site / "gateway.toml").write_text('devices = "none"\nrules = [')
    assert offered(site, "doctor", "") == []
    (site / "gateway.toml").write_text('devices = "none"\n[devices2."a\\u001b[2J"]\n')
    assert offered(site, "doctor", "") == []


def test_name_that_a_terminal_would_obey_is_not_offered(site: Path) -> None:
    (site / "gateway.toml").write_text('[devices."a\\u001b[2J"]\n[devices.good]\n')
    assert offered(site, "doctor", "") == ["good"]


def test_scripts_ask_for_words_with_what_they_mean(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish", ":", "sta"]) == 0
    assert capsys.readouterr().out == "status\tsay whether all is well, for people and for scripts\n"
    assert cli.main(["completion", "fish", ":", "check", ""]) == 0
    assert capsys.readouterr().out == ":files\n"
    assert site.exists()
