"""What scripts/install needs of pip's index, fetched once and kept in .venv: boxes have no network."""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.support.box import ROOT

CORE = {
    *("aiomqtt", "annotated-types", "orjson", "paho-mqtt", "pydantic", "pydantic-core", "serialx"),
    *("typing-extensions", "typing-inspection", "hatchling", "editables", "packaging", "pathspec", "pluggy"),
    *("tomlkit", "trove-classifiers"),
}


def wheelhouse() -> Path:
    lock = ROOT / "requirements.lock"
    folder = Path(sys.prefix) / f"wheelhouse-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        filling = folder.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--require-hashes", "-r", lock, "-d", filling),
            ],
            check=True,
            timeout=110,
        )
        try:
            filling.rename(folder)
        except OSError:  # somebody else was faster
            shutil.rmtree(filling)
    return folder


def core_of_the_lock() -> str:
    """Without the extras: what a gateway needs at the least, which is installed in half the time."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.findall(r"^(?:\S+==(?:.*\\\n)+.*\n)", text, re.MULTILINE)
    kept = [block for block in blocks if block.partition("==")[0] in CORE]
    assert len(kept) == len(CORE)
    return "".join(kept)
