from collections.abc import Iterator

import pytest

from tests.support.box import Box


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One for all tests of a process that leave it as they found it. `sallyport` is in it; no unit is."""
    with Box.running(tmp_path_factory.mktemp("box")) as running:
        running.install_quickly()
        yield running
