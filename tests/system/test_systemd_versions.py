"""The units under the oldest systemd and a new one; test_service.py has the box's own. Their trees take a minute."""

import re
from collections.abc import Iterator

import pytest

from tests.support.box import PROJECT, Box
from tests.support.box_site import clear, configure
from tests.system.test_service import adjust, check_probe, check_units, probed

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(600)]

READY = """\
[Service]
ExecStart=
ExecStart=/usr/bin/python3 -c 'import os, socket, time; \\
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"]); \\
    print(open(os.environ["CREDENTIALS_DIRECTORY"] + "/mqtt-password").read(), flush=True); time.sleep(60)'
"""
"""In place of the gateway, whose packages fit the Python of this machine only."""

SUITES = {"bullseye": "usrmerge", "trixie": "udev umockdev"}
"""With systemd 247 and 257; and what their trees need besides: a real bullseye has one /usr."""


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    suite = request.param
    with Box.running(
        tmp_path_factory.mktemp("machine"),
        kind=f"-{suite}", SYSTEMD_BOX_SUITE=suite, SYSTEMD_BOX_INCLUDE=SUITES[suite],
    ) as box:  # fmt: skip
        box.install_quickly()
        yield box
        clear(box)


def version(box: Box) -> int:
    return int(box.systemctl("--version").split()[1])


def test_units_are_understood_and_little_is_exposed(machine: Box) -> None:
    check_units(machine)


def test_sandbox_holds(machine: Box) -> None:
    check_probe(probed(machine))
    machine.sh("rm -r /etc/systemd/system/sallyport.service.d; systemctl daemon-reload")


def test_service_becomes_ready_with_its_credential_and_comes_back_as_this_systemd_can(machine: Box) -> None:
    configure(machine, "")
    machine.write("/etc/sallyport/credentials/mqtt-password", "hunter2\n", mode="600")
    adjust(machine, "sallyport.service", READY)
    machine.systemctl("start", "sallyport")
    assert "hunter2" in machine.journal("sallyport")
    grows = "RestartMaxDelayUSec=30s" in machine.systemctl("show", "sallyport")
    assert grows == (version(machine) >= 254)


def test_port_has_names_that_stay(machine: Box) -> None:
    if machine.run("sh", "-c", "command -v umockdev-run", check=False).returncode:
        pytest.skip("there is no umockdev in this release's tree")
    machine.run("udevadm", "verify", "/usr/local/lib/udev/rules.d/61-sallyport.rules")
    device = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0"
    told = machine.run(
        *("umockdev-run", "--device", f"{PROJECT}/tests/support/adapter.umockdev", "--"),
        *("udevadm", "test", "--action=add", device),
    )
    links = re.search(r"DEVLINKS=(.*)", told.stdout + told.stderr)
    assert links
    assert {link for link in links[1].split() if link.startswith("/dev/sallyport")} == {
        "/dev/sallyport/by-serial/0403-6001-A50285BI-if00-port0",
        "/dev/sallyport/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0",
    }
    assert "dialout" in told.stdout + told.stderr
