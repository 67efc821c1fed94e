"""A process that has loaded the program, and forks one for each command that it is asked for.

`forked.py` starts it as `python -m tests.support.forkery`; its standard input is the socket of the requests.
"""

import fcntl
import gc
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import coverage

import drivers
import gateway.commands
from gateway import cli
from gateway.arguments import parser


def _load() -> None:
    """All that each process would have to do for itself."""
    for name in drivers.DRIVERS:
        drivers.find(name)
    for module in pkgutil.walk_packages(gateway.commands.__path__, "gateway.commands."):
        __import__(module.name)
    # At its end coverage looks at each file of ours, but not again at those that it knows.
    follower = coverage.Coverage(data_file=None, config_file=False, source=["drivers", "gateway"])
    follower.start()
    parser()
    follower.stop()
    follower.get_data()
    gc.collect()
    gc.freeze()  # who ends would look through all of it for garbage, and so get a copy of its own


@dataclass
class _Forked:
    pid: int
    handle: int
    """Of the process: pidfd_open(2)."""
    asker: socket.socket
    """Who is told pid and exit status. The process ends with it."""

    def tell(self, number: int) -> None:
        with suppress(BrokenPipeError):
            self.asker.sendall(b"%d\n" % number)

    def kill(self) -> None:
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def has_ended(self) -> None:
        self.tell(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))
        self.close()

    def close(self) -> None:
        os.close(self.handle)
        self.asker.close()


class _Forkery:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._forked: list[_Forked] = []

    def serve(self) -> Sequence[str] | None:
        """In a process that is forked: the command line. In this one: None, when nobody is there to ask any more."""
        self._selector.register(self._requests, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                forked: _Forked | None = key.data
                if forked is None:
                    request, descriptors, *_ = socket.recv_fds(self._requests, 1 << 18, 4)
                    if not request:
                        for each in self._forked:
                            each.kill()
                        return None
                    if (become := self._fork(descriptors)) is not None:
                        return _become(become, **json.loads(request))
                elif forked not in self._forked:
                    continue  # both at once: it has ended, and nobody asks any more
                elif key.fileobj is forked.asker:
                    self._selector.unregister(forked.asker)
                    forked.kill()
                else:
                    self._forked.remove(forked)
                    self._selector.unregister(forked.handle)
                    with suppress(KeyError):
                        self._selector.unregister(forked.asker)
                    forked.has_ended()

    def _fork(self, descriptors: Sequence[int]) -> Sequence[int] | None:
        """In the process that is forked: its standard streams."""
        *standard, asker = descriptors
        pid = os.fork()
        if pid == 0:
            self._requests.detach()  # standard input takes its place
            self._selector.close()
            os.close(asker)
            for each in self._forked:
                each.close()
            return standard
        for number in standard:
            os.close(number)
        forked = _Forked(pid, os.pidfd_open(pid), socket.socket(fileno=asker))
        forked.tell(pid)
        self._forked.append(forked)
        self._selector.register(forked.handle, selectors.EVENT_READ, forked)
        self._selector.register(forked.asker, selectors.EVENT_READ, forked)
        return None


def _become(
    standard: Sequence[int],
    *,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    cwd: str,
    umask: int,
    anew: bool,
) -> Sequence[str]:
    """What a process is given that is started by itself, as which it goes on if it is to load the program `anew`."""
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)
    if os.isatty(0):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.umask(umask)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if anew:
        os.execv(sys.executable, [sys.executable, "-m", "gateway", *arguments])
    coverage.process_startup()
    return arguments


if __name__ == "__main__":
    # A Ctrl-C is for the tests; when they have ended, so does this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    _typed = _Forkery(socket.socket(fileno=sys.stdin.fileno())).serve()
    if _typed is not None:
        sys.exit(cli.main(_typed))
