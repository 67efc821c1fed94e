"""TH-10 frames out of a stream of bytes. Pure: bytes in, frames out."""

import struct
from collections import Counter

from drivers.checksum import crc8_nrsc5
from drivers.driver import Frame

SYNC = 0xAA
LENGTH = 6


class Frames:
    """Decoder of the TH-10.

    Layout (6 bytes, big endian): `AA TT TT HH HH CC`
        T  temperature, int16, 0.1 °C        H  humidity, uint16, 0.1 %RH
        C  CRC-8/NRSC-5 of the five bytes before
    Source: TH-10 protocol note r1.3, section 4.2.
    """

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._held = b""
        self._offset = 0  # of the first byte in _held

    def feed(self, data: bytes) -> list[Frame]:
        stream = self._held + data
        frames = []
        start = stream.find(SYNC)
        while 0 <= start <= len(stream) - LENGTH:
            frame = stream[start : start + LENGTH]
            if crc8_nrsc5(frame[:-1]) == frame[-1]:
                temperature, humidity = struct.unpack_from(">hH", frame, 1)
                values = {"temperature": temperature / 10, "humidity": humidity / 10}
                frames.append(Frame(self._offset + start, LENGTH, "climate", values))
                start += LENGTH
            else:
                # A bad checksum drops one byte, not the frame: the true start may be inside.
                self.rejected["checksum"] += 1
                start += 1
            start = stream.find(SYNC, start)
        done = len(stream) if start < 0 else start
        self._held = stream[done:]
        self._offset += done
        return frames

    def finish(self) -> list[Frame]:
        return []
