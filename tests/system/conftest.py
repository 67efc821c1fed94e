from collections.abc import Iterator

import pytest

from tests.support.box import Box


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One for all tests of a process that leave it as they found it. `sallyport` is in it; no unit is."""
    with Box.running(tmp_path_factory.mktemp("box")) as running:
        running.install_quickly()
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has the box that tests share: each other one would boot another."""
    for item in items:
        if "box" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("box"))
