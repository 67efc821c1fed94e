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
    follower = coverage.Coverage(data_file=None, config_file=False, source=["drivers", "gateway"])
    follower.start()
    parser()
    follower.stop()
    follower.get_data()  # it knows all files then
    gc.collect()
    gc.freeze()  # who ends would look through all of it for garbage, and so get a copy of its own


def _command_line(requests: socket.socket) -> Sequence[str] | None:
    """In a process that is forked: what is asked for. In this one: None, when nobody is there to ask any more."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _report_end(*key.data)
                    continue
                request, descriptors, *_ = socket.recv_fds(requests, 1 << 17, 4)
                if not request:
                    return None
                *standard, report = descriptors
                pid = os.fork()
                if pid == 0:
                    requests.detach()  # standard input takes its place
                    os.close(report)
                    for other in [each for each in selector.get_map().values() if each.data]:
                        os.close(other.fd)
                        os.close(other.data[1])
                    return _become(standard, **json.loads(request))
                for each in standard:
                    os.close(each)
                os.write(report, b"%d\n" % pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))


def _report_end(pid: int, report: int) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # whoever asked has given up
        os.write(report, b"%d\n" % status)
    os.close(report)


def _become(
    standard: Sequence[int],
    *,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    cwd: str,
    umask: int,
    has_terminal: bool,
    anew: bool,
) -> Sequence[str]:
    """What a process is given that is started by itself, as which it goes on if it is to load the program `anew`."""
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)
    if has_terminal:
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
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # the Ctrl-C that ends the tests ends this, too, without a word
    _load()
    _typed = _command_line(socket.socket(fileno=sys.stdin.fileno()))
    if _typed is not None:
        sys.exit(cli.main(_typed))
