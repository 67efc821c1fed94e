"""A box is what the tests of services take it for."""

from pathlib import Path

import pytest

from gateway import __version__
from tests.support.box import SHARED, Box

pytestmark = pytest.mark.real_time

UNIT = "[Service]\nType=oneshot\nExecStart=/bin/echo said by a unit\n"


def test_gateway_of_this_tree_runs_in_a_box(box: Box) -> None:
    assert box.run("sallyport", "--version", user="nobody").stdout == f"sallyport {__version__}\n"


def test_unit_runs_and_its_journal_is_read(box: Box) -> None:
    box.write("/etc/systemd/system/speaker.service", UNIT)
    box.systemctl("daemon-reload")
    box.systemctl("start", "speaker")
    assert box.properties("speaker", "Result", "SubState") == {"Result": "success", "SubState": "dead"}
    assert "said by a unit" in box.journal("speaker")
    [entry] = [each for each in box.journal_entries("speaker") if each["MESSAGE"] == "said by a unit"]
    assert entry["_SYSTEMD_UNIT"] == "speaker.service"
    box.sh("rm /etc/systemd/system/speaker.service; systemctl daemon-reload")


def test_command_that_fails_says_so(box: Box) -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        box.sh("echo no such thing >&2; false; true")
    assert box.run("false", check=False).returncode == 1


def test_files_go_in_and_out(box: Box, tmp_path: Path) -> None:
    box.write("/tmp/there/file", "text\n", mode="640", owner="nobody:root")
    assert box.sh("stat -c '%U %a' /tmp/there/file") == "nobody 640"
    assert box.read("/tmp/there/file") == "text\n"
    box.copy_out("/tmp/there/file", tmp_path / "back")
    box.copy_in(tmp_path / "back", "/tmp/there/again")
    box.sh(f"cmp /tmp/there/file /tmp/there/again; cp /tmp/there/file {SHARED}/seen; rm -r /tmp/there")
    assert (box.shared / "seen").read_text() == "text\n"


def test_command_goes_on_beside_the_test(box: Box) -> None:
    with box.started("sh", "-c", "echo begun; exec sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
    assert box.run("pgrep", "-fx", "sleep 60", check=False).returncode == 1


def test_what_was_written_outlasts_a_reboot_but_not_a_fresh_one(tmp_path: Path) -> None:
    with Box.running(tmp_path, kind="-reboot") as box:
        box.write("/root/note", "")
        box.power_off()
        box.boot()
        assert box.run("test", "-e", "/root/note", check=False).returncode == 0
        box.power_off()
        box.boot(fresh=True)
        assert box.run("test", "-e", "/root/note", check=False).returncode == 1
