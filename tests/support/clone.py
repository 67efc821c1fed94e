"""A clone of this tree in a box, and what its scripts need of pip's index: boxes have no network."""

import fcntl
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.support.box import PROJECT, ROOT, SHARED, Box

CLONE = Path("/root/clone")
WHEELHOUSE = SHARED / "wheelhouse"
_PARTS = "config docs drivers gateway scripts systemd LICENSE README.md pyproject.toml requirements.lock"

CORE = {
    *("aiomqtt", "annotated-types", "orjson", "paho-mqtt", "pydantic", "pydantic-core", "serialx"),
    *("typing-extensions", "typing-inspection", "hatchling", "editables", "packaging", "pathspec", "pluggy"),
    *("tomlkit", "trove-classifiers"),
}


def put_clone(box: Box) -> None:
    shutil.copytree(_wheelhouse(), box.shared / "wheelhouse")
    box.sh(f"mkdir {CLONE}; cd {PROJECT}; cp -r {_PARTS} {CLONE}")
    box.write(CLONE / "requirements.lock", _core_of_the_lock())


def files(box: Box) -> set[str]:
    """All that is on the disk of a box, but for logs and what a test put there."""
    others = ("/root/*", "/srv", "/tmp", "/var/log/*", "/var/lib/mosquitto/*")
    without = "".join(f" -path '{each}' -prune -o" for each in others)
    return {*box.sh(f"find / -xdev {without} -print").splitlines()}


def _wheelhouse() -> Path:
    """Filled once, and kept in .venv."""
    lock = ROOT / "requirements.lock"
    folder = Path(sys.prefix) / f"wheelhouse-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    with folder.with_suffix(".lock").open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)  # another process of the tests may be filling it
        if not folder.exists():
            filling = folder.with_suffix(".filling")
            shutil.rmtree(filling, ignore_errors=True)
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                    *("--require-hashes", "-r", lock, "-d", filling),
                ],
                check=True,
                timeout=110,
            )
            filling.rename(folder)
    return folder


def _core_of_the_lock() -> str:
    """Without the extras: what a gateway needs at the least, which is installed in half the time."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.findall(r"^(?:\S+==(?:.*\\\n)+.*\n)", text, re.MULTILINE)
    kept = [block for block in blocks if block.partition("==")[0] in CORE]
    assert len(kept) == len(CORE)
    return "".join(kept)
