"""What others on the machine may read or change is said when the configuration is loaded."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config.page import DEEPEST, LARGEST
from gateway.config.secret import LARGEST as LARGEST_SECRET
from gateway.errors import ConfigError

LITERAL = '[mqtt]\nurl = "mqtts://b"\nusername = "plant"\npassword = "hunter2"\n'
KEPT = '[mqtt]\nurl = "mqtts://b"\nusername = "plant"\npassword = { file = "pw" }\n'
PLAIN = '[mqtt]\nurl = "mqtts://b"\n'


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may enter; pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _put(folder: Path, text: str, mode: int, *, kept: int = 0o600) -> None:
    file, secret = folder / "gateway.toml", folder / "pw"
    for path, content, permissions in ((file, text, mode), (secret, "hunter2\n", kept)):
        path.write_text(content)
        path.chmod(permissions)


def _warnings(folder: Path) -> list[str]:
    """About users of this machine."""
    return [each for each in load(folder / "gateway.toml").warnings if "every user" in each]


@pytest.mark.parametrize(
    ("text", "mode", "kept", "wanted"),
    [
        (PLAIN, 0o644, 0o600, []),
        (
            PLAIN,
            0o646,
            0o600,
            ["1:1: every user of this machine may change what is configured: chmod o-w {}"],
        ),
        (LITERAL, 0o640, 0o600, []),
        (
            LITERAL,
            0o644,
            0o600,
            ["1:1: holds secrets, and every user of this machine may read it: chmod o-rwx {}"],
        ),
        (KEPT, 0o644, 0o640, []),
        (
            KEPT,
            0o644,
            0o644,
            [
                "4:1: mqtt.password: every user of this machine may read it in {0.parent}/pw: chmod o-rwx {0.parent}/pw"
            ],
        ),
    ],
)
def test_file_with_secrets_that_everybody_may_read_or_change_is_warned_about(
    folder: Path, text: str, mode: int, kept: int, wanted: list[str]
) -> None:
    _put(folder, text, mode, kept=kept)
    file = folder / "gateway.toml"
    assert _warnings(folder) == [f"{file}:{each.format(file)}" for each in wanted]
    folder.chmod(0o750)
    assert _warnings(folder) == []


def test_journal_in_a_folder_that_everybody_may_write_to_is_warned_about(folder: Path) -> None:
    (folder / "all").mkdir()
    (folder / "all").chmod(0o1777)
    _put(folder, f'{PLAIN}[journal]\npath = "all/journal.db"\n', 0o600)
    [warning] = _warnings(folder)
    assert f"journal.path: every user of this machine may write to {folder}/all" in warning
    (folder / "all").chmod(0o755)
    assert _warnings(folder) == []


def test_configuration_without_an_end_is_not_read_to_its_end(folder: Path) -> None:
    (folder / "gateway.toml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is larger than 4 MB"):
        load(folder / "gateway.toml")
    (folder / "gateway.toml").unlink()
    (folder / "gateway.toml").write_text(PLAIN + "#" * (LARGEST - len(PLAIN)))
    load(folder / "gateway.toml")


def test_secret_without_an_end_is_not_read_to_its_end(folder: Path) -> None:
    _put(folder, KEPT, 0o600)
    (folder / "pw").unlink()
    (folder / "pw").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is larger than 65536 bytes"):
        load(folder / "gateway.toml")
    (folder / "pw").unlink()
    (folder / "pw").write_text("x" * LARGEST_SECRET)
    load(folder / "gateway.toml")


@pytest.mark.parametrize("how", ["[{}]\nx = 1\n", "{} = 1\n", "x = {{ {} = 1 }}\n"])
def test_tables_in_tables_without_an_end_are_a_mistake_like_any_other(folder: Path, how: str) -> None:
    (folder / "gateway.toml").write_text(how.format(".".join("a" * (DEEPEST + 1))))
    with pytest.raises(ConfigError, match="nested too deeply"):
        load(folder / "gateway.toml")
    (folder / "gateway.toml").write_text(how.format(".".join("a" * (DEEPEST - 3))))
    with pytest.raises(ConfigError, match="unknown table"):
        load(folder / "gateway.toml")
