"""What a frame costs to decode, beside the library that Python programs use for it: scripts/bench decoders.

The same frames, from the drivers' simulators, values included; the peers get them cut already, ours finds them.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import drivers
from drivers.driver import DriverOptions
from gateway.config import driver_options
from scripts.benchmarks.fuzzing import sampled

ROUNDS = 7
ENOUGH_S = 0.05
"""CPU time of one round, at least."""

Peer = Callable[[bytes], object]
"""Decodes one frame and looks at its values."""


def _pynmea2() -> Peer:
    import pynmea2

    def decode(frame: bytes) -> object:
        message = pynmea2.parse(frame.decode("ascii"), check=True)
        return [getattr(message, field[1]) for field in message.fields]

    return decode


def _dsmr_parser() -> Peer:
    from dsmr_parser import telegram_specifications
    from dsmr_parser.parsers import TelegramParser

    parser = TelegramParser(telegram_specifications.V5)
    return lambda frame: parser.parse(frame.decode("ascii"))


def _pymodbus() -> Peer:
    from pymodbus.framer import FramerRTU
    from pymodbus.pdu import DecodePDU

    # It has to be told which a frame is; on the line, they take turns.
    ways = itertools.cycle([FramerRTU(DecodePDU(is_server=True)), FramerRTU(DecodePDU(is_server=False))])

    def decode(frame: bytes) -> object:
        _, message = next(ways).handleFrame(frame, frame[0], 0)
        return message.registers

    return decode


def _meterbus() -> Peer:
    import meterbus

    return lambda frame: [(record.value, record.unit) for record in meterbus.load(frame).records]


def _pypms() -> Peer:
    from pms.core import Sensor

    sensor = Sensor["PMSx003"]
    return lambda frame: sensor.decode(frame, time=0)


def _pyubx2() -> Peer:
    from pyubx2 import UBXReader

    parse: Peer = UBXReader.parse
    return parse


PEERS: dict[str, tuple[str, Callable[[], Peer]]] = {
    "nmea0183": ("pynmea2", _pynmea2),
    "dsmr": ("dsmr_parser", _dsmr_parser),
    "modbus": ("pymodbus", _pymodbus),
    "mbus": ("pyMeterBus", _meterbus),
    "pms": ("PyPMS", _pypms),
    "ubx": ("pyubx2", _pyubx2),
}


@dataclass
class Cost:
    ours_us: float
    theirs_us: float


def cost(name: str, peer: Peer) -> Cost:
    """Of a frame, at best of several rounds that take turns."""
    driver = drivers.find(name)
    options = _options(name)
    assert driver.simulation is not None
    telegrams = [*itertools.islice(driver.simulation.telegrams(0), 100)]
    frames = [*_frames(name, telegrams)]

    def ours() -> None:
        decoder = driver.decoder(options)
        for telegram in telegrams:
            for _ in decoder.feed(telegram):
                pass

    def theirs() -> None:
        for frame in frames:
            peer(frame)

    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        for index, work in enumerate((ours, theirs)):
            best[index] = min(best[index], _cpu(work))
    return Cost(best[0] / len(frames) * 1e6, best[1] / len(frames) * 1e6)


def _options(name: str) -> DriverOptions:
    """Those of the sample; of Modbus bare registers, as the peer has them."""
    return driver_options(name, {}) if name == "modbus" else sampled(name, drivers.find(name))


def _frames(name: str, telegrams: Sequence[bytes]) -> Iterator[bytes]:
    """What our decoder takes for frames."""
    driver = drivers.find(name)
    decoder = driver.decoder(_options(name))
    stream = b"".join(telegrams)
    for frame in [*decoder.feed(stream), *decoder.finish()]:
        yield stream[frame.offset : frame.offset + frame.length]


def _cpu(work: Callable[[], None]) -> float:
    """Of one call, in seconds."""
    calls = 0
    began = time.thread_time()
    while (taken := time.thread_time() - began) < ENOUGH_S:
        work()
        calls += 1
    return taken / calls


def main() -> int:
    print(f"| {'driver':9} | {'µs a frame':>10} | {'peer':12} | {'µs a frame':>10} | ours faster   |")
    print(f"| {'-' * 9} | {'-' * 10} | {'-' * 12} | {'-' * 10} | ------------- |")
    ahead = True
    for name, (title, prepare) in PEERS.items():
        if name not in drivers.names():
            continue
        found = cost(name, prepare())
        ratio = found.theirs_us / found.ours_us
        ahead &= ratio > 1
        print(
            f"| {name:9} | {found.ours_us:10.1f} | {title:12} | {found.theirs_us:10.1f} | {ratio:5.1f} times   |"
        )
    return 0 if ahead else 1


if __name__ == "__main__":
    sys.exit(main())
