"""A box: a small Debian whose PID 1 is a real systemd, for tests of services.

`SALLYPORT_BOX` names the script that makes boxes; its header says what there is in one and what is not.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

ROOT = Path(__file__).parents[2]

PROJECT = Path("/srv/sallyport")
SITE_PACKAGES = Path("/srv/site-packages")
SHARED = Path("/srv/shared")
"""Where a box shows, read-only, this tree and what its .venv holds; and, to write to, a folder of the test's.
A UNIX socket in that one is the way between a test and what runs in the box, which has a network of its own."""

_NAME = f"sallyport-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"

_GATEWAY = f"""\
#!/bin/sh
PYTHONPATH={PROJECT}:{SITE_PACKAGES} PYTHONDONTWRITEBYTECODE=1 exec python3 -P -m gateway "$@"
"""


def box_script() -> str:
    """Skips the test with a clear word where there can be no box."""
    if sys.platform != "linux":
        pytest.skip("a box needs Linux")
    if os.geteuid() != 0:
        pytest.skip("a box needs root")
    script = os.environ.get("SALLYPORT_BOX")
    if not script:
        pytest.skip("SALLYPORT_BOX is not set: it names the script that makes boxes with a systemd")
    return script


class Box:
    def __init__(self, script: str, name: str, shared: Path, settings: Mapping[str, str]) -> None:
        self.shared = shared
        """What the box sees at SHARED."""
        self._script = script
        self._environment = {**os.environ, **settings, "SYSTEMD_BOX_NAME": name}

    @classmethod
    @contextmanager
    def running(cls, shared: Path, *, kind: str = "", **settings: str) -> Iterator[Self]:
        """A fresh one, destroyed at the end, also on Ctrl-C. `kind` keeps those apart that one process has at once.

        `settings`: of the script, such as `SYSTEMD_BOX_SUITE="trixie"`.
        """
        script = box_script()
        _destroy_what_others_left(script)
        box = cls(script, f"{_NAME}{kind}-{os.getpid()}", shared, settings)
        box._command("build", timeout=600)
        try:
            box.boot(fresh=True)
            yield box
        finally:
            box._command("destroy")

    def boot(self, *, fresh: bool = False) -> None:
        """`fresh`: nothing is left of what was written in it."""
        binds = [
            "--bind-ro",
            f"{ROOT}:{PROJECT}",
            "--bind-ro",
            f"{sysconfig.get_path('purelib')}:{SITE_PACKAGES}",
        ]
        binds += ["--bind", f"{self.shared}:{SHARED}"]
        self._command("boot", *(["--fresh"] if fresh else []), *binds)

    def power_off(self) -> None:
        """In order, as a machine goes down."""
        self._command("poweroff")

    def install_quickly(self) -> None:
        """This tree, as scripts/install does it, but without a venv of its own. Nothing is configured or started."""
        self.write("/opt/sallyport/current/bin/sallyport", _GATEWAY, mode="755")
        self.sh(f". {PROJECT}/scripts/service; cd {PROJECT}; put_in_place .")

    def run(
        self, *command: str | Path, check: bool = True, user: str = "", stdin: str = "",
        environment: Sequence[str] = (), host_net: bool = False, timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """As root, or as `user`. `environment`: `KEY=value`. `host_net`: in the machine's network, for apt and pip.

        Raises: AssertionError, which shows what it said, if it fails and `check` is on.
        """
        done = subprocess.run(
            self._inside(*command, user=user, environment=environment, host_net=host_net),
            env=self._environment, input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def sh(self, script: str, *, timeout: float = 60) -> str:
        """What a bash script writes, without the last line's end; a failing command ends it, and the test."""
        return self.run("bash", "-euo", "pipefail", "-c", script, timeout=timeout).stdout.rstrip("\n")

    @contextmanager
    def started(self, *command: str | Path, user: str = "") -> Iterator[subprocess.Popen[str]]:
        """A command that goes on meanwhile, with its output in a pipe; ended with SIGTERM."""
        with subprocess.Popen(
            self._inside(*command, user=user),
            env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.terminate()

    def write(self, path: str | Path, text: str, *, mode: str = "644", owner: str = "root:root") -> None:
        """A whole file, with the folders above it."""
        self.run(
            "sh", "-euc",
            'mkdir -p "$(dirname "$1")"; cat >"$1.new"; chown "$3" "$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"',
            "sh", path, mode, owner, stdin=text,
        )  # fmt: skip

    def read(self, path: str | Path) -> str:
        return self.run("cat", path).stdout

    def copy_in(self, source: Path, to: str | Path) -> None:
        self._command("copy", str(source), f"box:{to}")

    def copy_out(self, source: str | Path, to: Path) -> None:
        self._command("copy", f"box:{source}", str(to))

    def systemctl(self, *arguments: str, check: bool = True, timeout: float = 60) -> str:
        return self.run("systemctl", *arguments, check=check, timeout=timeout).stdout.rstrip("\n")

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """As `systemctl show` has them: ActiveState, SubState, MainPID, StatusText, NRestarts, Result …"""
        shown = self.systemctl("show", unit, f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in shown.splitlines())

    def journal(self, unit: str, *, this_boot: bool = True) -> list[str]:
        """The log of a unit, and what systemd says of it."""
        return [str(entry.get("MESSAGE")) for entry in self.journal_entries(unit, this_boot=this_boot)]

    def journal_entries(self, unit: str, *, this_boot: bool = True) -> list[dict[str, Any]]:
        """With all their fields."""
        self.run("journalctl", "--sync")
        boot = ["--boot"] if this_boot else []
        lines = self.run("journalctl", "--unit", unit, "--output", "json", *boot).stdout.splitlines()
        return [orjson.loads(line) for line in lines]

    def _inside(
        self, *command: str | Path, user: str = "", environment: Sequence[str] = (), host_net: bool = False
    ) -> list[str]:
        options = [*(["--host-net"] if host_net else []), *(["--user", user] if user else [])]
        options += [word for each in environment for word in ("--env", each)]
        return [self._script, "exec", *options, "--", *map(str, command)]

    def _command(self, *arguments: str, timeout: float = 60) -> None:
        done = subprocess.run(
            [self._script, *arguments],
            env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def _destroy_what_others_left(script: str) -> None:
    """A box outlives a test that was killed. The last part of its name is the process that it was made for."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SYSTEMD_BOX_DIR") or Path(cache) / "systemd-box") / "boxes"
    for each in folder.glob("sallyport-*-*"):
        if not Path("/proc", each.name.rpartition("-")[2]).exists():
            subprocess.run(
                [script, "destroy"],
                env={**os.environ, "SYSTEMD_BOX_NAME": each.name}, capture_output=True, check=False, timeout=60,
            )  # fmt: skip
