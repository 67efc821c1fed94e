"""The Debian package that scripts/build-deb makes, on a machine that has never seen Sallyport."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from tests.support.box import Box
from tests.support.box_site import CONFIG, clear, configure, start_board, start_broker, subscribed
from tests.support.clone import CLONE, WHEELHOUSE, files, put_clone
from tests.support.gateway_process import until
from tests.support.mosquitto import program

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(240), pytest.mark.xdist_group("deb")]

PACKAGE = f"{CLONE}/dist/sallyport.deb"
HELP = (
    "man/man1/sallyport.1.gz", "bash-completion/completions/sallyport", "zsh/vendor-completions/_sallyport",
    "fish/vendor_completions.d/sallyport.fish",
)  # fmt: skip


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """It has built the package, and not installed it."""
    with Box.running(tmp_path_factory.mktemp("machine"), kind="-deb") as box:
        put_clone(box)
        hastily = ["DPKG_DEB_COMPRESSOR_LEVEL=1"]  # the usual one takes longer than all the rest
        box.run(CLONE / "scripts/build-deb", "--offline", WHEELHOUSE, environment=hastily, timeout=200)
        box.sh(f"mv {CLONE}/dist/sallyport_{__version__}_*.deb {PACKAGE}")
        yield box


def contents(box: Box, package: str) -> list[str]:
    """What it holds; a small machine may leave its man pages out."""
    return box.sh(f"dpkg-deb --fsys-tarfile {package} | tar --list").splitlines()


def newer_package(box: Box, version: str) -> str:
    """The same with another version in it."""
    package = f"/root/sallyport-{version}.deb"
    box.sh(
        f"dpkg-deb -R {PACKAGE} /root/package; cd /root/package;"
        f"sed -i 's/^Version: .*/Version: {version}/' DEBIAN/control;"
        "cd usr/lib/sallyport/lib/*/site-packages/gateway;"
        f"sed -i 's/^__version__ = .*/__version__ = \"{version}\"/' __init__.py;"
        f"dpkg-deb -Znone -b /root/package {package}; rm -r /root/package"
    )
    return package


def test_lintian_finds_no_error(machine: Box, tmp_path: Path) -> None:
    lintian = program("lintian")
    machine.copy_out(PACKAGE, tmp_path / "sallyport.deb")
    done = subprocess.run(
        [lintian, "--allow-root", tmp_path / "sallyport.deb"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("E:")] == []
    assert done.returncode == 0, done.stderr


async def test_package_is_installed_upgraded_removed_and_purged_and_loses_nothing(machine: Box) -> None:
    before = files(machine)
    newer = newer_package(machine, "99.0.0")
    machine.run("dpkg", "--install", PACKAGE)
    assert machine.systemctl("is-enabled", "sallyport") == "enabled"
    assert machine.systemctl("is-active", "sallyport") == "active"
    assert machine.sh("stat -c '%U:%G %a' /etc/sallyport/gateway.toml") == "root:sallyport 640"
    assert machine.run("systemd-analyze", "verify", "sallyport.service").stderr == ""
    assert {f"./usr/share/{each}" for each in HELP} <= {*contents(machine, PACKAGE)}
    assert "Sallyport's configuration" in machine.read("/etc/sallyport/sallyport.schema.json")

    for script in ("install", "uninstall"):
        assert "use apt" in machine.run(CLONE / "scripts" / script, check=False).stderr

    start_broker(machine)
    start_board(machine)
    configure(machine)
    async with subscribed(machine) as subscriber:
        machine.systemctl("restart", "sallyport")
        await subscriber.has(20)
        machine.run("dpkg", "--install", newer)
        assert machine.run("sallyport", "--version").stdout == "sallyport 99.0.0\n"
        await until(lambda: subscriber.on("/status")[-1].get("version") == "99.0.0")
        await subscriber.has(len(subscriber.readings()) + 20)
        machine.run("dpkg", "--remove", "sallyport")
        seqs = [each["seq"] for each in subscriber.readings()]
    assert seqs == [*range(1, len(seqs) + 1)]
    assert machine.run("pgrep", "-u", "sallyport", check=False).returncode == 1
    assert machine.read("/etc/sallyport/gateway.toml") == CONFIG
    assert "/var/lib/sallyport/journal.db" in files(machine)

    machine.run("dpkg", "--purge", "sallyport")
    clear(machine)
    assert {each for each in files(machine) - before if "/dpkg/" not in each} == set()
    assert machine.run("id", "sallyport", check=False).returncode == 1


def test_purge_after_a_change_to_scripts_install_takes_nothing_from_it(machine: Box) -> None:
    machine.run("dpkg", "--install", PACKAGE)
    configure(machine, '[gateway]\nname = "stays"\n')
    machine.systemctl("restart", "sallyport")
    machine.run("dpkg", "--remove", "sallyport")
    assert machine.systemctl("is-enabled", "sallyport", check=False) == "masked"
    machine.run(CLONE / "scripts/install", "--offline", WHEELHOUSE, timeout=200)
    before = machine.properties("sallyport", "MainPID", "ActiveState", "UnitFileState")
    assert (before["ActiveState"], before["UnitFileState"]) == ("active", "enabled")
    machine.run("dpkg", "--purge", "sallyport")
    machine.systemctl("daemon-reload")
    assert machine.properties("sallyport", *before) == before
    assert machine.read("/etc/sallyport/gateway.toml") == '[gateway]\nname = "stays"\n'
    assert "/var/lib/sallyport/journal.db" in files(machine)
    assert machine.sh("id -nG sallyport") == "sallyport dialout"
    machine.run("systemctl", "restart", "sallyport")
    machine.run(CLONE / "scripts/uninstall", "--purge")
    machine.sh("systemctl daemon-reload")


def test_package_leaves_alone_what_scripts_install_has_put_there(machine: Box) -> None:
    machine.sh("mkdir -p /opt/sallyport/current")
    done = machine.run("dpkg", "--install", PACKAGE, check=False)
    machine.sh("rm -r /opt/sallyport; dpkg --purge sallyport")
    assert done.returncode == 1
    assert "run scripts/uninstall first" in done.stderr
