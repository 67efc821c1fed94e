"""A driver from another package: installed, it is one of ours; and the page that shows how it was written is right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests/third_party/sallyport-th10"
PAGE = (ROOT / "docs/writing-a-driver.md").read_text()

pytestmark = [pytest.mark.real_time, pytest.mark.xdist_group("third party")]  # it is installed once


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but that package in it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--target", folder, PACKAGE),
        ],
        check=True,
        timeout=100,
    )
    return folder


def python(installed: Path, *arguments: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip


def test_installed_driver_is_listed_and_described(installed: Path) -> None:
    assert "th10" in python(installed, "-m", "gateway", "drivers").stdout
    described = python(installed, "-m", "gateway", "drivers", "th10")
    assert re.search(r"temperature +Cel +Temperature", described.stdout)


def test_installed_driver_decodes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(bytes.fromhex("aaff9c022655 00 aaff9c022655"))
    decoded = python(installed, "-m", "gateway", "decode", "th10", tmp_path / "capture")
    assert decoded.stdout.count('"values":{"temperature":-10.0,"humidity":55.0}') == 2
    assert decoded.stderr == "frames=2 rejected=0 bytes=13\n"


def test_installed_driver_may_stand_in_a_configuration(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text((PACKAGE / "sallyport_th10/sample.toml").read_text())
    checked = python(installed, "-m", "gateway", "check", tmp_path / "gateway.toml")
    assert checked.returncode == 0, checked.stderr
    assert "office" in checked.stdout


def test_its_own_suite_passes(installed: Path) -> None:
    ran = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".", folder=PACKAGE)
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"[1-9]\d+ passed", ran.stdout)


def test_page_shows_the_package_as_it_is() -> None:
    shown = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)```$", PAGE, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in shown} == {
        "pyproject.toml",
        "sallyport_th10/__init__.py",
        "sallyport_th10/codec.py",
        "sallyport_th10/simulator.py",
        "sallyport_th10/sample.toml",
        "sallyport_th10/README.md",
        "tests/test_th10.py",
    }
    for name, content in shown:
        assert content == (PACKAGE / name).read_text(), name
