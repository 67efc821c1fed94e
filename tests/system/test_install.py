"""scripts/install and scripts/uninstall on a machine that has never seen Sallyport, run by a real systemd."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway import __version__
from tests.support.box import Box
from tests.support.box_site import CONFIG, clear, configure, start_board, start_broker, subscribed
from tests.support.clone import CLONE, WHEELHOUSE, files, put_clone
from tests.support.gateway_process import until
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(240), pytest.mark.xdist_group("install")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    shared = tmp_path_factory.mktemp("machine")
    with Box.running(shared, kind="-install") as box:
        put_clone(box)
        yield box


@pytest.fixture(scope="module")
def files_before(machine: Box) -> set[str]:
    return files(machine)


@pytest.fixture
def installed(machine: Box, files_before: set[str]) -> Iterator[Box]:  # noqa: ARG001 - before it is installed
    """With an empty configuration."""
    if version_in_use(machine) != __version__:
        install(machine)
    configure(machine, "")
    yield machine
    clear(machine)


NO_UDEV = """\
import os, socket
os.makedirs("/run/udev")
socket.socket(socket.AF_UNIX).bind("/run/udev/control")
"""


def install(box: Box, clone: Path = CLONE) -> subprocess.CompletedProcess[str]:
    return box.run(clone / "scripts/install", "--offline", WHEELHOUSE, check=False, timeout=200)


def other_clone(box: Box, version: str, change: str = "true") -> Path:
    """A clone of another version, changed by a script in its folder."""
    folder = Path(f"/root/clone-{version}")
    box.sh(
        f"rm -rf {folder}; cp -r {CLONE} {folder}; cd {folder};"
        f"sed -i 's/^version = .*/version = \"{version}\"/' pyproject.toml;"
        f"sed -i 's/^__version__ = .*/__version__ = \"{version}\"/' gateway/__init__.py; {change}"
    )
    return folder


def version_in_use(box: Box) -> str:
    return (
        box.run("sallyport", "--version", user="nobody", check=False)
        .stdout.strip()
        .removeprefix("sallyport ")
    )


def versions_kept(box: Box) -> list[str]:
    """As folders: the version and when it was installed."""
    return box.sh("find /opt/sallyport -mindepth 1 -maxdepth 1 -type d -printf '%f\\n' | sort").splitlines()


def online_as(subscriber: Subscriber, version: str) -> bool:
    return bool(subscriber.on("/status")[-1].get("version") == version)


def until_it_is(box: Box, state: str) -> None:
    box.sh(f"until [ $(systemctl is-active sallyport) = {state} ]; do sleep 0.1; done", timeout=100)


def main_pid(box: Box) -> str:
    return box.properties("sallyport", "MainPID")["MainPID"]


def test_one_command_installs_a_service_that_runs_and_says_what_to_do_next(
    machine: Box, files_before: set[str]
) -> None:
    assert "/opt/sallyport" not in files_before
    done = install(machine)
    assert done.returncode == 0, done.stderr
    for word in ("sudo sallyport init", "/etc/sallyport/gateway.toml", "journalctl"):
        assert word in done.stdout
    assert version_in_use(machine) == __version__
    assert machine.systemctl("is-enabled", "sallyport") == "enabled"
    assert machine.systemctl("is-active", "sallyport") == "active"
    configuration = "/etc/sallyport /etc/sallyport/gateway.toml /etc/sallyport/credentials"
    kept = f"{configuration} /var/lib/sallyport /opt/sallyport/current/."
    assert machine.sh(f"stat -c '%U:%G %a' {kept}").splitlines() == [
        "root:sallyport 2750",
        "root:sallyport 640",
        "root:root 700",
        "sallyport:sallyport 700",
        "root:root 755",
    ]
    assert machine.run("find", "/opt/sallyport", "-perm", "/022", "-not", "-type", "l").stdout == ""
    assert machine.sh("id -nG sallyport") == "sallyport dialout"
    share = Path("/usr/local/share")
    assert "\n.SS sallyport top\n" in machine.read(share / "man/man1/sallyport.1")
    for place in ("bash-completion/completions/sallyport", "zsh/site-functions/_sallyport"):
        assert "sallyport completion" in machine.read(share / place)
    assert "sallyport completion" in machine.read("/etc/fish/completions/sallyport.fish")
    assert json.loads(machine.read("/etc/sallyport/sallyport.schema.json"))["properties"].keys() >= {
        "devices"
    }


async def test_upgrade_and_downgrade_under_load_lose_nothing(installed: Box) -> None:
    newer = other_clone(installed, "99.0.0")
    start_broker(installed)
    start_board(installed)
    configure(installed)
    installed.write("/etc/sallyport/requirements.txt", "rich\n")
    async with subscribed(installed) as subscriber:
        installed.systemctl("restart", "sallyport")
        for clone, version in ((newer, "99.0.0"), (CLONE, __version__)):
            await subscriber.has(len(subscriber.readings()) + 20)
            done = await asyncio.to_thread(install, installed, clone)
            assert done.returncode == 0, done.stderr
            assert version_in_use(installed) == version
            await until(partial(online_as, subscriber, version))
        await subscriber.has(len(subscriber.readings()) + 20)
        installed.systemctl("stop", "sallyport")
        readings = subscriber.readings()
    assert [each["seq"] for each in readings] == [*range(1, len(readings) + 1)]
    assert len({each["run"] for each in readings}) == 1
    assert installed.read("/etc/sallyport/gateway.toml") == CONFIG
    installed.sh("/opt/sallyport/current/bin/python -c 'import rich'; rm /etc/sallyport/requirements.txt")
    assert [folder.partition("-")[0] for folder in versions_kept(installed)] == [__version__, "99.0.0"]


async def test_version_that_does_not_become_ready_is_taken_back(installed: Box) -> None:
    broken = other_clone(
        installed,
        "99.0.1",
        "echo 'raise RuntimeError(\"out of order\")' >>gateway/app.py; echo Nice=1 >>systemd/sallyport.service",
    )
    start_broker(installed)
    start_board(installed)
    configure(installed)
    async with subscribed(installed) as subscriber:
        installed.systemctl("restart", "sallyport")
        await subscriber.has(20)
        before = versions_kept(installed)
        done = await asyncio.to_thread(install, installed, broken)
        assert done.returncode == 1
        assert "RuntimeError: out of order" in done.stderr
        assert "is at work again" in done.stderr
        assert versions_kept(installed) == before
        assert version_in_use(installed) == __version__
        await subscriber.has(len(subscriber.readings()) + 20)
        installed.systemctl("stop", "sallyport")
        seqs = [each["seq"] for each in subscriber.readings()]
    assert seqs == [*range(1, len(seqs) + 1)]
    assert "Nice=1" not in installed.systemctl("cat", "sallyport")


def test_way_back_goes_on_through_what_fails_and_says_what_is_left_to_do(installed: Box) -> None:
    installed.systemctl("restart", "sallyport")
    before = versions_kept(installed)
    # Nothing in there can be changed, neither by the new version nor on the way back.
    rules = "/usr/local/lib/udev/rules.d"
    installed.sh(f"mount --bind {rules} {rules}; mount -o remount,bind,ro {rules}")
    done = install(installed, other_clone(installed, "99.0.4"))
    installed.sh(f"umount {rules}")
    assert done.returncode == 1
    way_back = done.stderr.partition("going back to")[2]
    assert "61-sallyport.rules': Read-only file system" in way_back
    assert "Not all of the way back could be gone" in way_back
    assert "is at work again" in way_back
    assert versions_kept(installed) == before
    assert version_in_use(installed) == __version__
    assert installed.systemctl("is-active", "sallyport") == "active"
    assert "ExecStart=/opt/sallyport/current" in installed.systemctl("cat", "sallyport")


@pytest.mark.slow
def test_installation_that_is_interrupted_leaves_the_old_version_at_work(installed: Box) -> None:
    slow = other_clone(installed, "99.0.3", "echo 'import time; time.sleep(50)' >>gateway/app.py")
    installed.systemctl("restart", "sallyport")
    before = versions_kept(installed)
    with installed.started(slow / "scripts/install", "--offline", WHEELHOUSE):
        until_it_is(installed, "activating")
        assert "Another scripts/install" in install(installed).stderr
    until_it_is(installed, "active")
    installed.sh("flock /opt/sallyport/.lock true")
    assert versions_kept(installed) == before
    assert version_in_use(installed) == __version__
    assert main_pid(installed) in installed.sh("pgrep -u sallyport")


def test_version_that_does_not_take_the_configuration_is_refused_before_anything_stops(
    installed: Box,
) -> None:
    strict = other_clone(installed, "99.0.2", "sed -i 's/retry_max:/retry_most:/' gateway/config/options.py")
    configure(installed, '[mqtt]\nretry_max = "200ms"\n')
    installed.systemctl("restart", "sallyport")
    before = (main_pid(installed), versions_kept(installed))
    done = install(installed, strict)
    assert done.returncode == 1
    assert "gateway.toml:2:1: mqtt.retry_max" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (main_pid(installed), versions_kept(installed)) == before


def test_further_gateways_whose_configuration_is_not_taken_keep_a_new_version_out_too(installed: Box) -> None:
    strict = other_clone(installed, "99.0.6", "sed -i 's/retry_max:/retry_most:/' gateway/config/options.py")
    configure(installed, '[mqtt]\nretry_max = "200ms"\n', name="east-wing")
    installed.systemctl("enable", "sallyport@east-wing")
    before = versions_kept(installed)
    done = install(installed, strict)
    installed.systemctl("disable", "sallyport@east-wing")
    assert done.returncode == 1
    assert "east-wing.toml:2:1: mqtt.retry_max" in done.stderr
    assert versions_kept(installed) == before


def test_packages_that_cannot_be_had_leave_everything_as_it_was(installed: Box) -> None:
    installed.systemctl("start", "sallyport")
    before = (main_pid(installed), versions_kept(installed))
    installed.sh("mkdir -p /tmp/empty")
    done = installed.run(CLONE / "scripts/install", "--offline", "/tmp/empty", check=False)
    assert done.returncode == 1
    assert (main_pid(installed), versions_kept(installed)) == before


def test_service_that_crashes_again_and_again_does_not_keep_out_the_version_that_mends_it(
    installed: Box,
) -> None:
    mended = other_clone(installed, "99.0.5")
    installed.write(
        "/etc/systemd/system/sallyport.service.d/test.conf",
        "[Service]\nExecStartPre=/bin/sh -c 'readlink /opt/sallyport/current | grep -q -- 99'\nRestartSec=200ms\n",
    )
    installed.write(
        "/etc/systemd/system/sallyport@east.service.d/test.conf", "[Service]\nExecStartPre=false\n"
    )
    configure(installed, "", name="east")
    installed.sh("systemctl daemon-reload; systemctl restart --no-block sallyport sallyport@east")
    installed.sh(
        "for unit in sallyport sallyport@east; do"
        " until [ $(systemctl show --property=NRestarts --value $unit) -gt 0 ]; do sleep 0.1; done; done"
    )
    # udev that runs, and cannot be told anything: this box has no udevadm.
    installed.run("python3", "-c", NO_UDEV)
    done = install(installed, mended)
    installed.sh("rm -r /run/udev; systemctl stop sallyport@east")
    assert done.returncode == 0, done.stderr
    assert "udev was not told" in done.stderr
    assert "sallyport@east.service does not become ready with 99.0.5 either" in done.stderr
    assert version_in_use(installed) == "99.0.5"
    assert installed.systemctl("is-active", "sallyport") == "active"


def test_removal_leaves_configuration_and_journal_and_with_purge_nothing(
    installed: Box, files_before: set[str]
) -> None:
    installed.systemctl("start", "sallyport")
    installed.sh(
        "cp /etc/sallyport/gateway.toml /etc/sallyport/other.toml; systemctl enable --now sallyport@other"
    )
    installed.run(CLONE / "scripts/uninstall")
    left = files(installed) - files_before
    assert {each for each in left if not each.startswith(("/etc/sallyport", "/var/lib/sallyport"))} == set()
    assert {"/etc/sallyport/other.toml", "/var/lib/sallyport/journal.db"} <= left
    assert installed.run("pgrep", "-u", "sallyport", check=False).returncode == 1
    installed.run(CLONE / "scripts/uninstall", "--purge")
    assert files(installed) == files_before
    assert installed.run("id", "sallyport", check=False).returncode == 1
