"""Who may import whom: a module imports only from lines below its own; neighbours do not know each other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LINES = [
    ["gateway.__main__"],
    ["gateway.cli"],
    ["gateway.commands", "gateway.arguments"],
    ["gateway.app"],
    ["gateway.vitals", "gateway.web"],
    [
        "gateway.accounts",
        "gateway.alerting",
        "gateway.control",
        "gateway.homeassistant",
        "gateway.intercom",
        "gateway.loudness",
        "gateway.dump",
        "gateway.live",
        "gateway.overview",
        "gateway.recovery",
        "gateway.reloading",
        "gateway.switchboard",
        "gateway.tallies",
    ],
    ["gateway.brokers", "gateway.devices"],
    ["gateway.plan"],
    ["gateway.publish", "gateway.notify", "gateway.source", "gateway.actions"],
    ["gateway.config"],
    ["gateway.rules"],
    [
        "drivers",
        "gateway.bus",
        "gateway.wire",
        "gateway.journal",
        "gateway.supervisor",
        "gateway.remembrance",
        "gateway.request",
        "gateway.health",
    ],
    ["gateway.logs"],
    [
        "gateway.pacing",
        "gateway.clock",
        "gateway.filters",
        "gateway.kept",
        "gateway.systemd",
        "gateway.stacks",
    ],
    ["gateway.model", "gateway.errors", "gateway.units", "gateway.ucum", "gateway"],
]
"""STYLE's picture, top to bottom; each entry is a room: a module or a whole package."""


def _modules() -> Iterator[tuple[str, Path]]:
    for package in ("gateway", "drivers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _place(module: str) -> tuple[int, str]:
    """Line and room of a module."""
    homes = [
        (len(room), line, room)
        for line, rooms in enumerate(LINES)
        for room in rooms
        if module == room or (module.startswith(room + ".") and room != "gateway")
    ]
    assert homes, f"{module} has no room yet: give it one in {Path(__file__).name} and in CONTRIBUTING"
    _, line, room = max(homes)
    return line, room


def _imports(path: Path) -> Iterator[str]:
    known = {name for name, _ in _modules()}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name in known:
                yield name
            elif (module := name.rpartition(".")[0]) in known:
                yield module


@pytest.mark.parametrize(("module", "path"), list(_modules()), ids=[name for name, _ in _modules()])
def test_module_imports_only_from_the_lines_below_its_own(module: str, path: Path) -> None:
    line, room = _place(module)
    for imported in _imports(path):
        below, other = _place(imported)
        assert other == room or below > line, f"{module} must not import {imported}: it is above or beside it"


def test_rule_catches_an_import_that_points_up(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("from gateway import app\nfrom gateway.publish.forwarder import Forwarder\n")
    assert list(_imports(offender)) == ["gateway.app", "gateway.publish.forwarder"]
    assert _place("gateway.bus")[0] > _place("gateway.app")[0]


def test_only_the_port_and_the_list_of_ports_import_the_serial_library() -> None:
    users = [
        name
        for name, path in _modules()
        if re.search(r"^(import|from) serialx", path.read_text(), re.MULTILINE)
    ]
    assert users == ["drivers.port", "drivers.ports"]


def test_only_one_file_knows_toml() -> None:
    users = [name for name, path in _modules() if "import tomllib" in path.read_text()]
    assert users == ["gateway.config.page", "drivers.testing.contract"]  # a contract reads the samples


def test_exception_is_caught_wholesale_in_one_place_only() -> None:
    users = [name for name, path in _modules() if re.search(r"except Exception\b", path.read_text())]
    assert users == ["gateway.supervisor"]


def test_only_the_clock_reads_the_wall() -> None:
    reading = re.compile(
        r"\b(time\.time\(|time_ns\(|datetime\.now\(|utcnow\(|localtime\(|gmtime\(|\.today\(|CLOCK_REALTIME)"
    )
    users = [name for name, path in _modules() if reading.search(path.read_text())]
    assert users == ["gateway.clock"]
