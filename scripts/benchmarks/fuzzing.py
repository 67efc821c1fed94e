"""Every decoder on damaged telegrams, each in a process of its own: what scripts/fuzz runs."""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import drivers
from drivers.driver import Driver, DriverOptions
from drivers.testing.fuzz import Outcome, fuzz

WARM = 1_000_000
"""Bytes before memory is looked at for the first time."""

STALL_S = 0.050
GROWTH_KB = 4096

CAPTURES = {"d0": "d0", "davis": "davis", "dsmr": "dsmr_p1", "mbus": "mbus", "modbus": "modbus_rtu"} | {
    "mysensors": "mysensors", "nmea0183": "nmea0183", "pms": "pms", "mhz19": "pms", "scpi": "scpi", "sps30": "shdlc",
    "sml": "sml", "text": "textline", "ubx": "ubx", "vedirect": "vedirect",
}  # fmt: skip
"""Driver and the folder of other people's captures, where they are at hand."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument(
        "--bytes", type=int, default=10_000_000, help="for each driver (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("driver", nargs="*", help="these only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(_measured(args.child, args.bytes, args.seed)))
        return 0
    good = True
    print(f"{'driver':10} {'bytes':>11} {'frames':>9} {'refused':>9} {'ms per 64 KiB':>14} {'growth kB':>10}")
    for name in args.driver or sorted(drivers.DRIVERS):
        child = [sys.executable, "-m", "scripts.benchmarks.fuzzing", "--child", name]
        done = subprocess.run(
            [*child, "--bytes", str(args.bytes), "--seed", str(args.seed)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            print(f"{name:10} FAILED\n{done.stderr}")
            good = False
            continue
        told = json.loads(done.stdout)
        bad = told["worst_s"] > STALL_S or told["growth_kb"] > GROWTH_KB
        good &= not bad
        print(
            f"{name:10} {told['fed']:11,} {told['frames']:9,} {told['rejected']:9,}"
            f" {told['worst_s'] * 1000:14.1f} {told['growth_kb']:10,}{'  TOO MUCH' if bad else ''}",
            flush=True,
        )
    print(
        "\nms: CPU time of the slowest 64 KiB, in pieces of any size; at most 50. growth: of the process, once warm."
    )
    return 0 if good else 1


def _measured(name: str, size: int, seed: int) -> dict[str, float]:
    driver = drivers.find(name)
    options = sampled(name, driver)
    telegrams = [*itertools.islice(_simulated(driver), 200), *_captured(name)]
    fuzz(driver.decoder(options), telegrams, size=min(WARM, size), seed=seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome: Outcome = fuzz(driver.decoder(options), telegrams, size=size, seed=seed + 1)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {**vars(outcome), "growth_kb": growth}


def sampled(name: str, driver: Driver) -> DriverOptions:
    """The options of the driver's sample."""
    [table, *_] = tomllib.loads(drivers.sample(name))["devices"].values()
    return driver.options.model_validate_json(json.dumps(table, default=str), strict=True)


def _simulated(driver: Driver) -> Sequence[bytes]:
    assert driver.simulation is not None
    return [*itertools.islice(driver.simulation.telegrams(0), 200)]


def _captured(name: str) -> list[bytes]:
    """Captures cut into telegrams where the expected file says that one begins."""
    folder = Path(os.environ.get("SALLYPORT_CAPTURES", "/nowhere"), CAPTURES.get(name, ""))
    telegrams = []
    for expected in sorted(folder.glob("*.expected.json")):
        told = json.loads(expected.read_bytes())
        capture = expected.with_name(told["capture"]).read_bytes()
        telegrams += [
            capture[frame["offset"] : frame["offset"] + frame["length"]]
            for frame in told["frames"][:200]
            if frame["length"]
        ]
    return telegrams


if __name__ == "__main__":
    sys.exit(main())
