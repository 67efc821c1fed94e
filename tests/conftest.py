import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.contracts", "tests.support")

collect_ignore = ["third_party"]  # a package of its own; test_third_party.py installs it and runs its tests

from tests.support.loops import RealTimeLoop, VirtualTimeLoop  # noqa: E402 - rewritten, too

# Neither judges by the clock how long an example takes: the machine may be busy.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes take from this list: what waits is spread evenly among what computes.

    `xdist_group` keeps together what shares something that takes long to make; the largest group comes first.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    system = Path(__file__).parent / "system"
    waiting = [item for item in items if item.path.is_relative_to(system)]
    computing = [item for item in items if not item.path.is_relative_to(system)]
    place = {item: number / len(kind) for kind in (waiting, computing) for number, item in enumerate(kind)}
    items.sort(key=place.__getitem__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Coverage follows no `repetitive` test, nor the processes it starts: that takes several times their own time."""
    if item.get_closest_marker("repetitive") is None:
        return (yield)
    followed, threads_followed = sys.gettrace(), threading.gettrace()
    for_processes = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        threading.settrace(threads_followed)
        sys.settrace(followed)
        if for_processes is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = for_processes


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 - the hook's signature
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"real": RealTimeLoop} if item.get_closest_marker("real_time") else {"virtual": VirtualTimeLoop}


def _descriptors() -> dict[str, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[link.name] = str(link.readlink())
        except OSError:
            continue  # the listing's own
    return found


_before = pytest.StashKey[tuple[dict[str, str], set[threading.Thread]]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    gc.collect(0)
    item.stash[_before] = (_descriptors(), set(threading.enumerate()))
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """No test leaves a descriptor or a thread behind. (Tasks: `tests/support/loops.py`.)"""
    result = yield
    descriptors, threads = item.stash[_before]
    for _ in range(100):  # a closing thread may need a moment
        left = {name: to for name, to in _descriptors().items() if descriptors.get(name) != to}
        running = [each.name for each in threading.enumerate() if each not in threads]
        if not left and not running:
            return result
        gc.collect()
        time.sleep(0.01)
    pytest.fail(f"left behind: descriptors {left}, threads {running}")


@pytest.fixture
def captures() -> Path:
    """The captures of other people's instruments; see CONTRIBUTING."""
    folder = os.environ.get("SALLYPORT_CAPTURES")
    if not folder:
        pytest.skip("SALLYPORT_CAPTURES is not set: the shared captures are not here")
    return Path(folder)
