"""Links between documents lead somewhere, to the heading too, and the index leads everywhere."""

import re
from functools import cache
from pathlib import Path

import pytest

from scripts.handbook.markdown import anchor
from tests.support.documents import DOCUMENTS, ROOT

DOCS = ROOT / "docs"


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@cache
def prose(document: Path) -> str:
    """Without blocks, in which nothing is a heading or a link."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


@cache
def anchors(document: Path) -> frozenset[str]:
    """What a link into the document may name."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE):
        words = anchor(re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading))
        count = sum(re.fullmatch(rf"{re.escape(words)}(-\d+)?", each) is not None for each in found)
        found.append(f"{words}-{count}" if count else words)
    return frozenset([*found, *re.findall(r'<a id="([^"]+)">', document.read_text())])


def links(document: Path) -> list[tuple[Path, str]]:
    """Those to files: where they lead, and the heading there."""
    return [
        ((document.parent / target).resolve() if target else document, heading.removeprefix("#"))
        for target, heading in re.findall(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)", prose(document))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_every_link_leads_to_a_file_and_to_a_heading_that_is_there(document: Path) -> None:
    for target, heading in links(document):
        assert target.exists(), target
        assert not heading or heading in anchors(target), f"{target.name}#{heading}"


def test_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `thing`, or two\n\n```\n# none\n```\n## Two\n## Two\n[a](#two-1) [b](other.md#x) [c](https://a.b/c)\n"
    )
    assert anchors(page) == {"one-thing-or-two", "two", "two-1"}
    assert links(page) == [(page, "two-1"), (tmp_path / "other.md", "x")]


def test_index_leads_to_every_page() -> None:
    led_to = {target for target, _ in links(DOCS / "README.md")}
    pages = {page for page in DOCS.glob("*.md") if page.name != "README.md"}
    assert pages - led_to == set()


def test_reference_leads_to_the_page_of_every_driver() -> None:
    led_to = {target for target, _ in links(DOCS / "configuration.md")}
    assert set((DOCS / "drivers").glob("*.md")) - led_to == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=_ids(DOCUMENTS))
def test_no_two_places_of_a_document_have_one_name(document: Path) -> None:
    named = re.findall(r'<a id="([^"]+)">', document.read_text())
    assert len(named) == len(set(named))
