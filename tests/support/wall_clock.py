"""The clock on the wall of another process, to be set at will."""

from pathlib import Path


class WallClock:
    """The time that a process believes, by libfaketime; its monotonic clock stays the machine's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall_clock"
        self.step(0)

    def step(self, days: int) -> None:
        """So far from the machine's own clock, from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{days:+d}d\n")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
