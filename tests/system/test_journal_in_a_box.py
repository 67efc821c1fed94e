"""`sallyport journal` as root, beside services of another user: whose journal it opens, and with which rights."""

from collections.abc import Iterator

import pytest

from tests.support.box import Box
from tests.support.box_site import CONFIG, clear, configure, start_board

pytestmark = pytest.mark.real_time


@pytest.fixture
def service(box: Box) -> Iterator[Box]:
    """A box whose gateway nobody has configured yet; everything is as before at the end."""
    yield box
    clear(box)


def journal(box: Box, name: str, *arguments: str, user: str = "") -> tuple[str, str]:
    """What it printed, and what it complained of."""
    config = f"/etc/sallyport/{name}.toml"
    done = box.run("sallyport", "journal", *arguments, "--config", config, user=user, check=False, timeout=20)
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


NO_BROKER = CONFIG.replace("[mqtt]", '[mqtt]\nurl = "mqtt://127.0.0.1:1"')


def keep_some(box: Box) -> None:
    """The main gateway runs. `east-wing` has read what no broker takes; then it was stopped."""
    start_board(box)
    configure(box, "")
    configure(box, NO_BROKER, name="east-wing")
    box.sh(
        "systemctl start sallyport sallyport@east-wing; cd /var/lib/sallyport/east-wing;"
        "until [ $(cat journal.db* | wc -c) -gt 120000 ]; do sleep 0.1; done;"
        "systemctl stop sallyport@east-wing",
        timeout=20,
    )


def test_journal_is_that_of_the_unit_which_runs_with_the_configuration(service: Box) -> None:
    keep_some(service)
    assert "journal:   /var/lib/sallyport/journal.db\n" in journal(service, "gateway", "show")[0]
    shown = journal(service, "east-wing", "show")[0]
    assert "journal:   /var/lib/sallyport/east-wing/journal.db\n" in shown
    assert "waiting:   0 readings" not in shown
    configure(service, NO_BROKER + '[journal]\npath = "/var/lib/sallyport/journal.db"\n', name="east-wing")
    assert "journal:   /var/lib/sallyport/journal.db\n" in journal(service, "east-wing", "show")[0]


def test_user_who_may_not_look_there_is_told_so(service: Box) -> None:
    configure(service, "")
    service.sh("systemctl start sallyport; chmod o+rx /etc/sallyport; chmod o+r /etc/sallyport/gateway.toml")
    complaint = journal(service, "gateway", "show", user="nobody")[1]
    service.sh("chmod 2750 /etc/sallyport")
    assert "/var/lib/sallyport/journal.db" in complaint
    assert "only who owns the journal, and root, may look there" in complaint


def test_root_is_led_nowhere_by_who_owns_the_journal(service: Box) -> None:
    keep_some(service)
    assert journal(service, "east-wing", "export")[0]
    service.sh("mv /var/lib/sallyport/east-wing /root/secret; chown -R root: /root/secret")
    service.sh("chmod 711 /root; chmod 755 /root/secret; chmod 600 /root/secret/*")
    service.run("ln", "-s", "/root/secret", "/var/lib/sallyport/east-wing", user="sallyport")
    before = service.sh("stat -c '%n %s %Y %Z' /root/secret/*")
    for action in (["show"], ["export"], ["purge", "--yes"]):
        told, complaint = journal(service, "east-wing", *action)
        assert told == ""
        assert "journal.db" in complaint
    assert service.sh("stat -c '%n %s %Y %Z' /root/secret/*") == before
    service.sh("rm -r /root/secret; chmod 700 /root")
