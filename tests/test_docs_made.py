"""Pages that are made of the program are as `scripts/docs` makes them, and others agree with them."""

import re
from pathlib import Path

import pytest

import drivers
from drivers.driver import DriverOptions
from gateway.config import Config, GatewayOptions, JournalOptions
from gateway.source import IN_PLACE
from scripts.handbook import DOCS, pages
from scripts.handbook.options import effects

PAGES = pages()
REFERENCE = PAGES[DOCS / "configuration.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_that_is_made_of_the_program_is_as_the_program_is_now(page: Path) -> None:
    assert page.read_text() == PAGES[page], "run scripts/docs"


def test_each_driver_has_its_page_and_no_other_is_left() -> None:
    assert {page.stem for page in (DOCS / "drivers").iterdir()} == set(drivers.DRIVERS)


def test_reference_has_every_table() -> None:
    headings = {
        heading.partition(".")[0] for heading in re.findall(r"^## `\[(.*)\]`$", REFERENCE, re.MULTILINE)
    }
    assert headings == Config.model_fields.keys() - {"warnings", "further_brokers"}


def test_reference_says_what_a_reload_does() -> None:
    assert effects("devices", "name", DriverOptions) == {
        key: "in place" if key in IN_PLACE else "opens the port anew" for key in DriverOptions.model_fields
    }
    assert effects("gateway", "", GatewayOptions)["name"] == "at the next start"
    assert effects("journal", "", JournalOptions)["sync"] == "in place"


def test_page_on_reloading_names_the_options_that_change_in_place_and_those_that_wait() -> None:
    text = (DOCS / "reloading.md").read_text()
    [in_place] = re.findall(r"^\| of a device (.*?) \| in place", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", in_place)) == IN_PLACE
    [waiting] = re.findall(r"^\| (.*?) \| at the next start", text, re.MULTILINE)
    named = {
        f"{section}.{key}"
        for section, model in (("gateway", GatewayOptions), ("journal", JournalOptions))
        for key, effect in effects(section, "", model).items()
        if effect == "at the next start"
    }
    assert set(re.findall(r"`([\w.]+)`", waiting)) == named


@pytest.mark.parametrize(
    ("option", "row"),
    [
        ("journal.sync", '| duration, `"always"` or `"never"` | `"200ms"` |'),
        ("journal.max_size", "Between 1MB and 1000GB."),
        ("mqtt.urls", "| array: URL | — |"),
        ("mqtt.password", "| secret | — |"),
        ("devices.port", "| text | required |"),
        ("devices.filters", "| array: table | `[]` |"),
        ("rules.each", "| array: text | — |"),
        ("rules.labels", "| table, by name: text | `{}` |"),
        ("rules.do.set", "| table, by name: any value | required |"),
        ("devices.parity", '| `"none"`, `"even"`, `"odd"`, `"mark"` or `"space"` | `"none"` |'),
    ],
)
def test_reference_shows_values_as_people_write_them(option: str, row: str) -> None:
    [line] = [line for line in REFERENCE.splitlines() if line.startswith(f'| <a id="{option}"></a>')]
    assert row in line
