"""A gateway that is stuck, under a real systemd: it is restarted, and the journal says first where it was.

All are stuck side by side, each a `sallyport@` of its own, with a shorter watchdog than the unit's: what health has
patience for goes with that.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.box import Box
from tests.support.box_site import BOARD, clear, configure, start_board, start_broker
from tests.support.rogue_driver import entry_point

pytestmark = pytest.mark.real_time

PATIENCE_S = 100.0

SHORTER = "[Service]\nWatchdogSec=4s\n"

OUTER, INNER = "/srv/outer", "/var/lib/sallyport/disk"

MOUNT = f"""\
for number in {{0..9}}; do [ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number; done
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
disk() {{ truncate -s "$1" "$2"; mkfs.ext4 -q "$2"; mkdir -p "$3"; mount -o loop "$2" "$3"; }}
disk 64M /root/outer.img {OUTER}
disk 32M {OUTER}/inner.img {INNER}
"""
"""A disk on a disk: when the outer one is frozen, the inner one still takes what is written to it, in memory, and
does not come back from forcing it down: so does a disk that is broken."""

DEEDS = {
    "loop": "wedges the loop",
    "interpreter": "keeps the interpreter",
    "child": "never shuts",
    "thread": "holds the disk's thread",
    "disk": "nothing",
    "stopped": "nothing",
}

WEDGED, WAITS = "the event loop: stuck", "journal: the disk: stuck"

STUCK = {
    "loop": (WEDGED, "rogue_driver.py"),
    "child": ("device rogue: closing: stuck", "rogue_driver.py"),
    "thread": (WAITS, "in Journal._on_disk"),
    # By what the loop writes into memory beside it: a page that is on its way to such a disk takes nothing.
    "disk": (f"{WEDGED}|{WAITS}", "gateway/journal/(slate|store).py"),
}


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def _restarted(box: Box, name: str) -> bool:
    return box.properties(_unit(name), "NRestarts")["NRestarts"] != "0"


def _reads(box: Box, name: str) -> bool:
    """Again, since `status` is what a new process says."""
    return box.properties(_unit(name), "StatusText")["StatusText"].startswith("1 device, 1 online")


def _unit(name: str) -> str:
    return f"sallyport@{name}.service"


@pytest.fixture
def ward(box: Box) -> Iterator[Box]:
    """A box with a driver that does not behave, and a disk that can be frozen."""
    [packages] = box.sh("python3 -c 'import site; print(site.getsitepackages()[0])'").splitlines()
    about = f"{packages}/sallyport_rogue-1.dist-info"
    for name, text in entry_point().items():
        box.write(f"{about}/{name}", text)
    box.write("/etc/systemd/system/sallyport@.service.d/test.conf", SHORTER)
    box.systemctl("daemon-reload")
    try:
        box.sh(MOUNT)
        yield box
    finally:
        box.run("fsfreeze", "--unfreeze", OUTER, check=False)
        clear_disk = f"rm -r {about}; umount {INNER}; umount {OUTER}; rm /root/outer.img"
        kill = "systemctl kill --signal KILL 'sallyport@*'"  # they would be waited for, stuck as they are
        box.sh(f"{kill}; systemctl stop 'sallyport*'; {clear_disk}")
        clear(box)


def test_whatever_is_stuck_leads_to_a_restart_and_says_first_where_it_was(ward: Box) -> None:
    for name, deed in DEEDS.items():
        device = (
            f'[devices.rogue]\ndriver = "rogue"\nport = "/dev/null"\nretry_max = "200ms"\ndeed = "{deed}"\n'
        )
        configure(ward, f'[gateway]\nname = "{name}"\n{device}', name=name)
    ward.systemctl("start", *map(_unit, DEEDS))
    # Whatever happens to us: nothing may stay frozen.
    ward.sh(f"systemd-run --quiet --on-active={PATIENCE_S} --unit thaw fsfreeze --unfreeze {OUTER}")
    ward.sh(f"systemctl kill --signal STOP --kill-whom main {_unit('stopped')}; fsfreeze --freeze {OUTER}")

    def aborted(name: str) -> bool:
        return any("Watchdog timeout" in line for line in ward.journal(_unit(name)))

    _until(lambda: aborted("disk"))
    ward.sh(f"fsfreeze --unfreeze {OUTER}; systemctl stop thaw.timer")  # no signal ends a process before
    for name in DEEDS:
        _until(partial(_restarted, ward, name))
        said = "\n".join(ward.journal(_unit(name)))
        assert "Watchdog timeout (limit 4s)!" in said
        diagnosis, aborted_, rest = said.partition("Fatal Python error: Aborted")
        assert aborted_, said
        if name in STUCK:
            stuck, place = STUCK[name]
            found = re.search(f"health: ({stuck}): .*", diagnosis, re.DOTALL)
            assert found, said
            assert re.search(place, found[0]), said
            assert "health: thread MainThread:" in found[0], said
            assert "health: task devices:" in found[0], said
        else:
            assert ": stuck: " not in diagnosis, said
        if name == "interpreter":
            assert "rogue_driver.py" in rest, said
    for name in ("disk", "stopped"):
        _until(partial(_reads, ward, name))


def test_stop_that_hands_on_a_backlog_may_take_longer_than_systemd_waits(ward: Box) -> None:
    """TimeoutStopSec= is two seconds here; the backlog takes five, with so many readings a second."""
    ward.write(
        "/etc/systemd/system/sallyport.service.d/test.conf", "[Service]\nWatchdogSec=4s\nTimeoutStopSec=2s\n"
    )
    ward.systemctl("daemon-reload")
    configure(
        ward,
        '[gateway]\nname = "test"\nstop_timeout = "60s"\n[mqtt]\ncatch_up_rate = 300\nretry_max = "200ms"\n'
        f"{BOARD}",
    )
    start_board(ward, every_s=0.002)
    ward.systemctl("stop", "mosquitto")  # Debian's, which is there from the beginning
    ward.systemctl("start", "sallyport")
    _until(lambda: _backlog(ward) > 2500)
    ward.systemctl("stop", "board")
    start_broker(ward)
    _until(lambda: "broker connected" in ward.properties("sallyport", "StatusText")["StatusText"])
    assert _backlog(ward) > 1500
    ward.systemctl("stop", "sallyport")
    assert ward.properties("sallyport", "Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}
    said = "\n".join(ward.journal("sallyport"))
    assert "0 left" in said, said
    assert "timed out" not in said, said


def _backlog(box: Box) -> int:
    found = re.search(r"backlog (\d+)", box.properties("sallyport", "StatusText")["StatusText"])
    return int(found[1]) if found else 0
