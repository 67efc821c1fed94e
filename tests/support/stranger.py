"""Commands as a user who may do little."""

import os
import subprocess
import sys

import pytest

NOBODY = 65534

_BECOME = f"""
import encodings.idna, os, sys
import drivers
from gateway import cli
from gateway.commands import init
from gateway.commands.doctor import examination
for name in drivers.DRIVERS: drivers.find(name)  # the interpreter may stand where a stranger cannot go
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, 0)
try:
    status = cli.main(sys.argv[1:])
finally:
    os.setresuid(0, 0, 0)  # for coverage, which writes what it has seen
sys.exit(status)
"""


def stranger(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`sallyport …` as the user nobody; skips the test where we cannot become that."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return subprocess.run(
        [sys.executable, "-c", _BECOME, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
