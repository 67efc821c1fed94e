"""What is installed is what the lock files say, and what is known of it is told."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))
GOOD: dict[str, Any] = {"name": "orjson", "version": "3.11.4", "vulns": []}
BAD = {
    "name": "paho-mqtt",
    "version": "2.1.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1.1"], "aliases": [], "description": "…"}],
}
NOT_MENDED = {**BAD, "vulns": [{"id": "GHSA-x", "fix_versions": [], "aliases": [], "description": "…"}]}
UNKNOWN = {
    "name": "serialx",
    "skip_reason": "Dependency not found on PyPI and could not be audited: serialx (1.15)",
}


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([GOOD], 0, "x.lock: 1 packages checked, 0 known flaws\n"),
        (
            [GOOD, BAD],
            1,
            (
                "x.lock: VULNERABLE: paho-mqtt 2.1.0: PYSEC-2026-1, mended in 2.1.1: scripts/lock\n"
                "x.lock: 2 packages checked, 1 known flaws\n"
            ),
        ),
        (
            [NOT_MENDED, UNKNOWN],
            1,
            (
                "x.lock: VULNERABLE: paho-mqtt 2.1.0: GHSA-x, not mended yet\n"
                "x.lock: 1 packages checked, 1 known flaws\n"
                "x.lock: NOT CHECKED, as nobody knows them there: serialx\n"
            ),
        ),
        ([UNKNOWN], 0, "x.lock: NOT CHECKED: no service that knows advisories can be reached\n"),
        (None, 0, "x.lock: NOT CHECKED: no service that knows advisories can be reached\n"),
    ],
)
def test_audit_tells_nothing_known_from_nobody_asked(found: list[Any] | None, status: int, said: str) -> None:
    told = "" if found is None else json.dumps({"dependencies": found, "fixes": []})
    command = [sys.executable, str(ROOT / "scripts/audited.py"), "x.lock"]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, said)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_by_version_and_hash_and_comes_from_no_address(lock: Path) -> None:
    packages = lock.read_text().replace("\\\n", "").splitlines()
    assert len(packages) > 10
    for package in packages:
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ;]+( ; [^:]+?)?( +--hash=sha256:[0-9a-f]{64})+", package), (
            package
        )


def test_what_the_core_depends_on_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(
            each
            for extra in ("cli", "embedded", "notify")
            for each in project["optional-dependencies"][extra]
        ),
    ]
    pinned = re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {re.split("[<>=~]", each)[0] for each in wanted} <= {*pinned}
