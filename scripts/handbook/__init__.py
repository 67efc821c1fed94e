"""Pages of docs/ that are made of the program, so that they say what it does."""

from collections.abc import Mapping
from pathlib import Path

from scripts.handbook import configuration, driver

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages() -> Mapping[Path, str]:
    """Each page's file, and what it holds."""
    return {
        DOCS / "configuration.md": configuration.page(),
        **{DOCS / "drivers" / f"{name}.md": driver.page(name) for name in driver.NAMES},
    }
