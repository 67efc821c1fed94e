"""What a process may do where it is: tries each thing and prints, as JSON, "done" or the name of the error.

A script of its own, for the Python of whatever is probed; it runs in place of the gateway.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

NEW_USER_NAMESPACE = 0x10000000
PERSONALITY_32_BIT = 0x0008


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def write(path: str) -> None:
    Path(path).write_text("")


def open_device(path: str) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))


def open_socket(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def write_and_execute() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


TRIES: dict[str, Callable[[], object]] = {
    # What the gateway lives on.
    "read its configuration": lambda: Path("/etc/sallyport/gateway.toml").read_bytes(),
    "write its state": lambda: write(os.environ["STATE_DIRECTORY"] + "/probe"),
    "write its runtime folder": lambda: write(os.environ["RUNTIME_DIRECTORY"] + "/probe"),
    "write to /tmp": lambda: write("/tmp/probe"),
    "open a USB serial port": lambda: open_device("/dev/probe-ttyUSB"),
    "open an ACM serial port": lambda: open_device("/dev/probe-ttyACM"),
    "open a serial port on the board": lambda: open_device("/dev/probe-ttyS"),
    "open an IPv4 socket": lambda: open_socket(socket.AF_INET),
    "open an IPv6 socket": lambda: open_socket(socket.AF_INET6),
    "open a UNIX socket": lambda: open_socket(socket.AF_UNIX),
    "know the machine's boot": lambda: Path("/proc/sys/kernel/random/boot_id").read_bytes(),
    "know who has locked a port": lambda: Path("/proc/locks").read_bytes(),
    # And what it has no business with.
    "write its configuration": lambda: write("/etc/sallyport/probe"),
    "write its program": lambda: write("/opt/sallyport/probe"),
    "write to /etc": lambda: write("/etc/probe"),
    "write to /var": lambda: write("/var/lib/probe"),
    "write to /run": lambda: write("/run/probe"),
    "read the files of credentials": lambda: [*Path("/etc/sallyport/credentials").iterdir()],
    "look into /root": lambda: [*Path("/root").iterdir()],
    "look into /home": lambda: [*Path("/home/somebody").iterdir()],
    "see others' temporary files": lambda: Path("/tmp/somebody's").stat(),
    "see others' processes": lambda: Path("/proc/1/cmdline").stat(),
    "change the kernel": lambda: write("/proc/sys/kernel/core_pattern"),
    "open the memory": lambda: open_device("/dev/probe-mem"),
    "open another device": lambda: open_device("/dev/probe-tun"),
    "make a device": lambda: os.mknod(os.environ["STATE_DIRECTORY"] + "/device", 0o20600, os.makedev(1, 1)),
    "open a raw socket": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "open a packet socket": lambda: open_socket(socket.AF_PACKET),
    "open a netlink socket": lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "listen below 1024": lambda: socket.create_server(("127.0.0.1", 81)).close(),
    "become root": lambda: os.setuid(0),
    "leave something that becomes root": lambda: Path(os.environ["STATE_DIRECTORY"]).chmod(0o4700),
    "make a namespace": lambda: call("unshare", NEW_USER_NAMESPACE),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "follow another process": lambda: call("ptrace", 16, os.getppid(), None, None),
    "be another kind of machine": lambda: call("personality", PERSONALITY_32_BIT),
    "write code and run it": write_and_execute,
    "go before all others": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "set the clock": lambda: call("clock_settime", 0, bytes(16)),
    "rename the machine": lambda: socket.sethostname("probe"),
    "reboot": lambda: call("reboot", 0),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def facts() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")))


if __name__ == "__main__":
    json.dump({**facts(), **{name: outcome(attempt) for name, attempt in TRIES.items()}}, sys.stdout)
