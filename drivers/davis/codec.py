"""LOOP and LOOP2 packets out of a stream of bytes. Pure: bytes in, frames out."""

import struct
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from drivers.checksum import crc16_xmodem
from drivers.davis import quantities as q
from drivers.davis.packets import ALARM_BYTES, ALARMS, LOOP, LOOP2, Field
from drivers.driver import Frame, Metric, Names
from gateway.model import Value

BEGIN = b"LOO"
LENGTH = 99
_KIND_AT = 4
_NO_ALARM = "none"


class Packets:
    """Decoder of what a console sends on LOOP and LPS: each packet with the right CRC is a frame, `LOOP` or `LOOP2`.

    Layout (99 bytes): "LOO", trend, kind (0 LOOP, 1 LOOP2), values, LF CR at 95, CRC-16/XMODEM, high byte first.
    What stands between packets, such as ACK or the answer to a wake-up, is passed over.
    Source: Davis Vantage Serial Communication Reference Manual 2.6.1, section X.
    """

    def __init__(self, *, names: Names, bucket: q.RainBucket) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._layouts = [_Layout("LOOP", LOOP, names, bucket), _Layout("LOOP2", LOOP2, names, bucket)]
        self._held = b""
        self._offset = 0  # of the first byte in _held

    def feed(self, data: bytes) -> list[Frame]:
        return self._scan(data, ended=False)

    def finish(self) -> list[Frame]:
        """Packets that stand behind the start of one that never ended."""
        return self._scan(b"", ended=True)

    def _scan(self, data: bytes, *, ended: bool) -> list[Frame]:
        stream = self._held + data
        frames: list[Frame] = []
        done = 0  # up to here all is judged
        at = stream.find(BEGIN)
        while at >= 0 and (at + LENGTH <= len(stream) or ended):
            packet = stream[at : at + LENGTH]
            done = at + 1  # a bad CRC drops one byte, not the packet: the true start may be inside
            if len(packet) == LENGTH and (frame := self._judge(packet, self._offset + at)):
                frames.append(frame)
                done = at + LENGTH
            at = stream.find(BEGIN, done)
        if at < 0:
            at = len(stream) if ended else max(done, len(stream) - len(BEGIN) + 1)
        self._held = stream[at:]
        self._offset += at
        return frames

    def _judge(self, packet: bytes, offset: int) -> Frame | None:
        if crc16_xmodem(packet):
            self.rejected["checksum"] += 1
            return None
        kind = packet[_KIND_AT]
        if kind >= len(self._layouts):
            self.rejected["unknown kind"] += 1
            return None
        layout = self._layouts[kind]
        return Frame(offset, LENGTH, layout.id, layout.read(packet))


class _Reader(NamedTuple):
    name: str
    place: int
    """Of the number in the unpacked packet."""
    convert: q.Convert


class _Layout:
    """How one kind of packet is read."""

    def __init__(self, kind: str, fields: tuple[Field, ...], names: Names, bucket: q.RainBucket) -> None:
        self.id = kind
        self._names = names
        self._has_alarms = kind == "LOOP"
        self._readers: list[_Reader] = []
        packed = "<"
        for place, field in enumerate(sorted(fields)):
            packed += "x" * (field.offset - struct.calcsize(packed)) + field.code
            quantity = _of_bucket(field, bucket)
            if names == "protocol" and field.protocol:
                self._readers.append(_Reader(field.protocol, place, quantity.protocol))
            elif names == "readable" and field.readable:
                self._readers.append(_Reader(field.readable, place, quantity.readable))
        self._packed = struct.Struct(packed)

    def read(self, packet: bytes) -> dict[str, Value]:
        raw = self._packed.unpack_from(packet)
        values: dict[str, Value] = {}
        for name, place, convert in self._readers:
            value = convert(raw[place])
            if value is not None:
                values[name] = value
        if self._has_alarms:
            if self._names == "protocol":
                values |= {name: packet[at] for at, name in ALARM_BYTES.items() if packet[at]}
            else:
                values["alarms"] = _alarms(packet)
        return values


def _of_bucket(field: Field, bucket: q.RainBucket) -> q.Quantity:
    return q.rain(bucket, field.quantity) if isinstance(field.quantity, q.Rain) else field.quantity


def _alarms(packet: bytes) -> str:
    on = [
        words
        for at, bits in ALARMS.items()
        if packet[at]
        for bit, words in enumerate(bits)
        if packet[at] >> bit & 1 and words
    ]
    return ", ".join(on) or _NO_ALARM


def metrics(names: Names, bucket: q.RainBucket) -> Mapping[str, Metric]:
    described: dict[str, Metric] = {}
    for field in (*LOOP, *LOOP2):
        quantity = _of_bucket(field, bucket)
        if names == "readable" and field.readable:
            described[field.readable] = quantity.describe(field.label)
        elif names == "protocol" and field.protocol:
            described[field.protocol] = quantity.describe_sent(field.label)
    if names == "readable":
        described["alarms"] = Metric("", "Alarms that are on")
    else:
        described |= {name: Metric("", "Alarms that are on, a bit each") for name in ALARM_BYTES.values()}
    return described
