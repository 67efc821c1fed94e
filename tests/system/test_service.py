"""The units under a real systemd: what they let the gateway do, and nothing else."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal.opening import boot_id
from tests.support.box import PROJECT, ROOT, SHARED, Box
from tests.support.box_site import BOARD, CONFIG, clear, configure, start_board, start_broker, subscribed
from tests.support.gateway_process import until
from tests.support.papers import LOOPBACK, Authority

pytestmark = pytest.mark.real_time

UNITS = ["sallyport.service", "sallyport@.service"]

PROBE = f"""\
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/python3 {PROJECT}/tests/support/probe.py
Restart=no
"""


@pytest.fixture
def service(box: Box) -> Iterator[Box]:
    """A box whose gateway nobody has configured yet; everything is as before at the end."""
    yield box
    clear(box)


def adjust(box: Box, unit: str, text: str) -> None:
    """As `systemctl edit` does."""
    box.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
    box.systemctl("daemon-reload")


def probed(box: Box) -> dict[str, str]:
    """What the gateway could do, were it somebody else's."""
    configure(box, "")
    box.sh(
        'install -d -o sallyport /home/somebody; touch "/tmp/somebody\'s";'
        "device() { mknod -m 660 /dev/probe-$1 c $2 $3; chgrp dialout /dev/probe-$1; };"
        "device ttyUSB 188 0; device ttyACM 166 0; device ttyS 4 64; device mem 1 1; device tun 10 200"
    )
    adjust(box, "sallyport.service", PROBE)
    box.systemctl("start", "sallyport")
    [found] = [line for line in box.journal("sallyport") if line.startswith("{")]
    box.sh("rm -r /home/somebody /tmp/somebody* /dev/probe-*")
    return dict(json.loads(found))


NO_SUCH_PORT = {"done", "ENXIO", "ENODEV", "EIO"}
"""From a driver that is there, or not: what forbids a device says EPERM."""

WAYS_OF_REFUSING = {"EPERM", "EACCES", "EROFS", "ENOENT", "EAFNOSUPPORT"}


def check_probe(found: dict[str, str]) -> None:
    capabilities = {found.pop(name) for name in [*found] if name.startswith("Cap")}
    assert capabilities == {"0" * 16}
    assert (found.pop("NoNewPrivs"), found.pop("Seccomp")) == ("1", "2")
    needed = [*found][: [*found].index("write its configuration")]
    assert {what: how for what, how in found.items() if what in needed and how not in NO_SUCH_PORT} == {}
    forbidden = {what: how for what, how in found.items() if what not in needed}
    assert len(forbidden) > 20
    assert {what: how for what, how in forbidden.items() if how not in WAYS_OF_REFUSING} == {}
    assert forbidden["open the memory"] == forbidden["open another device"] == "EPERM"


def exposure(box: Box, unit: str) -> float:
    shown = box.run("systemd-analyze", "security", "--no-pager", unit).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown)
    assert found, shown
    return float(found[1])


def check_units(box: Box) -> None:
    configure(box, "")
    for unit in ("sallyport.service", "sallyport@other.service"):
        said = box.run("systemd-analyze", "verify", f"/usr/local/lib/systemd/system/{unit}")
        assert (said.stdout, said.stderr) == ("", "")
    for unit in UNITS:
        assert exposure(box, unit) <= 1.5


def test_both_units_say_the_same_but_for_names_and_folders() -> None:
    one, many = ((ROOT / "systemd" / unit).read_text().splitlines() for unit in UNITS)
    assert [(ours, theirs) for ours, theirs in zip(one, many, strict=True) if ours != theirs] == [
        (
            "Description=Sallyport, serial-to-MQTT gateway",
            "Description=Sallyport, serial-to-MQTT gateway %i",
        ),
        (
            "ExecStart=/opt/sallyport/current/bin/sallyport run --config /etc/sallyport/gateway.toml",
            "ExecStart=/opt/sallyport/current/bin/sallyport run --config /etc/sallyport/%i.toml",
        ),
        ("StateDirectory=sallyport", "StateDirectory=sallyport/%i"),
        ("RuntimeDirectory=sallyport", "RuntimeDirectory=sallyport@%i"),
    ]


def test_systemd_finds_nothing_to_say_against_the_units_and_little_that_is_exposed(service: Box) -> None:
    check_units(service)


def test_gateway_may_do_what_it_lives_on_and_nothing_else(service: Box) -> None:
    check_probe(probed(service))


TLS = f"""\
listener 8883 127.0.0.1
cafile {SHARED}/ca/ca.pem
certfile {SHARED}/ca/broker.pem
keyfile {SHARED}/ca/broker.key
password_file /etc/broker.passwords
"""

SITE = f"""\
[gateway]
name = "test"
stop_timeout = "100ms"

[mqtt]
url = "mqtts://127.0.0.1:8883"
username = "greenhouse"
password = {{ credential = "mqtt-password" }}
tls = {{ ca = "/etc/sallyport/ca.pem" }}
retry_max = "200ms"

{BOARD}
[devices.remote]
driver = "json"
port = "tcp://127.0.0.1:4001"
retry_max = "200ms"

[rules.counting]
when = "board.n > 0"
notify = ["hook"]

[notify.hook]
url = "http://127.0.0.1:8080/alerts"
group_wait = "0s"
"""


REMOTE = """\
#!/bin/sh
while echo '{"n":1}'; do sleep 0.05; done
"""


async def test_ports_tls_credentials_and_notifications_work_in_the_sandbox(
    service: Box, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca", "Test CA")
    authority.papers("broker", LOOPBACK)
    shutil.copytree(tmp_path / "ca", service.shared / "ca")
    service.sh("touch /etc/broker.passwords; mosquitto_passwd -b /etc/broker.passwords greenhouse hunter2")
    start_broker(service, TLS)
    start_board(service)
    (service.shared / "posts").touch()
    service.write("/run/remote", REMOTE, mode="755")
    service.sh(
        "systemd-run --quiet --unit remote socat TCP-LISTEN:4001,fork,reuseaddr EXEC:/run/remote;"
        f"systemd-run --quiet --unit hook socat -u TCP-LISTEN:8080,fork,reuseaddr OPEN:{SHARED}/posts,creat,append;"
        f"cp {SHARED}/ca/ca.pem /etc/sallyport"
    )
    service.write("/etc/sallyport/credentials/mqtt-password", "hunter2\n", mode="600")
    configure(service, SITE)
    service.systemctl("daemon-reload")
    service.systemctl("start", "sallyport")
    async with subscribed(service) as subscriber:
        await subscriber.has(5, "board")
        await subscriber.has(5, "remote")
        await until(lambda: "POST /alerts " in (service.shared / "posts").read_text())


SHOW_CREDENTIALS = """\
[Service]
Type=oneshot
ExecStart=
ExecStart=/bin/sh -c 'cd $CREDENTIALS_DIRECTORY && grep . *'
Restart=no
"""


def test_gateway_starts_without_credentials_and_is_given_those_that_are_there(service: Box) -> None:
    configure(service, "")
    service.systemctl("start", "sallyport")
    service.systemctl("stop", "sallyport")
    service.sh(
        "cd /etc/sallyport/credentials; echo a >one; echo b >second.pem; echo c >'no good'; mkdir folder; chmod 600 *"
    )
    for unit in ("sallyport.service", "sallyport@other.service"):
        adjust(service, unit, SHOW_CREDENTIALS)
        service.systemctl("start", unit)
        shown = service.journal(unit)
        assert {"one:a", "second.pem:b"} <= {*shown}
        assert not any(line.startswith(("no good:", "folder:")) for line in shown)


def test_wrong_configuration_is_said_once_and_not_tried_again(service: Box) -> None:
    configure(service, "[mqtt]\nurl = 5\n")
    assert service.run("systemctl", "start", "sallyport", check=False).returncode == 1
    properties = service.properties("sallyport", "ActiveState", "ExecMainStatus", "NRestarts")
    assert properties == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert sum("gateway.toml:2:" in line for line in service.journal("sallyport")) == 1


async def test_gateway_that_was_killed_is_back_and_goes_on_counting(service: Box) -> None:
    start_broker(service)
    start_board(service)
    configure(service)
    adjust(service, "sallyport.service", "[Service]\nRestartSec=100ms\n")
    async with subscribed(service) as subscriber:
        service.systemctl("start", "sallyport")
        await subscriber.has(20)
        service.systemctl("kill", "--signal=KILL", "sallyport")
        killed = len(subscriber.readings())
        await subscriber.has(killed + 20)
        assert service.properties("sallyport", "NRestarts") == {"NRestarts": "1"}
        service.systemctl("stop", "sallyport")
        seqs = [each["seq"] for each in subscriber.readings()]
    assert sorted({*seqs}) == [*range(1, max(seqs) + 1)]


async def test_reload_reads_a_new_port_and_goes_on_with_the_same_process(service: Box) -> None:
    start_broker(service)
    start_board(service)
    configure(service, '[gateway]\nname = "test"\n')
    async with subscribed(service) as subscriber:
        service.systemctl("start", "sallyport")
        before = service.properties("sallyport", "MainPID")
        configure(service)
        service.systemctl("reload", "sallyport")
        await subscriber.has(5)
        configure(service, "[mqtt]\nprot = 1\n")
        refused = service.run("systemctl", "reload", "sallyport", check=False)
        assert refused.returncode != 0
        assert any("mqtt.prot: unknown key" in line for line in service.journal("sallyport"))
        await subscriber.has(len(subscriber.readings()) + 5)
    assert service.properties("sallyport", "MainPID", "NRestarts") == {**before, "NRestarts": "0"}


def test_reload_that_takes_its_time_may_take_longer_than_systemd_waits(service: Box) -> None:
    """The file is a pipe: it comes when somebody writes it, as one on a server that is away for a while."""
    adjust(service, "sallyport.service", "[Service]\nWatchdogSec=4s\nTimeoutStartSec=2s\n")
    file = "/etc/sallyport/gateway.toml"
    configure(service, "")
    service.systemctl("start", "sallyport")
    configure(service, "[gateway]\nstatus_interval = '20s'\n", name="next")
    service.sh(f"rm {file}; mkfifo -m 640 {file}; chgrp sallyport {file}")
    slow = f"sleep 8; cat /etc/sallyport/next.toml >{file}"
    service.sh(f"({slow}) & systemctl reload sallyport; wait")
    said = "\n".join(service.journal("sallyport"))
    assert "reload: change: gateway (status_interval)" in said, said
    assert "timed out" not in said, said


async def test_several_gateways_on_one_machine_do_not_know_each_other(service: Box) -> None:
    start_broker(service)
    start_board(service)
    configure(service, '[gateway]\nname = "main"\n')
    configure(service, CONFIG.replace('"test"', '"one"'), name="one")
    configure(service, CONFIG.replace('"test"', '"two"').replace("/run/board", "/run/other"), name="two")
    async with subscribed(service) as subscriber:
        service.systemctl("start", "sallyport", "sallyport@one", "sallyport@two")
        await until(lambda: sum(each["state"] == "online" for each in subscriber.on("/status")) == 3)
        service.systemctl("stop", "sallyport")
        await subscriber.has(len(subscriber.readings()) + 5)
    assert {each.topic.split("/")[1] for each in subscriber.got} == {"main", "one", "two"}
    assert {each["values"]["n"] > 0 for each in subscriber.readings()} == {True}
    assert service.systemctl("is-active", "sallyport@one", "sallyport@two") == "active\nactive"
    folders = "/var/lib/sallyport/one /var/lib/sallyport/two /run/sallyport@one /run/sallyport@two"
    assert service.sh(f"stat -c '%U %a' {folders}").splitlines() == [
        *["sallyport 700"] * 2,
        *["sallyport 750"] * 2,
    ]


def test_gateways_of_one_name_are_not_taken_for_each_other(service: Box) -> None:
    configure(service, '[gateway]\nname = "same"\n')
    configure(service, '[gateway]\nname = "same"\n', name="other")
    service.systemctl("start", "sallyport", "sallyport@other")
    for command in (["reload"], ["reload", "--gateway", "same"]):
        done = service.run("sallyport", *command, check=False)
        assert done.returncode == 2
        assert "several gateways called same run here: systemctl reload knows them" in done.stderr
    configure(service, '[gateway]\nname = "same"\nlog_level = "debug"\n', name="other")
    service.systemctl("reload", "sallyport@other")
    assert any("log_level" in line for line in service.journal("sallyport@other"))
    assert not any("log_level" in line for line in service.journal("sallyport"))
    for name in ("gateway", "other"):
        path = f"/etc/sallyport/{name}.toml"
        said = service.run("sallyport", "doctor", "--config", path, check=False)
        assert "Traceback" not in said.stderr
        assert path in said.stdout


def test_note_of_what_was_read_says_in_which_boot(service: Box) -> None:
    configure(service, "")
    service.systemctl("start", "sallyport")
    assert boot_id()  # that of the kernel, which is ours, too
    assert boot_id() in service.sh("cat /var/lib/sallyport/journal.db-slate* | tr -cd '[:print:]'")


async def test_numbers_are_skipped_after_another_boot_and_not_after_a_crash(service: Box) -> None:
    start_broker(service)
    start_board(service)
    configure(service)
    # A box has the boot of its kernel: here another one is seen from the next start on.
    service.write("/etc/other-boot", "00000000-0000-4000-8000-000000000000\n")
    adjust(service, "sallyport.service", "[Service]\nRestart=no\n")
    async with subscribed(service) as subscriber:
        service.systemctl("start", "sallyport")
        await subscriber.has(20)
        kill(service)
        service.systemctl("start", "sallyport")
        await subscriber.has(len(subscriber.readings()) + 20)
        seqs = {each["seq"] for each in subscriber.readings()}
        assert sorted(seqs) == [*range(1, max(seqs) + 1)]
        kill(service)
        adjust(service, "sallyport.service", ANOTHER_BOOT)
        service.systemctl("start", "sallyport")
        await until(lambda: any("the power was cut" in each["reason"] for each in subscriber.on("/gaps")))
        await subscriber.has(len(subscriber.readings()) + 5)
    assert subscriber.readings()[-1]["seq"] > max(seqs) + 1000


def kill(box: Box) -> None:
    box.sh(
        "systemctl kill --signal=KILL sallyport; until systemctl is-failed --quiet sallyport; do sleep 0.05; done"
    )


ANOTHER_BOOT = """\
[Service]
BindReadOnlyPaths=/etc/other-boot:/proc/sys/kernel/random/boot_id
"""

NOT_TO_BE_SEEN = {
    "in a folder that may not be entered": "/root/ca.pem",
    "with a name that is too long": f"/etc/sallyport/{'a' * 300}.pem",
}


@pytest.mark.parametrize("file", NOT_TO_BE_SEEN.values(), ids=NOT_TO_BE_SEEN)
@pytest.mark.parametrize("key", ["tls.ca", "tls.key", "password"])
def test_file_that_cannot_be_looked_at_is_a_mistake_with_its_line(service: Box, key: str, file: str) -> None:
    value = f'{{ file = "{file}" }}' if key == "password" else f'"{file}"'
    wrong = f'[mqtt]\nurl = "mqtts://127.0.0.1:8883"\n{key} = {value}\n'
    told = f"gateway.toml:3:{5 if key.startswith('tls') else 1}: mqtt.{key}"
    configure(service, wrong)
    as_the_service = "runuser -u sallyport -- sallyport check /etc/sallyport/gateway.toml 2>&1"
    checked = service.run("sh", "-c", as_the_service, check=False)
    assert checked.returncode == 78
    assert told in checked.stdout
    assert service.run("systemctl", "start", "sallyport", check=False).returncode == 1
    assert service.properties("sallyport", "ExecMainStatus") == {"ExecMainStatus": "78"}
    assert any(told in line for line in service.journal("sallyport"))
    configure(service, "")
    service.systemctl("start", "sallyport")
    before = service.properties("sallyport", "MainPID", "ActiveState")
    configure(service, wrong)
    refused = service.run("systemctl", "reload", "sallyport", check=False)
    assert refused.returncode == 1
    assert service.properties("sallyport", "MainPID", "ActiveState") == before
    assert sum(told in line for line in service.journal("sallyport")) >= 2


HUB = "/devices/virtual/mem/1-0:1.0"
"""Where a file like that of a hub's port can be shown: nobody makes a folder in sysfs."""

POWER = f"""\
[devices.board]
driver = "json"
port = "/run/board"
power_cycle = "/sys{HUB}/usb1-port3/disable"
"""


def test_power_of_a_port_is_switched_with_what_the_page_says_and_not_without(service: Box) -> None:
    page = (ROOT / "docs" / "hardware.md").read_text()
    rule = re.search(r'RUN\+="/bin/sh -c \'(.*?)\'"', page)
    exception = re.search(r"^    (\[Service\]\n    ReadWritePaths=\S+)", page, re.MULTILINE)
    assert rule
    assert exception
    port = f"/sys{HUB}/usb1-port3"
    service.sh(f"mount -t tmpfs none /sys{Path(HUB).parent}; mkdir -p {port}; echo 1 >{port}/disable")
    service.sh(rule[1].replace("%p", HUB))
    configure(service, POWER)
    service.systemctl("start", "sallyport")
    assert any("it cannot be switched now" in line for line in service.journal("sallyport"))
    assert service.read(f"{port}/disable") == "1\n"
    said = len(service.journal("sallyport"))
    adjust(service, "sallyport.service", exception[1].replace("    ", "") + "\n")
    service.systemctl("restart", "sallyport")
    # As after a kill in the middle of it, the power is given back.
    assert (
        service.sh(f"until grep -q 0 {port}/disable; do sleep 0.1; done; cat {port}/disable", timeout=10)[0]
        == "0"
    )
    assert not any("cannot be switched" in line for line in service.journal("sallyport")[said:])
    service.sh("systemctl stop sallyport; umount /sys/devices/virtual/mem")
