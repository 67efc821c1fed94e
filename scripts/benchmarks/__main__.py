import argparse

from scripts.benchmarks.measurements import MEASUREMENTS
from scripts.benchmarks.table import drawn


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        choices=[*MEASUREMENTS, []],
        metavar="what",
        help=f"{', '.join(MEASUREMENTS)}; all, if none",
    )
    chosen = parser.parse_args().what or MEASUREMENTS
    print(drawn([row for name in chosen for row in MEASUREMENTS[name]()]))
    print(
        "\nIn brackets: Sallyport's figure divided by this one. The machine may be busy with other things, so compare\n"
        "columns, not figures. C programs and script store nothing; Sallyport's journal is forced to disk every 200 ms."
    )


main()
