"""docs/architecture.md is about the program that there is."""

import inspect
import re
import xml.etree.ElementTree as ET

from gateway import app
from tests.support.documents import ROOT

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text()


def test_files_and_folders_that_it_names_are_there() -> None:
    named = re.findall(r"`((?:gateway|drivers|tests)/[\w/.]*)`", TEXT)
    assert len(named) >= 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_gateway_stops_in_the_order_that_it_shows() -> None:
    """Each step names what does it."""
    shown = re.findall(r"\(`([^`]+)`\)", TEXT.partition("## In what order it stops")[2])
    assert len(shown) >= 10
    source = inspect.getsource(app._Gateway._finish)
    done = [*re.findall("|".join(map(re.escape, shown)), source), "tell"]
    first = list(dict.fromkeys(done))
    assert first == shown


def test_picture_has_words_for_who_does_not_see_it() -> None:
    [picture] = re.findall(r"!\[.+\]\((.+\.svg)\)", TEXT)
    drawing = ET.parse(PAGE.parent / picture).getroot()
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert drawing.get("role") == "img"
    for word in ("title", "desc"):
        element = drawing.find(f"svg:{word}", names)
        assert element is not None
        assert element.text
    assert "prefers-color-scheme: dark" in (PAGE.parent / picture).read_text()
