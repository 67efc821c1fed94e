"""The way to an instrument: opened, read, closed; every way it can fail is a LinkError.

With ports.py the only file that imports a serial library.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, Self
from urllib.parse import urlsplit

import serialx
from serialx.descriptor_transport import DescriptorTransport
from serialx.platforms.serial_rfc2217 import RFC2217SerialTransport
from serialx.platforms.serial_rfc2217.types import (
    Rfc2217Command,
    SetControlCmd,
    SetLinestateMaskCmd,
    SetModemstateMaskCmd,
)

from drivers.ports import UsbIdentity, explain, plain
from gateway.errors import LinkAbsent, LinkError, LinkLost
from gateway.model import Clock, Stamp

READ_SIZE = 64 * 1024
"""What one system call may take. For serialx's and asyncio's own 256 KiB the system maps fresh memory at each
read, which doubles the latency of a small one (measured)."""

INBOX_LIMIT = 64 * 1024
"""Bytes held for a driver that is slow to read; beyond it the kernel's buffer and flow control hold them."""

PIECE = 8 * 1024
"""Bytes that a driver is given at once. Of a flood, each piece is decoded in a turn of the loop of its own, so that
no decoder keeps the others waiting for long, whatever the line says."""

OPEN_TIMEOUT_S = 10.0

SET_TIMEOUT_S = 10.0
"""For what is still to be written to leave at 300 baud, and for a serial server to answer."""

Parity = Literal["none", "even", "odd", "mark", "space"]
FlowControl = Literal["none", "rts/cts", "xon/xoff"]
"""Not dsr/dtr: serialx takes it and does nothing, on a device and through RFC 2217 alike."""

Rs485 = Literal["off", "rts", "rts-inverted"]

_TIOCSRS485 = 0x542F
_RS485_FLAGS = {"rts": 0b011, "rts-inverted": 0b101}
"""SER_RS485_ENABLED with RTS_ON_SEND or RTS_AFTER_SEND (linux/serial.h)."""

_PARITY = {
    "none": serialx.Parity.NONE,
    "even": serialx.Parity.EVEN,
    "odd": serialx.Parity.ODD,
    "mark": serialx.Parity.MARK,
    "space": serialx.Parity.SPACE,
}


_PSEUDO_TERMINALS = range(136, 144)
"""Major numbers of the ends that are opened by name (Documentation/admin-guide/devices.txt)."""


class Address(NamedTuple):
    """A port as it is written in the configuration."""

    scheme: Literal["device", "usb", "tcp", "rfc2217"]
    target: str
    """The device's path, its USB identity, or the whole URL."""
    host: str = ""
    number: int = 0

    @classmethod
    def parse(cls, port: str) -> Self:
        """Raises: ValueError, with the allowed forms."""
        if port != port.strip() or not port.isprintable():
            raise ValueError("must not begin or end with a space, nor hold invisible characters")
        scheme, is_url, authority = port.partition("://")
        if not is_url:
            if port.lower().startswith("usb:"):
                return cls("usb", str(UsbIdentity.parse(port)))
            if not port.startswith("/"):
                name = port.rpartition("/")[2]
                raise ValueError(
                    f'must be a whole path such as "/dev/{name}", usb:VID:PID, tcp://host:port or rfc2217://host:port'
                )
            return cls("device", port)
        scheme = scheme.lower()
        if scheme not in ("tcp", "rfc2217"):
            raise ValueError(
                f'cannot be "{scheme}://": allowed are a device path, tcp://host:port and rfc2217://host:port'
            )
        try:
            url = urlsplit(port)
            host, number = url.hostname or "", url.port or 0
            host.encode("idna")  # as the look-up will: it refuses an empty or an endless label
        except ValueError:
            host, number = "", 0
        if not host or not number or any(sign in authority for sign in "/?#@ "):
            raise ValueError(f'must be {scheme}://host:port, such as "{scheme}://192.0.2.7:4001"')
        return cls("tcp" if scheme == "tcp" else "rfc2217", port, host, number)


def place(port: str) -> str:
    """One spelling for one port, whatever link or case it is named by; any for what is none. Blocks briefly."""
    if "://" in port:
        return port.lower()
    try:
        return str(UsbIdentity.parse(port)) if port.lower().startswith("usb:") else os.path.realpath(port)
    except ValueError:
        return port


class PortOptions(Protocol):
    """What a port wants to know; `DriverOptions` has it."""

    @property
    def port(self) -> str: ...
    @property
    def baudrate(self) -> int: ...
    @property
    def data_bits(self) -> int: ...
    @property
    def parity(self) -> Parity: ...
    @property
    def stop_bits(self) -> float: ...
    @property
    def flow_control(self) -> FlowControl: ...
    @property
    def exclusive(self) -> bool: ...


class Chunk(NamedTuple):
    data: bytes
    at: Stamp
    """When its first byte was handed to us."""


class _Rfc2217Transport(RFC2217SerialTransport):
    """serialx's own waits for ever for ser2net 4.3 (Debian 12), hides its socket, and believes any answer."""

    async def _connect(self, **settings: Any) -> None:
        await super()._connect(**settings)
        if self._tcp_transport is not None:
            _keep_alive(self._tcp_transport.get_extra_info("socket"))

    async def _send_and_wait(self, cmd: Rfc2217Command) -> Rfc2217Command:
        # ser2net 4.3 answers these with the state they ask for, not with the acknowledgement of
        # RFC 2217, section 3. Nothing here depends on them.
        if isinstance(cmd, SetModemstateMaskCmd | SetLinestateMaskCmd):
            self._send_command(cmd)
            return cmd
        answer = await super()._send_and_wait(cmd)
        if answer != cmd and not isinstance(cmd, SetControlCmd):
            raise serialx.UnsupportedSetting(f"asked for {cmd}, the server set {answer}")
        return answer


class SerialPort(asyncio.Protocol):
    """An open port. `async with SerialPort.open(…)`: left, it is shut."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.heard = 0
        """Bytes that came since it was opened."""
        self._device = name
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray()
        self._inbox_at = Stamp(0, 0.0)
        self._paused = False
        self._left = False
        self._reader: asyncio.Future[None] | None = None
        self._loss: str | None = None
        self._loop = asyncio.get_running_loop()  # to ask for it costs a system call in Python 3.11
        self._closed = self._loop.create_future()

    @classmethod
    @asynccontextmanager
    async def open(cls, options: PortOptions, clock: Clock) -> AsyncIterator[Self]:
        """Raises: LinkAbsent, LinkBusy, LinkDenied, LinkError: what is wrong with the port, in one sentence."""
        port = cls(options.port, clock)
        try:
            await port._connect(options)
            yield port
        finally:
            await port._close()

    async def _connect(self, options: PortOptions) -> None:
        address = Address.parse(options.port)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await (
                    self._connect_tcp(address)
                    if address.scheme == "tcp"
                    else self._connect_serial(address, options)
                )
        except TimeoutError:
            raise LinkAbsent(f"{self.name}: no answer for {OPEN_TIMEOUT_S:.0f} s") from None
        except serialx.SerialException as error:
            raise LinkError(f"{self.name}: {error}") from error
        except (ValueError, IndexError) as error:  # serialx's, at an answer of a wrong size or kind
            raise LinkError(f"{self.name}: its answers make no sense ({error})") from error
        except OSError as error:
            if address.scheme not in ("device", "usb"):
                raise LinkAbsent(f"{self.name}: {plain(error)}") from error
            raise await asyncio.to_thread(explain, error, self._device) from error

    async def _connect_tcp(self, address: Address) -> None:
        # Not serialx's tcp://, which hides the socket: without keep-alive a peer that loses
        # its power would look like a silent instrument for ever.
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, address.host, address.number
        )
        _keep_alive(transport.get_extra_info("socket"))
        transport.max_size = READ_SIZE  # type: ignore[attr-defined]  # asyncio's, as serialx's below

    async def _connect_serial(self, address: Address, options: PortOptions) -> None:
        if address.scheme == "usb":
            self._device = await asyncio.to_thread(UsbIdentity.parse(address.target).path)
        try:
            transport = await self._serial_transport(address, options, options.data_bits, options.parity)
        except OSError as error:
            # A pseudo-terminal has no parity and no word length but 8 bits: Linux passes over them once, and
            # refuses them to the next who sets nothing else.
            if error.errno != errno.EINVAL or not _is_pseudo_terminal(self._device):
                raise
            transport = await self._serial_transport(address, options, 8, "none")
        if isinstance(transport, DescriptorTransport):
            transport.max_size = READ_SIZE

    async def _serial_transport(
        self, address: Address, options: PortOptions, data_bits: int, parity: Parity
    ) -> asyncio.Transport:
        transport, _ = await serialx.create_serial_connection(
            asyncio.get_running_loop(),
            lambda: self,
            self._device,
            options.baudrate,
            _PARITY[parity],
            serialx.StopBits(options.stop_bits),
            xonxoff=options.flow_control == "xon/xoff",
            rtscts=options.flow_control == "rts/cts",
            byte_size=data_bits,
            exclusive=options.exclusive,
            transport_cls=_Rfc2217Transport if address.scheme == "rfc2217" else None,
            connect_timeout=OPEN_TIMEOUT_S,  # of rfc2217; serialx leaves it out for a device
        )
        return transport

    async def read(self) -> Chunk:
        """What has come since the last call, up to PIECE bytes of it; waits for the first one.

        Raises: LinkLost, once everything that came before the loss has been read.
        """
        if self._left:
            await asyncio.sleep(0)
        while not self._inbox:
            if self._loss is not None:
                raise LinkLost(f"{self.name}: {self._loss}")
            self._reader = self._loop.create_future()
            await self._reader
        chunk = Chunk(self._take(PIECE), self._inbox_at)
        self._left = bool(self._inbox)
        return chunk

    def _take(self, limit: int | None = None) -> bytes:
        taken = bytes(self._inbox[:limit])
        del self._inbox[:limit]
        if self._paused and not self._inbox and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def write(self, data: bytes) -> None:
        """Put bytes on the line, after those that are still on their way.

        Raises: LinkLost.
        """
        if self._transport is None:
            raise LinkLost(f"{self.name}: {self._loss}")
        try:
            self._transport.write(data)
        except OSError as error:  # serialx knows of the loss before it says so to connection_lost
            raise LinkLost(f"{self.name}: {_loss(self.name, error)}") from error

    def discard(self) -> bytes:
        """Forget what has come and was not read; what that was."""
        return self._take()

    async def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the line once everything written has left it.

        Raises: LinkError, for tcp:// too, where the far end has a speed of its own.
        """
        if not isinstance(self._transport, serialx.BaseSerialTransport):
            raise LinkError(f"{self.name}: its speed cannot be changed from here")
        try:
            async with asyncio.timeout(SET_TIMEOUT_S):
                await self._transport.flush()
                await self._transport.reconfigure_port(baudrate=baudrate)
        except TimeoutError:
            raise LinkError(
                f"{self.name}: could not be set to {baudrate} baud within {SET_TIMEOUT_S:.0f} s"
            ) from None
        except (OSError, serialx.SerialException) as error:
            raise LinkError(f"{self.name}: cannot be set to {baudrate} baud: {error}") from error

    def switch_direction(self, rs485: Rs485) -> None:
        """Have the system switch an RS-485 transceiver with RTS, from now on.

        Raises: LinkError, where it cannot.
        """
        if rs485 == "off":
            return
        transport = self._transport
        if not isinstance(transport, DescriptorTransport):
            raise LinkError(
                f"{self.name}: only this machine's own ports can be told to switch RS-485 with RTS"
            )
        assert transport._fileno is not None  # noqa: SLF001 - serialx has no other way to it
        # Layout of struct serial_rs485: flags, delay before and after sending in ms, 20 bytes for later.
        settings = struct.pack("=3L20x", _RS485_FLAGS[rs485], 0, 0)
        try:
            fcntl.ioctl(transport._fileno, _TIOCSRS485, settings)  # noqa: SLF001
        except OSError as error:
            raise LinkError(
                f"{self.name}: its driver cannot switch RS-485 with RTS ({plain(error)}): use an adapter that"
                ' switches by itself, and rs485 = "off"'
            ) from error

    @property
    def lost(self) -> bool:
        """Whether it went away; what came before may still be read."""
        return self._loss is not None

    async def gone(self) -> NoReturn:
        """Wait until it goes away. Raises: LinkLost."""
        await asyncio.shield(self._closed)
        raise LinkLost(f"{self.name}: {self._loss}")

    async def _close(self) -> None:
        if self._transport is None:
            return
        self._transport.abort()
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            await self._closed  # who opens the port next is to find it free
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._inbox:
            self._inbox_at = self._clock()
        self._inbox += data
        self.heard += len(data)
        if len(self._inbox) > INBOX_LIMIT and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._loss = _loss(self.name, exc)
        self._wake()
        if not self._closed.done():
            self._closed.set_result(None)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _loss(port: str, error: Exception | None) -> str:
    if error is None or (isinstance(error, OSError) and error.errno == errno.EIO):
        return "closed by the other end" if "://" in port else "unplugged or hung up"
    return plain(error)


def _is_pseudo_terminal(device: str) -> bool:
    try:
        return os.major(Path(device).stat().st_rdev) in _PSEUDO_TERMINALS
    except OSError:
        return False


def _keep_alive(sock: socket.socket) -> None:
    """Notice a peer that vanished without a word within a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
