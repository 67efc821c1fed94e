"""What the gateway costs and can do, beside other ways of doing it."""

import argparse
import sys

from scripts.benchmarks.measurements import MEASUREMENTS
from scripts.benchmarks.table import drawn


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        choices=[*MEASUREMENTS, []],
        metavar="what",
        help=f"{', '.join(MEASUREMENTS)}; all, if none",
    )
    chosen = parser.parse_args().what or MEASUREMENTS
    rows = [row for name in chosen for row in MEASUREMENTS[name]()]
    print(drawn(rows))
    print(
        "\nIn brackets: Sallyport's figure divided by this one. The machine may be busy with other things, so compare\n"
        "columns, not figures. C programs and script store nothing; Sallyport's journal is forced to disk every 200 ms."
    )
    return 1 if any(row.failed for row in rows) else 0


sys.exit(main())
