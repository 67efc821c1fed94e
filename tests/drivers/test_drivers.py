"""Which drivers there are, those of third parties too, and the options all of them share."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import drivers
from drivers.driver import Driver, DriverOptions, Metric, Settable
from gateway.clock import system_clock
from gateway.errors import LinkLost, Refused
from gateway.model import Value

REPOSITORY = Path(__file__).parents[2]


def test_our_own_drivers_are_all_found() -> None:
    assert set(drivers.DRIVERS) <= set(drivers.names())
    assert list(drivers.names()) == sorted(drivers.names())
    for name in drivers.DRIVERS:
        assert isinstance(drivers.find(name), Driver)


def test_every_driver_of_ours_has_its_folder_and_every_folder_its_driver() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "drivers").glob("*/__init__.py")}
    assert folders == {*drivers.DRIVERS, "testing"}


def test_unknown_driver_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        drivers.find("toaster")


def install(folder: Path, name: str, target: str, source: str) -> None:
    """A third party's package, as pip would leave it."""
    (folder / "acme.py").write_text(source)
    info = folder / "acme_driver-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-driver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sallyport.drivers]\n{name} = {target}\n")


GOOD = """
from drivers.driver import Driver, DriverOptions, listening
from drivers.json.codec import JsonLines

class Options(DriverOptions):
    flavour: str = "sour"

def decoder(options):
    return JsonLines(max_line=100, max_depth=1)

DRIVER = Driver(summary="Acme scales", options=Options, decoder=decoder, open=listening(decoder))
"""


def asked(folder: Path, question: str) -> str:
    """The answer of a fresh interpreter that finds this folder's packages: ours would remember."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(folder)!r})\nimport drivers\n{question}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return (run.stdout + run.stderr).decode().strip()


def test_third_partys_driver_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path, "acme", "acme:DRIVER", GOOD)
    answer = asked(
        tmp_path,
        "print(drivers.names(), drivers.find('acme').summary)\n"
        "print(drivers.find('acme').options(driver='acme', port='/dev/ttyS0').flavour)",
    )
    names, flavour = answer.splitlines()
    assert names == f"{tuple(sorted([*drivers.names(), 'acme']))} Acme scales"
    assert flavour == "sour"


def test_third_partys_driver_does_not_replace_ours(tmp_path: Path) -> None:
    install(tmp_path, "json", "acme:DRIVER", GOOD)
    assert asked(tmp_path, "print(drivers.names().count('json'), drivers.find('json').summary)").startswith(
        "1 newline-delimited JSON"
    )


@pytest.mark.parametrize(("source", "found"), [("DRIVER = object()", "object"), ("DRIVER = dict", "type")])
def test_entry_point_that_names_no_driver_is_a_clear_type_error(
    tmp_path: Path, source: str, found: str
) -> None:
    install(tmp_path, "acme", "acme:DRIVER", source)
    assert asked(tmp_path, "drivers.find('acme')").endswith(
        f"TypeError: driver 'acme': expected a drivers.driver.Driver, found {found}"
    )


def test_broken_entry_point_stands_in_the_list_and_fails_when_it_is_wanted(tmp_path: Path) -> None:
    install(tmp_path, "acme", "acme:DRIVER", "import no_such_module")
    assert "'acme'" in asked(tmp_path, "print(drivers.names())")
    assert "No module named 'no_such_module'" in asked(tmp_path, "drivers.find('acme')")


# What every device may be told


def options(**given: Any) -> DriverOptions:
    return DriverOptions(**{"driver": "json", "port": "/dev/ttyUSB0", **given})


def test_defaults_are_those_of_most_instruments() -> None:
    defaults = options()
    assert (defaults.baudrate, defaults.data_bits, defaults.parity, defaults.stop_bits) == (
        9600,
        8,
        "none",
        1,
    )
    assert defaults.flow_control == "none"
    assert defaults.exclusive
    assert (defaults.stale_after, defaults.retry_max) == (60.0, 5.0)


@pytest.mark.parametrize(
    "given",
    [
        {"stop_bits": 2},
        {"stop_bits": 1.5, "port": "rfc2217://192.0.2.7:4001"},
        {"stop_bits": 1.5, "port": "tcp://192.0.2.7:4001"},
        {"data_bits": 5},
        {"parity": "space"},
        {"flow_control": "xon/xoff"},
        {"baudrate": 4_000_000},
        {"stale_after": "never"},
        {"stale_after": "100ms"},
        {"retry_max": "1h"},
    ],
)
def test_sensible_options_are_taken(given: dict[str, Any]) -> None:
    options(**given)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"stop_bits": 1.25}, "must be 1, 1.5 or 2"),
        ({"stop_bits": 1.5}, "works with rfc2217:// only"),
        ({"data_bits": 9}, "data_bits"),
        ({"parity": "E"}, "'none', 'even', 'odd', 'mark' or 'space'"),
        ({"flow_control": "dsr/dtr"}, "'none', 'rts/cts' or 'xon/xoff'"),
        ({"baudrate": 49}, "greater than or equal to 50"),
        ({"baudrate": 4_000_001}, "less than or equal to 4000000"),
        ({"stale_after": "0s"}, "greater than or equal to 0.1"),
        ({"stale_after": 5}, "must be a duration with its unit"),
        ({"retry_max": "0s"}, "greater than or equal to 0.1"),
        ({"retry_max": "never"}, "must be a duration with its unit"),
        ({"port": ""}, "at least 1 character"),
        ({"port": "ttyUSB0"}, "must be a whole path"),
        ({"baud": 9600}, "Extra inputs are not permitted"),
    ],
)
def test_other_options_are_refused_with_a_reason(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        options(**given)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("name", "line", "cut", "values"),
    [
        ("mysensors", b"1;0;1;0;17;1234\n", b"1;0;1;0;17;12", {"node1.child0.power": 1234}),
        ("text", b"+0026.90 G S\n", b"+0026.9", {"weight": 26.9, "stable": True}),
    ],
)
async def test_line_that_a_hang_up_cuts_is_no_reading(
    name: str, line: bytes, cut: bytes, values: dict[str, Value]
) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line + cut)
        writer.close()

    driver = drivers.find(name)
    found = []
    async with asyncio.timeout(10), await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options = driver.options.model_validate({"driver": name, "port": url})
        async with driver.open("device", options, system_clock) as device:
            with pytest.raises(LinkLost):
                async for reading in device.readings():
                    found.append(reading.values)  # noqa: PERF401 - it raises
    assert found == [values]


@pytest.mark.parametrize(
    ("choices", "value", "is_allowed"),
    [
        ((60, 100), 60, True),
        ((60, 100), 60.0, True),
        ((60.0, 100.0), 60, True),
        ((60, 100), 61, False),
        ((0, 1), True, False),
        ((False, True), 1, False),
        ((False, True), True, True),
        (("on", "off"), "on", True),
        (("1", "0"), 1, False),
    ],
)
def test_choice_is_a_number_however_it_is_written(
    choices: tuple[Value, ...], value: Value, is_allowed: bool
) -> None:
    with nullcontext() if is_allowed else pytest.raises(Refused, match="it may be"):
        Settable(choices=choices).check("pulse", value)


class Counted:
    """A driver that counts how often it is asked what a device reports."""

    def __init__(self) -> None:
        self.asked = 0
        self.driver = replace(drivers.find("json"), described=self._described)

    def _described(self, options: DriverOptions) -> Mapping[str, Metric]:
        self.asked += 1
        return {f"{options.names} {number}": Metric("", "", settable=Settable()) for number in range(3)}


def test_what_a_device_reports_is_made_once_for_its_options() -> None:
    counted, options = Counted(), DriverOptions(driver="json", port="/dev/null")
    for number in range(3):
        assert counted.driver.meant(options, f"readable {number}", 1) == f"readable {number}"
    assert counted.driver.describe(options) is counted.driver.describe(options)
    assert counted.asked == 1
    assert Counted().driver.describe(options) is not counted.driver.describe(options), "of another driver"


def test_options_that_have_been_asked_about_are_equal_to_those_that_have_not_and_written_like_them() -> None:
    counted = Counted()
    asked, fresh = (DriverOptions(driver="json", port="/dev/null") for _ in range(2))
    counted.driver.describe(asked)
    assert (asked, asked.model_dump(), repr(asked)) == (fresh, fresh.model_dump(), repr(fresh))
    assert asked.model_dump_json() == fresh.model_dump_json()


def test_copy_of_options_with_a_change_reports_what_it_says() -> None:
    counted, options = Counted(), DriverOptions(driver="json", port="/dev/null")
    assert "readable 0" in counted.driver.describe(options)
    copied = options.model_copy(update={"names": "protocol"})
    assert "protocol 0" in counted.driver.describe(copied)
