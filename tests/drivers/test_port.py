"""The port on real lines: ptys, socat, TCP, RFC 2217 with ser2net."""

import asyncio
import errno
import fcntl
import grp
import os
import re
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from drivers.instrument import PtyInstrument
from drivers.port import (
    INBOX_LIMIT,
    PIECE,
    READ_SIZE,
    Address,
    FlowControl,
    Parity,
    SerialPort,
)
from drivers.ports import explain, holders
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkBusy, LinkDenied, LinkError, LinkLost
from gateway.model import Stamp
from tests.support.mosquitto import program
from tests.support.ports import free_port
from tests.support.ser2net import Ser2net

pytestmark = pytest.mark.real_time

REPOSITORY = Path(__file__).parents[2]

PATIENCE_S = 20.0
"""Far beyond what anything here takes; only a hang reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a port may be told, sensible or not."""

    port: str
    baudrate: int = 9600
    data_bits: int = 8
    parity: Parity = "none"
    stop_bits: float = 1
    flow_control: FlowControl = "none"
    exclusive: bool = True


class Ear:
    """A clock that tells when bytes have come to the port, read or not."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def __call__(self) -> Stamp:
        self.heard.set()
        return system_clock()


@pytest.fixture
def instrument(tmp_path: Path) -> Iterator[PtyInstrument]:
    with PtyInstrument.plugged_in(tmp_path / "instrument") as plugged_in:
        yield plugged_in


@asynccontextmanager
async def opened(port: Path | str) -> AsyncIterator[SerialPort]:
    async with SerialPort.open(Settings(port=str(port)), system_clock) as line:
        yield line


async def taken(port: SerialPort, length: int) -> bytes:
    """Exactly so many bytes, in as many reads as they take."""
    data = bytearray()
    async with asyncio.timeout(PATIENCE_S):
        while len(data) < length:
            data += (await port.read()).data
    return bytes(data)


async def to_the_end(port: SerialPort) -> tuple[bytes, LinkLost]:
    """What came before the port was lost, and how it was lost."""
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                data += (await port.read()).data
            except LinkLost as error:
                return data, error


async def refusal(settings: Settings) -> LinkError:
    with pytest.raises(LinkError) as caught:
        async with asyncio.timeout(PATIENCE_S), SerialPort.open(settings, system_clock):
            pass
    return caught.value


def terminal_behind(link: Path) -> str:
    return os.path.realpath(link)


def our_descriptors_of(device: str) -> list[int]:
    descriptors = Path("/proc/self/fd").iterdir()
    return [int(each.name) for each in descriptors if os.path.realpath(each) == os.path.realpath(device)]


def name_of(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def let_everybody_open(terminal: Path) -> None:
    terminal.chmod(0o666)


class TcpInstrument:
    """A serial server's TCP socket, with one client at a time."""

    def __init__(self) -> None:
        self._client: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator["TcpInstrument"]:
        instrument = cls()
        server = await asyncio.start_server(instrument._greet, "127.0.0.1", 0)
        async with server:
            instrument.url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield instrument
            if instrument._client.done():
                writer = instrument._client.result()
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    def _greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client.set_result(writer)

    async def say(self, data: bytes) -> None:
        writer = await self._client
        writer.write(data)
        await writer.drain()

    async def hang_up(self) -> None:
        (await self._client).close()

    async def reset(self) -> None:
        """As a serial server does that restarts: RST instead of FIN."""
        writer = await self._client
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()


# What comes in


async def test_bytes_arrive_whole(instrument: PtyInstrument) -> None:
    everything = bytes(range(256))
    async with opened(instrument.path) as port:
        await instrument.say(everything)
        assert await taken(port, 256) == everything


async def test_a_chunk_carries_the_moment_its_first_byte_came(instrument: PtyInstrument) -> None:
    ticks = count(1)
    ear = Ear()

    def clock() -> Stamp:
        ear()
        return Stamp(next(ticks), 0.0)

    async with SerialPort.open(Settings(port=str(instrument.path)), clock) as port:
        await instrument.say(b"first")
        await ear.heard.wait()
        await instrument.say(b"second")
        chunk = await port.read()
        assert chunk.at == Stamp(1, 0.0)
        assert chunk.data.startswith(b"first")
        if chunk.data != b"firstsecond":
            assert (await port.read()).at == Stamp(2, 0.0)
        await instrument.say(b"third")
        assert (await port.read()).at.wall_ns > 1


async def test_input_from_before_the_port_was_opened_is_left_out(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        await instrument.say(b"old")
        await taken(port, 3)
    await instrument.say(b"stale")
    await asyncio.sleep(0.05)
    async with opened(instrument.path) as port:
        await instrument.say(b"fresh")
        assert await taken(port, 5) == b"fresh"


async def test_input_nobody_reads_is_bounded_and_comes_whole_once_it_is_read(
    instrument: PtyInstrument,
) -> None:
    flood = os.urandom(512 * 1024)
    async with opened(instrument.path) as port:
        writer = asyncio.create_task(instrument.say(flood))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(writer)
        assert len(port._inbox) <= INBOX_LIMIT + READ_SIZE
        assert await taken(port, len(flood)) == flood
        await writer


async def test_tcp_input_nobody_reads_is_bounded_and_comes_whole_once_it_is_read() -> None:
    flood = os.urandom(32 * 1024 * 1024)
    async with TcpInstrument.listening() as instrument, opened(instrument.url) as port:
        writer = asyncio.create_task(instrument.say(flood))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(writer)
        assert len(port._inbox) <= INBOX_LIMIT + 256 * 1024  # asyncio's own read size
        assert await taken(port, len(flood)) == flood
        await writer


async def test_forgetting_a_flood_lets_what_comes_after_it_in(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        flood = asyncio.create_task(instrument.say(b"?" * 2 * INBOX_LIMIT))
        while len(port._inbox) <= INBOX_LIMIT:
            await asyncio.sleep(0.001)
        assert len(port.discard()) > INBOX_LIMIT
        await flood
        await instrument.say(b"!")
        data = b""
        while not data.endswith(b"!"):
            data += (await port.read()).data


async def test_flood_is_read_in_pieces_between_which_others_have_their_turn(
    instrument: PtyInstrument,
) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with opened(instrument.path) as port:
        flood = asyncio.create_task(instrument.say(b"?" * INBOX_LIMIT))
        while len(port._inbox) < INBOX_LIMIT // 2:
            await asyncio.sleep(0.001)
        other = asyncio.create_task(others())
        for _ in range(4):
            before = turns
            data, _ = await port.read()
            assert len(data) == PIECE
        assert turns > before
        other.cancel()
        await asyncio.wait([other])
        await taken(port, INBOX_LIMIT - 4 * PIECE)
        await flood


async def test_a_cancelled_read_leaves_the_port_usable(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await port.read()
        await instrument.say(b"still here")
        assert await taken(port, 10) == b"still here"


async def test_socat_pair_carries_every_byte(tmp_path: Path) -> None:
    with socat_pair(tmp_path) as (here, there, _):
        async with opened(here) as port:
            there.write(bytes(range(256)))
            assert await taken(port, 256) == bytes(range(256))


# How it ends


async def test_unplugged_instrument_is_a_lost_link_that_names_the_port(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        instrument.unplug()
        for _ in range(2):
            with pytest.raises(LinkLost, match=rf"^{instrument.path}: unplugged or hung up$"):
                await port.read()


@pytest.mark.parametrize("steps", range(6))
async def test_writing_to_what_was_unplugged_is_a_lost_link_at_any_moment(
    steps: int, instrument: PtyInstrument
) -> None:
    async with asyncio.timeout(PATIENCE_S), opened(instrument.path) as port:
        instrument.unplug()
        for _ in range(steps):
            await asyncio.sleep(0)
        with pytest.raises(LinkLost, match=rf"^{instrument.path}: unplugged or hung up$"):
            while True:
                port.write(b"are you there?")
                await asyncio.sleep(0)


async def test_a_waiting_read_hears_of_the_unplugging(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        asyncio.get_running_loop().call_later(0.05, instrument.unplug)
        data, _ = await to_the_end(port)
    assert data == b""


async def test_what_came_before_the_unplugging_is_read_before_the_loss(instrument: PtyInstrument) -> None:
    ear = Ear()
    async with SerialPort.open(Settings(port=str(instrument.path)), ear) as port:
        await instrument.say(b"last words")
        await ear.heard.wait()
        instrument.unplug()
        await asyncio.sleep(0.05)
        data, _ = await to_the_end(port)
    assert data == b"last words"


async def test_unplugging_is_noticed_behind_input_that_nobody_had_read(instrument: PtyInstrument) -> None:
    flood = os.urandom(512 * 1024)
    async with opened(instrument.path) as port:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await instrument.say(flood)
        instrument.unplug()
        data, _ = await to_the_end(port)
    assert flood.startswith(data)
    assert len(data) >= INBOX_LIMIT


async def test_killed_socat_is_a_lost_link(tmp_path: Path) -> None:
    with socat_pair(tmp_path) as (here, there, process):
        async with opened(here) as port:
            there.write(b"last words")
            assert await taken(port, 10) == b"last words"
            process.kill()
            with pytest.raises(LinkLost, match=r"unplugged or hung up$"):
                await port.read()


async def test_input_output_error_is_a_lost_link() -> None:
    # A pty's own end answers EIO once the last terminal at its other end has gone.
    shared = Settings(port="/dev/ptmx", exclusive=False)
    async with SerialPort.open(shared, system_clock) as port:
        [line] = our_descriptors_of("/dev/ptmx")
        unlock, peer = 0x40045431, 0x5441
        fcntl.ioctl(line, unlock, struct.pack("i", 0))
        terminal = fcntl.ioctl(line, peer, os.O_RDWR | os.O_NOCTTY)
        os.write(terminal, b"last words")
        assert await taken(port, 10) == b"last words"
        os.close(terminal)
        with pytest.raises(LinkLost, match=r"^/dev/ptmx: unplugged or hung up$"):
            await port.read()


async def test_tcp_peer_that_closes_is_a_lost_link_after_its_last_byte() -> None:
    words = os.urandom(300_000)
    async with TcpInstrument.listening() as instrument, opened(instrument.url) as port:
        await instrument.say(words)
        await instrument.hang_up()
        data, error = await to_the_end(port)
    assert data == words
    assert str(error) == f"{instrument.url}: closed by the other end"


async def test_tcp_peer_that_resets_is_a_lost_link_after_what_had_come() -> None:
    ear = Ear()
    async with (
        TcpInstrument.listening() as instrument,
        SerialPort.open(Settings(port=instrument.url), ear) as port,
    ):
        await instrument.say(b"last words")
        await ear.heard.wait()
        await instrument.reset()
        data, error = await to_the_end(port)
    assert data == b"last words"
    assert str(error) == f"{instrument.url}: Connection reset by peer"


async def test_returns_under_another_path_behind_its_link(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    with (
        PtyInstrument.plugged_in(tmp_path / "ttyACM0") as first,
        PtyInstrument.plugged_in(tmp_path / "ttyACM1") as second,
    ):
        link.symlink_to(terminal_behind(first.path))
        async with opened(link) as port:
            await first.say(b"here")
            assert await taken(port, 4) == b"here"
            first.unplug()
            await to_the_end(port)
        link.unlink()
        assert isinstance(await refusal(Settings(port=str(link))), LinkAbsent)
        link.symlink_to(terminal_behind(second.path))
        async with opened(link) as port:
            await second.say(b"there")
            assert await taken(port, 5) == b"there"


async def test_closing_twice_is_once(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        await port._close()
        await port._close()
    assert holders(str(instrument.path)) == []


async def test_device_whose_closing_is_cancelled_is_free_again(instrument: PtyInstrument) -> None:
    async def hold() -> None:
        async with opened(instrument.path):
            is_open.set()
            await asyncio.Event().wait()

    for turns in [*range(4)] * 10:
        is_open = asyncio.Event()
        holding = asyncio.create_task(hold())
        await is_open.wait()
        holding.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        holding.cancel()
        await asyncio.wait([holding])
        assert holders(str(instrument.path)) == []


async def test_closing_what_was_lost_is_quiet(instrument: PtyInstrument) -> None:
    async with opened(instrument.path) as port:
        instrument.unplug()
        await to_the_end(port)
        await port._close()
    with pytest.raises(LinkLost):
        await port.read()


async def test_instrument_that_is_unplugged_while_it_is_opened_is_a_link_error(
    instrument: PtyInstrument,
) -> None:
    for milliseconds in range(20):
        asyncio.get_running_loop().call_later(milliseconds / 1000, instrument.unplug)
        with pytest.raises(LinkError, match=rf"^{instrument.path}: "):
            async with opened(instrument.path) as port:
                await port.read()
        instrument.unplug()
        instrument.plug_in()


async def test_two_ports_are_lost_one_by_one(tmp_path: Path) -> None:
    with (
        PtyInstrument.plugged_in(tmp_path / "left") as left,
        PtyInstrument.plugged_in(tmp_path / "right") as right,
    ):
        async with opened(left.path) as lost, opened(right.path) as kept:
            left.unplug()
            await to_the_end(lost)
            await right.say(b"alone")
            assert await taken(kept, 5) == b"alone"


# How opening fails


async def test_port_that_does_not_exist_is_absent(tmp_path: Path) -> None:
    missing = tmp_path / "ttyUSB0"
    error = await refusal(Settings(port=str(missing)))
    assert isinstance(error, LinkAbsent)
    assert str(error) == f"{missing}: no such device"


async def test_link_of_an_unplugged_instrument_is_absent(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(tmp_path / "gone")
    assert isinstance(await refusal(Settings(port=str(link))), LinkAbsent)


async def test_path_through_a_file_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    error = await refusal(Settings(port=str(file / "ttyUSB0")))
    assert isinstance(error, LinkAbsent)
    assert str(error) == f"{file}/ttyUSB0: Not a directory"


@pytest.mark.parametrize("kind", ["directory", "file", "pipe", "null"])
async def test_what_is_no_serial_port_is_called_so(tmp_path: Path, kind: str) -> None:
    port = tmp_path / kind
    match kind:
        case "directory":
            port.mkdir()
        case "file":
            port.write_text("not a port")
        case "pipe":
            os.mkfifo(port)
        case _:
            port = Path(os.devnull)
    error = await refusal(Settings(port=str(port), exclusive=False))  # /dev/null is everybody's
    assert type(error) is LinkError
    assert str(error) == f"{port}: not a serial port"


async def test_refused_connection_is_absent() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    error = await refusal(Settings(port=url))
    assert isinstance(error, LinkAbsent)
    assert str(error) == f"{url}: Connection refused"


async def test_name_whose_every_address_refuses_is_absent_for_one_reason() -> None:
    url = f"tcp://localhost:{free_port()}"
    error = await refusal(Settings(port=url))
    assert isinstance(error, LinkAbsent)
    assert re.fullmatch(rf"{url}: Connection refused(, Cannot assign requested address)?", str(error))


@pytest.mark.parametrize("scheme", ["tcp", "rfc2217"])
async def test_unknown_host_is_absent(scheme: str) -> None:
    url = f"{scheme}://nowhere.invalid:4001"
    error = await refusal(Settings(port=url))
    assert isinstance(error, LinkAbsent)
    assert re.fullmatch(rf"{url}: .*[Nn]ame.*", str(error))


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENODEV, LinkAbsent, "no such device"),
        (errno.ENXIO, LinkAbsent, "no such device"),
        (errno.EIO, LinkAbsent, "Input/output error"),
        (errno.EINVAL, LinkError, "cannot be set so: Invalid argument"),
        (errno.EBUSY, LinkBusy, "in use by another process"),
    ],
)
def test_refusal_of_the_system_is_explained(number: int, kind: type[LinkError], sentence: str) -> None:
    error = explain(OSError(number, os.strerror(number)), "/dev/ttyNONE0")
    assert type(error) is kind
    assert str(error) == f"/dev/ttyNONE0: {sentence}"


STRANGER = """
import asyncio, concurrent.futures.thread, os, sys
from types import SimpleNamespace
from drivers.port import SerialPort
from gateway.errors import LinkError
from gateway.clock import system_clock

async def attempt():
    options = SimpleNamespace(
        port=sys.argv[1], baudrate=9600, data_bits=8, parity="none", stop_bits=1, flow_control="none",
        exclusive=True,
    )
    try:
        async with SerialPort.open(options, system_clock):
            print("open")
    except LinkError as error:
        print(type(error).__name__, error)

os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
asyncio.run(attempt())
"""


def strangers_attempt(port: Path) -> str:
    """What an unprivileged user's attempt to open the port comes to."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, "-c", STRANGER, str(port)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, timeout=30)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode().strip()


@pytest.fixture
def bare_terminal() -> Iterator[Path]:
    """A terminal's own path: no folder on the way that a stranger may not pass."""
    line, terminal = os.openpty()
    yield Path(os.ttyname(terminal))
    os.close(line)
    os.close(terminal)


def test_denied_port_names_the_group_and_the_command_that_helps(bare_terminal: Path) -> None:
    bare_terminal.chmod(0o660)
    os.chown(bare_terminal, -1, grp.getgrnam("dialout").gr_gid)
    assert strangers_attempt(bare_terminal) == (
        f"LinkDenied {bare_terminal}: permission denied: it belongs to group dialout, and user nobody may not open it"
        " (sudo usermod -aG dialout nobody, then log in again or restart the service)"
    )


def test_denied_port_of_roots_group_sends_nobody_into_that_group(bare_terminal: Path) -> None:
    bare_terminal.chmod(0o660)
    os.chown(bare_terminal, -1, 0)
    answer = strangers_attempt(bare_terminal)
    assert answer.endswith("may not open it (a udev rule must give it to a group such as dialout)")


def test_denied_port_whose_group_may_not_open_it_either_sends_nobody_into_the_group(
    bare_terminal: Path,
) -> None:
    bare_terminal.chmod(0o600)
    answer = strangers_attempt(bare_terminal)
    assert answer.startswith(f"LinkDenied {bare_terminal}: permission denied: it belongs to group ")
    assert answer.endswith("; nor may the group (mode crw-------) (a udev rule must let it)")


async def test_process_that_locks_a_port_is_named_to_those_who_may_not_look_into_it(
    bare_terminal: Path,
) -> None:
    let_everybody_open(bare_terminal)
    async with opened(bare_terminal):
        answer = await asyncio.to_thread(strangers_attempt, bare_terminal)
    ours = f"{name_of(os.getpid())} (pid {os.getpid()})"
    assert answer == f"LinkBusy {bare_terminal}: in use by {ours}"


def test_denial_names_user_and_group_by_number_where_they_have_no_name(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    device = tmp_path / "device"
    device.touch()
    device.chmod(0o660)
    os.chown(device, 0, 4_000_000)
    error = explain(PermissionError(errno.EACCES, "Permission denied"), str(device))
    assert isinstance(error, LinkDenied)
    assert "it belongs to group 4000000, and user root may not open it (sudo usermod -aG 4000000 root" in str(
        error
    )


def test_denial_of_a_port_that_has_gone_meanwhile_is_still_a_denial() -> None:
    error = explain(PermissionError(errno.EACCES, "Permission denied"), "/dev/ttyNONE0")
    assert isinstance(error, LinkDenied)
    assert str(error) == "/dev/ttyNONE0: permission denied"


# Who has it


async def test_second_open_is_refused_with_the_name_of_the_holder(instrument: PtyInstrument) -> None:
    ours = f"{name_of(os.getpid())} (pid {os.getpid()}) (another device of this gateway)"
    async with opened(instrument.path) as port:
        error = await refusal(Settings(port=str(instrument.path)))
        assert isinstance(error, LinkBusy)
        assert str(error) == f"{instrument.path}: in use by {ours}"
        await instrument.say(b"unharmed")
        assert await taken(port, 8) == b"unharmed"
    async with opened(instrument.path):
        pass


HOLDER = """
import fcntl, sys
port = open(sys.argv[1], "rb+", buffering=0)
fcntl.flock(port, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def another_process_holding(port: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"locked\n"
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def test_port_held_by_another_process_names_it_and_opens_once_it_is_free(
    instrument: PtyInstrument,
) -> None:
    async with another_process_holding(instrument.path) as process:
        name = name_of(process.pid)
        error = await refusal(Settings(port=str(instrument.path)))
        assert isinstance(error, LinkBusy)
        assert str(error) == f"{instrument.path}: in use by {name} (pid {process.pid})"
        assert holders(str(instrument.path)) == [f"{name} (pid {process.pid})"]
    assert holders(str(instrument.path)) == []
    async with opened(instrument.path):
        pass


async def test_port_that_is_not_exclusive_is_shared(instrument: PtyInstrument) -> None:
    settings = Settings(port=str(instrument.path), exclusive=False)
    async with (
        SerialPort.open(settings, system_clock) as first,
        SerialPort.open(settings, system_clock) as second,
        asyncio.timeout(PATIENCE_S),
    ):
        reads = [asyncio.create_task(first.read()), asyncio.create_task(second.read())]
        await instrument.say(b"for whoever comes first")
        done, waiting = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.wait(reads)
        assert len(done) >= 1


def test_nobody_holds_what_is_not_there() -> None:
    assert holders("/dev/ttyNONE0") == []


# How the line is set


CMSPAR = 0o10000000000
"""Linux: the parity bit is always the same, a mark with PARODD, else a space."""


class Line(NamedTuple):
    """What the kernel says of a terminal."""

    inputs: int
    control: int
    speed: int

    @classmethod
    def of(cls, terminal: Path) -> Self:
        tcgets2 = 0x802C542A
        descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            found = fcntl.ioctl(descriptor, tcgets2, bytes(44))
        finally:
            os.close(descriptor)
        inputs, _, control = struct.unpack_from("=3I", found)
        (speed,) = struct.unpack_from("=I", found, 40)
        return cls(inputs, control, speed)


PARITY = termios.PARODD | CMSPAR
"""A pty keeps these and forgets PARENB and the number of data bits: it has no wire to put them on."""
XON_XOFF = termios.IXON | termios.IXOFF


@pytest.mark.parametrize(
    ("parity", "expected"),
    [("none", 0), ("even", 0), ("odd", termios.PARODD), ("mark", PARITY), ("space", CMSPAR)],
)
async def test_parity_is_set(instrument: PtyInstrument, parity: Parity, expected: int) -> None:
    async with SerialPort.open(Settings(port=str(instrument.path), parity=parity), system_clock):
        assert Line.of(instrument.path).control & PARITY == expected


async def test_pseudo_terminal_opens_again_with_settings_that_it_cannot_have(
    instrument: PtyInstrument,
) -> None:
    settings = Settings(port=str(instrument.path), data_bits=7, parity="even")
    for _ in range(3):
        async with SerialPort.open(settings, system_clock) as port:
            port.write(b"ready")
            assert await instrument.hear() == b"ready"


@pytest.mark.parametrize(("stop_bits", "expected"), [(1, 0), (2, termios.CSTOPB)])
async def test_stop_bits_are_set(instrument: PtyInstrument, stop_bits: float, expected: int) -> None:
    async with SerialPort.open(Settings(port=str(instrument.path), stop_bits=stop_bits), system_clock):
        assert Line.of(instrument.path).control & termios.CSTOPB == expected


@pytest.mark.parametrize(
    ("flow_control", "hardware", "software"),
    [("none", 0, 0), ("rts/cts", termios.CRTSCTS, 0), ("xon/xoff", 0, XON_XOFF)],
)
async def test_flow_control_is_set(
    instrument: PtyInstrument, flow_control: FlowControl, hardware: int, software: int
) -> None:
    settings = Settings(port=str(instrument.path), flow_control=flow_control)
    async with SerialPort.open(settings, system_clock):
        line = Line.of(instrument.path)
    assert line.control & termios.CRTSCTS == hardware
    assert line.inputs & XON_XOFF == software


@pytest.mark.parametrize("data_bits", [5, 6, 7, 8])
async def test_any_number_of_data_bits_opens(instrument: PtyInstrument, data_bits: int) -> None:
    async with SerialPort.open(Settings(port=str(instrument.path), data_bits=data_bits), system_clock):
        pass


@pytest.mark.parametrize("baudrate", [50, 300, 4800, 9600, 115_200, 250_000, 1_234_567, 4_000_000])
async def test_baudrate_is_set(instrument: PtyInstrument, baudrate: int) -> None:
    async with SerialPort.open(Settings(port=str(instrument.path), baudrate=baudrate), system_clock):
        assert Line.of(instrument.path).speed == baudrate


async def test_line_is_raw_whatever_was_set_before(instrument: PtyInstrument) -> None:
    descriptor = os.open(instrument.path, os.O_RDWR | os.O_NOCTTY)
    cooked = termios.tcgetattr(descriptor)
    cooked[0] |= termios.ICRNL | termios.IGNCR | termios.ISTRIP | termios.IXON
    cooked[3] |= termios.ICANON | termios.ECHO | termios.ISIG
    termios.tcsetattr(descriptor, termios.TCSANOW, cooked)
    os.close(descriptor)
    everything = bytes(range(256))
    async with opened(instrument.path) as port:
        await instrument.say(everything)
        assert await taken(port, 256) == everything


async def test_stop_bits_that_this_machine_cannot_do_are_refused(instrument: PtyInstrument) -> None:
    error = await refusal(Settings(port=str(instrument.path), stop_bits=1.5))
    assert type(error) is LinkError
    assert str(error) == f"{instrument.path}: 1.5 stop bits not supported on POSIX"
    assert holders(str(instrument.path)) == []


# RFC 2217


IAC, SB, SE, COM_PORT = b"\xff", b"\xff\xfa\x2c", b"\xff\xf0", b"\x2c"
WILLING = b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c"
"""DO BINARY, WILL BINARY, DO COM-PORT-OPTION."""
SUBNEGOTIATION = re.compile(rb"\xff\xfa\x2c(.)((?:[^\xff]|\xff\xff)*)\xff\xf0", re.DOTALL)


class TelnetServer:
    """An RFC 2217 server that grants everything but what `keeps` says, or says one thing and then no more."""

    def __init__(self, only: bytes | None = None, keeps: Mapping[int, bytes] | None = None) -> None:
        self.url = ""
        self.asked: list[tuple[int, bytes]] = []
        self._only = only
        self._keeps = keeps or {}
        self._serving: set[asyncio.Task[None] | None] = set()

    @classmethod
    @asynccontextmanager
    async def listening(
        cls, only: bytes | None = None, keeps: Mapping[int, bytes] | None = None
    ) -> AsyncIterator["TelnetServer"]:
        telnet = cls(only, keeps)
        server = await asyncio.start_server(telnet._serve, "127.0.0.1", 0)
        async with server:
            telnet.url = f"rfc2217://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield telnet
            async with asyncio.timeout(PATIENCE_S):  # every client has hung up
                await asyncio.gather(*filter(None, telnet._serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        writer.write(WILLING if self._only is None else self._only)
        heard = b""
        try:
            while data := await reader.read(1000):
                heard += data
                for match in SUBNEGOTIATION.finditer(heard):
                    (command,) = match[1]
                    self.asked.append((command, match[2].replace(b"\xff\xff", b"\xff")))
                    if self._only is None:
                        answer = self._keeps.get(command, match[2])
                        writer.write(SB + bytes([command + 100]) + answer + SE)
                    heard = heard[match.end() :]
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("settings", "command", "value"),
    [
        ({"baudrate": 19_200}, 1, b"\x00\x00\x4b\x00"),
        ({"data_bits": 5}, 2, b"\x05"),
        ({"data_bits": 7}, 2, b"\x07"),
        ({"parity": "none"}, 3, b"\x01"),
        ({"parity": "odd"}, 3, b"\x02"),
        ({"parity": "even"}, 3, b"\x03"),
        ({"parity": "mark"}, 3, b"\x04"),
        ({"parity": "space"}, 3, b"\x05"),
        ({"stop_bits": 1}, 4, b"\x01"),
        ({"stop_bits": 2}, 4, b"\x02"),
        ({"stop_bits": 1.5}, 4, b"\x03"),
        ({"flow_control": "none"}, 5, b"\x01"),
        ({"flow_control": "xon/xoff"}, 5, b"\x02"),
        ({"flow_control": "rts/cts"}, 5, b"\x03"),
    ],
)
async def test_rfc2217_server_is_told_how_to_set_the_line(
    settings: dict[str, object], command: int, value: bytes
) -> None:
    async with TelnetServer.listening() as server:
        async with SerialPort.open(Settings(port=server.url, **settings), system_clock):  # type: ignore[arg-type]
            pass
        assert (command, value) in server.asked


@pytest.mark.parametrize(
    ("command", "kept", "sentence"),
    [
        (
            1,
            b"\x00\x00\x12\xc0",
            "asked for SetBaudrateCmd(baudrate=9600), the server set SetBaudrateCmd(baudrate=4800)",
        ),
        (2, b"\x07", "asked for SetDatasizeCmd(size=8), the server set SetDatasizeCmd(size=7)"),
        (3, b"\x02", "parity=<Rfc2217Parity.ODD: 2>)"),
        (4, b"\x02", "size=<Rfc2217StopSize.TWO: 2>)"),
    ],
)
async def test_rfc2217_server_that_keeps_another_setting_is_a_link_error(
    command: int, kept: bytes, sentence: str
) -> None:
    async with TelnetServer.listening(keeps={command: kept}) as server:
        error = await refusal(Settings(port=server.url))
    assert type(error) is LinkError
    assert str(error).startswith(f"{server.url}: asked for ")
    assert str(error).endswith(sentence)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(WILLING + SB + b"\x67" + SE, id="a parity without a value"),
        pytest.param(WILLING + SB + b"\x67\x63" + SE, id="a parity that does not exist"),
    ],
)
async def test_rfc2217_server_whose_answers_make_no_sense_is_a_link_error(answer: bytes) -> None:
    async with TelnetServer.listening(only=answer) as server:
        error = await refusal(Settings(port=server.url))
    assert type(error) is LinkError
    assert str(error).startswith(f"{server.url}: its answers make no sense (")


async def test_server_that_does_not_speak_rfc2217_is_a_link_error() -> None:
    async with TelnetServer.listening(only=b"\xff\xfe\x00\xff\xfc\x00\xff\xfe\x2c") as server:
        error = await refusal(Settings(port=server.url))
    assert type(error) is LinkError
    assert str(error) == f"{server.url}: Server refused BINARY transmission"


async def test_ser2net_carries_every_byte_and_sets_the_far_line(
    tmp_path: Path, instrument: PtyInstrument
) -> None:
    everything = bytes(range(256)) * 4
    with Ser2net.serving(tmp_path, instrument.path) as server:
        settings = Settings(
            port=server.url, baudrate=19_200, parity="odd", stop_bits=2, flow_control="rts/cts"
        )
        async with SerialPort.open(settings, system_clock) as port:
            await instrument.say(everything)
            assert await taken(port, len(everything)) == everything
            line = Line.of(instrument.path)
            wanted = termios.PARODD | termios.CSTOPB | termios.CRTSCTS
            assert line.control & wanted == wanted
            assert line.speed == 19_200


async def test_killed_ser2net_is_a_lost_link_and_answers_again_when_it_returns(
    tmp_path: Path, instrument: PtyInstrument
) -> None:
    with Ser2net.serving(tmp_path, instrument.path) as server:
        async with opened(server.url) as port:
            server.kill()
            _, error = await to_the_end(port)
            assert str(error).startswith(f"{server.url}: ")
        server.start()
        async with opened(server.url) as port:
            await instrument.say(b"back")
            assert await taken(port, 4) == b"back"


async def test_unplugging_behind_ser2net_is_a_lost_link(tmp_path: Path, instrument: PtyInstrument) -> None:
    with Ser2net.serving(tmp_path, instrument.path) as server:
        async with opened(server.url) as port:
            instrument.unplug()
            _, error = await to_the_end(port)
    assert str(error) == f"{server.url}: closed by the other end"


async def test_second_client_of_ser2net_is_refused(tmp_path: Path, instrument: PtyInstrument) -> None:
    with Ser2net.serving(tmp_path, instrument.path) as server:
        async with opened(server.url) as port:
            await refusal(Settings(port=server.url))
            await instrument.say(b"unharmed")
            assert await taken(port, 8) == b"unharmed"


async def test_input_through_ser2net_nobody_reads_is_bounded(
    tmp_path: Path, instrument: PtyInstrument
) -> None:
    flood = os.urandom(16 * 1024 * 1024)
    with Ser2net.serving(tmp_path, instrument.path) as server:
        async with opened(server.url) as port:
            writer = asyncio.create_task(instrument.say(flood))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.shield(writer)
            assert len(port._inbox) <= INBOX_LIMIT + 256 * 1024
            writer.cancel()
            await asyncio.wait([writer])
            received = (await port.read()).data
    assert flood.startswith(received)


@pytest.mark.parametrize("kind", [TcpInstrument, TelnetServer])
async def test_peer_that_loses_its_power_is_asked_for_a_sign_within_a_minute(
    kind: type[TcpInstrument | TelnetServer],
) -> None:
    async with kind.listening() as server, opened(server.url):
        number = Address.parse(server.url).number
        with our_socket_to(number) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, interval, tries = (
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * tries <= 60


@contextmanager
def our_socket_to(number: int) -> Iterator[socket.socket]:
    for link in Path("/proc/self/fd").iterdir():
        try:
            if not str(link.readlink()).startswith("socket:"):
                continue
        except OSError:
            continue  # the listing's own
        sock = socket.socket(fileno=os.dup(int(link.name)))
        with sock:
            try:
                peer = sock.getpeername()
            except OSError:
                continue
            if peer[1:2] == (number,):
                yield sock
                return
    raise AssertionError(f"no connection to port {number}")


# Cancelling


async def cancelled_while_opening(port: str, delay_s: float) -> None:
    """Cancel an attempt to open a port after some milliseconds, wherever it is by then."""
    attempt = asyncio.create_task(opened(port).__aenter__())
    await asyncio.sleep(delay_s)
    if attempt.done():
        pytest.fail(f"{port} was open before the attempt was cancelled")
    attempt.cancel()
    await asyncio.wait([attempt])
    assert attempt.cancelled()


@contextmanager
def full_backlog() -> Iterator[str]:
    """A listener that takes no connection: an attempt neither succeeds nor fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


@pytest.mark.parametrize("scheme", ["tcp", "rfc2217"])
async def test_cancelled_connecting_leaves_nothing(scheme: str) -> None:
    with full_backlog() as address:
        for delay_s in (0, 0.01, 0.05):
            await cancelled_while_opening(f"{scheme}://{address}", delay_s)


@pytest.mark.parametrize("said", [b"", WILLING], ids=["nothing", "willing"])
async def test_cancelled_negotiation_leaves_nothing(said: bytes) -> None:
    async with TelnetServer.listening(only=said) as server:
        for delay_s in (0, 0.001, 0.05):
            await cancelled_while_opening(server.url, delay_s)


async def test_device_whose_opening_is_cancelled_anywhere_is_free_again(instrument: PtyInstrument) -> None:
    for milliseconds in range(25):
        attempt = asyncio.create_task(opened(instrument.path).__aenter__())
        await asyncio.sleep(milliseconds / 1000)
        if not attempt.done():
            attempt.cancel()
        await asyncio.wait([attempt])
        if not attempt.cancelled():
            await attempt.result()._close()
        assert holders(str(instrument.path)) == []
    async with opened(instrument.path) as port:
        await instrument.say(b"unharmed")
        assert await taken(port, 8) == b"unharmed"


# How a port is written


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("/dev/ttyUSB0", Address("device", "/dev/ttyUSB0")),
        (
            "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0",
            Address("device", "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0"),
        ),
        ("/dev/a name with spaces", Address("device", "/dev/a name with spaces")),
        ("usb:0403:6001", Address("usb", "usb:0403:6001")),
        ("USB:10C4:EA60:0001:1", Address("usb", "usb:10c4:ea60:0001:1")),
        ("tcp://192.0.2.7:4001", Address("tcp", "tcp://192.0.2.7:4001", "192.0.2.7", 4001)),
        ("tcp://meter.example:1", Address("tcp", "tcp://meter.example:1", "meter.example", 1)),
        ("TCP://Meter:65535", Address("tcp", "TCP://Meter:65535", "meter", 65535)),
        ("tcp://zähler.example:4001", Address("tcp", "tcp://zähler.example:4001", "zähler.example", 4001)),
        (
            "rfc2217://[2001:db8::7]:2217",
            Address("rfc2217", "rfc2217://[2001:db8::7]:2217", "2001:db8::7", 2217),
        ),
    ],
)
def test_good_spelling_is_understood(written: str, address: Address) -> None:
    assert Address.parse(written) == address


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (
            "ttyUSB0",
            'must be a whole path such as "/dev/ttyUSB0", usb:VID:PID, tcp://host:port or rfc2217://host:port',
        ),
        ("usb:0403", "must be usb:VID:PID[:serial[:interface]]"),
        ("usb:FTDI:6001", "must be usb:VID:PID"),
        ("usb:0403:6001:A:one", "must be usb:VID:PID"),
        ("dev/ttyUSB0", 'must be a whole path such as "/dev/ttyUSB0", usb'),
        ("192.0.2.7:4001", "usb:VID:PID, tcp://host:port"),
        (
            "socket://192.0.2.7:4001",
            'cannot be "socket://": allowed are a device path, tcp://host:port and rfc2217://',
        ),
        ("://192.0.2.7:4001", 'cannot be "://"'),
        ("tcp://192.0.2.7", 'must be tcp://host:port, such as "tcp://192.0.2.7:4001"'),
        ("tcp://192.0.2.7:", "must be tcp://host:port"),
        ("tcp://:4001", "must be tcp://host:port"),
        ("tcp://", "must be tcp://host:port"),
        ("tcp://192.0.2.7:0", "must be tcp://host:port"),
        ("tcp://192.0.2.7:65536", "must be tcp://host:port"),
        ("tcp://192.0.2.7:-1", "must be tcp://host:port"),
        ("tcp://192.0.2.7:http", "must be tcp://host:port"),
        ("tcp://192.0.2.7:4001/", "must be tcp://host:port"),
        ("tcp://192.0.2.7:4001/path", "must be tcp://host:port"),
        ("tcp://192.0.2.7:4001?timeout=3", "must be tcp://host:port"),
        ("tcp://192.0.2.7:4001#1", "must be tcp://host:port"),
        ("tcp://user@192.0.2.7:4001", "must be tcp://host:port"),
        ("tcp://meter one:4001", "must be tcp://host:port"),
        ("tcp://meter..example:4001", "must be tcp://host:port"),
        (f"tcp://{'m' * 64}.example:4001", "must be tcp://host:port"),
        ("tcp://[2001:db8::7:4001", "must be tcp://host:port"),
        ("rfc2217://192.0.2.7", 'must be rfc2217://host:port, such as "rfc2217://192.0.2.7:4001"'),
        ("/dev/ttyUSB0 ", "must not begin or end with a space, nor hold invisible characters"),
        ("/dev/tty\0USB0", "must not begin or end with a space, nor hold invisible characters"),
        ("tcp://meter\n.example:4001", "must not begin or end with a space, nor hold invisible characters"),
    ],
)
def test_bad_spelling_is_refused_with_what_is_allowed(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Address.parse(written)


# socat


class FarEnd:
    """The other terminal of a socat pair."""

    def __init__(self, terminal: Path) -> None:
        self._descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def socat_pair(folder: Path) -> Iterator[tuple[Path, FarEnd, subprocess.Popen[bytes]]]:
    here, there = folder / "here", folder / "there"
    process = subprocess.Popen(
        [program("socat"), *(f"pty,raw,echo=0,link={each}" for each in (here, there))],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            if here.exists() and there.exists():
                break
            time.sleep(0.01)
        far_end = FarEnd(there)
        try:
            yield here, far_end, process
        finally:
            far_end.close()
    finally:
        process.kill()
        process.wait(10)
