"""Every command that a document shows is run by some test, or it is said here why not."""

import re
import shlex
from pathlib import Path

import pytest

from gateway.arguments import parser
from tests.support.documents import DOCUMENTS, blocks, console, fenceless, indented, known_tests, name

IN_CONSOLES = {
    "sallyport": "test_commands_of_the_pages_do_what_they_are_shown_for",
    "journalctl": "test_examples_of_the_page_find_something",
}
"""What stands behind a $ and which test runs it, as it is."""

TEN_MINUTES = "test_first_ten_minutes_lead_to_a_value_and_into_home_assistant"
INSTALLED = "test_one_command_installs_a_service_that_runs_and_says_what_to_do_next"
REMOVED = "test_removal_leaves_configuration_and_journal_and_with_purge_nothing"
PACKAGED = "test_package_is_installed_upgraded_removed_and_purged_and_loses_nothing"
CREDENTIAL = "test_missing_credential_is_named_with_the_place_where_it_belongs"
SEVERAL = "test_several_gateways_on_one_machine_do_not_know_each_other"
RELOADED = "test_reload_reads_a_new_port_and_goes_on_with_the_same_process"
CONTROLLED = "test_each_message_of_the_page_is_answered_as_it_says"
ACKNOWLEDGED = "test_alert_is_acknowledged_silenced_and_told_so"
DUMPED = "test_dump_of_a_service_is_in_systemds_journal"
PROFILED = "test_profile_of_a_gateway_at_work_is_written_when_it_is_stopped"
HEARD = "test_feed_is_served_on_the_sockets_that_systemd_holds_and_nobody_is_refused_during_a_restart"
_POSTED = "curl -H 'Content-Type: application/json' -d"

RUN_BY = {
    "sudo scripts/install": INSTALLED,
    "sudo scripts/install --offline wheels": INSTALLED,
    "sudo scripts/uninstall": REMOVED,
    "sudo scripts/uninstall --purge": REMOVED,
    "scripts/build-deb": PACKAGED,
    "sudo apt install ./dist/sallyport_*.deb": PACKAGED,
    "sudo install -m 600 /dev/stdin /etc/sallyport/credentials/mqtt-password": CREDENTIAL,
    "sudo systemctl daemon-reload": CREDENTIAL,
    "sudo systemctl restart sallyport": CREDENTIAL,
    "sudo systemctl enable --now sallyport@east sallyport@west": SEVERAL,
    "systemctl status sallyport": INSTALLED,
    "python3 -m venv ~/sallyport-venv": INSTALLED,  # these three in /opt/sallyport
    "~/sallyport-venv/bin/pip install --require-hashes -r requirements.lock": INSTALLED,
    "~/sallyport-venv/bin/pip install --no-deps --no-build-isolation .": INSTALLED,
    "~/sallyport-venv/bin/sallyport run --config gateway.toml": TEN_MINUTES,
    "sudo sallyport check && sudo systemctl reload sallyport": RELOADED,
    "sudo journalctl -u sallyport -p warning -b": "test_examples_of_the_page_find_something",
    "sudo journalctl -u sallyport DEVICE=boiler": "test_examples_of_the_page_find_something",
    "sudo sallyport tail --count 5": TEN_MINUTES,
    "scripts/audit": "test_audit_tells_nothing_known_from_nobody_asked",
    "scripts/docs": "test_page_that_is_made_of_the_program_is_as_the_program_is_now",
    "mosquitto_sub -t 'sallyport/greenhouse/response/#' -v &": CONTROLLED,
    "mosquitto_pub -t sallyport/greenhouse/supply/voltage_limit/set -m 12.5": CONTROLLED,
    'mosquitto_pub -t sallyport/greenhouse/supply/set -m \'{"values":{"voltage_limit":12.5}}\'': CONTROLLED,
    "curl http://127.0.0.1:8080/api/devices": "test_every_answer_says_what_a_browser_may_do_with_it",
    "curl http://127.0.0.1:8080/api/devices/boiler": "test_every_answer_says_what_a_browser_may_do_with_it",
    _POSTED + """ '{"rule":"overheat","by":"Ada"}' http://127.0.0.1:8080/api/alerts/ack""": ACKNOWLEDGED,
    _POSTED + """ '{"rule":"*","for":"2h"}' http://127.0.0.1:8080/api/alerts/silence""": ACKNOWLEDGED,
    "nc 127.0.0.1 4040": "test_netcat_shows_the_feed_as_the_page_says",
    "nc -U /run/sallyport/live.sock": "test_netcat_shows_the_feed_as_the_page_says",
    "socat -u UNIX-CONNECT:/run/sallyport/live.sock -": HEARD,
    "sudo cp /opt/sallyport/current/systemd/sallyport-live.socket /etc/systemd/system/": HEARD,
    "sudo systemctl stop sallyport": HEARD,
    "sudo systemctl enable --now sallyport-live.socket": HEARD,
    "sudo systemctl start sallyport": HEARD,
    "sudo systemctl kill --signal=USR1 sallyport": DUMPED,
    "sudo journalctl -u sallyport --grep dump:": DUMPED,
    "sallyport run --debug --config /etc/sallyport/gateway.toml": (
        "test_debugging_names_the_task_that_holds_the_loop_up_and_what_was_not_closed"
    ),
    "scripts/profile --for 30s demo": "test_profile_ends_by_itself_and_says_what_it_cannot_look_at",
    "scripts/profile run --config my.toml": PROFILED,
    "scripts/profile --with yappi --for 30s run --config my.toml": PROFILED,
    "(umask 077; cat > mqtt-password)": TEN_MINUTES,
    "sallyport manual | man -l -": "test_man_has_nothing_to_say_against_the_page",
}
"""In indented blocks: the test that does what they do, in a box or with the same arguments."""

NOT_RUN = {
    "scripts/check": "runs the tests that would run it; CI does",
    "scripts/test": "likewise",
    "scripts/test tests/gateway -k outbox": "likewise",
    "scripts/bench": "takes minutes, and measures a machine that nothing else may use",
    "scripts/bench decoders": "likewise",
    "scripts/bench rules": "likewise",
    "scripts/bench hardware": "likewise",
    "scripts/bench life": "likewise",
    "scripts/bench live": "likewise",
    "scripts/bench watched": "likewise",
    "scripts/profile": "likewise",
    "scripts/screenshots": "takes pictures for people to look at",
    "scripts/fuzz": "ten million bytes for each driver take too long; each driver's contract does a part of it",
    "scripts/lock": "asks a package index what is newest",
    "scripts/run": "makes a virtual environment for `sallyport demo`, which test_command_line.py runs",
    "cd sallyport": "a clone's name is its owner's choice",
    ". .venv/bin/activate": "changes a shell, and the tests have none",
    "pip download --require-hashes -r requirements.lock -d wheels": "needs an index; test_install makes such a folder",
    "sudo journalctl --follow --unit sallyport": "has no end; the same without it is run",
    "sallyport decode frame FILE --device gateway.toml:dust": "FILE is the reader's",
}
"""And why not."""

TYPED = {command: document for document in DOCUMENTS for command in console(document)}
SHOWN = {command: document for document in DOCUMENTS for command in indented(document)}

LANGUAGES = {
    "toml": "tests/test_docs.py, test_docs_testing_rules.py, system/test_third_party.py",
    "console": "system/test_docs_commands.py, system/test_log.py",
    "python": "gateway/notify/test_document.py, system/test_third_party.py",
    "markdown": "system/test_third_party.py",
    "yaml": "system/test_status_page.py",
}
"""Of fenced blocks, and which tests read them."""


TABLES = {
    "docs/bringing-up.md": "test_unknown_instruments_are_on_mqtt_with_what_is_printed",
    "docs/notifications.md": "test_tables_that_it_shows_are_good",
    "docs/status-page.md": "test_telegraf_would_understand_what_is_published",
}
"""Pages with TOML in indented blocks, since it is no configuration or not a whole one; and which test reads it."""


@pytest.mark.parametrize("command", TYPED)
def test_what_is_typed_in_a_console_is_run(command: str) -> None:
    program, *_ = command.split()
    assert IN_CONSOLES[program] in known_tests(), name(TYPED[command])
    assert program != "journalctl" or name(TYPED[command]) == "docs/logs.md", (
        "test_log.py runs those of that page"
    )


@pytest.mark.parametrize("command", SHOWN)
def test_command_in_a_block_is_run_by_a_test_or_it_is_said_why_not(command: str) -> None:
    assert (command in RUN_BY) is not (command in NOT_RUN), f"{command}, in {name(SHOWN[command])}"
    assert command in NOT_RUN or RUN_BY[command] in known_tests()


def test_nothing_is_excused_that_is_not_shown() -> None:
    assert {*RUN_BY, *NOT_RUN} - SHOWN.keys() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_block_is_in_a_language_that_some_test_reads(document: Path) -> None:
    assert {language for language, _ in blocks(document)} <= LANGUAGES.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_table_that_is_in_no_fence_is_read_by_a_test_of_its_own(document: Path) -> None:
    if re.search(r"^ {4,}\[+[a-z]+\.\S+\]+$", fenceless(document), re.MULTILINE):
        assert TABLES[name(document)] in known_tests()


MENTIONED = {
    command: document
    for document in DOCUMENTS
    for command in re.findall(r"`(?:sudo )?sallyport ([a-z][^`;|&]*)`", document.read_text())
}
"""In sentences; not parts of a shell's script."""


@pytest.mark.parametrize("command", MENTIONED)
def test_command_that_is_mentioned_is_one_that_sallyport_takes(command: str) -> None:
    words = shlex.split(command)
    try:
        parser().parse_args(words)
    except SystemExit as ended:
        if ended.code == 0:  # --help
            return
        assert not any(word.startswith("-") for word in words), f"{command}, in {name(MENTIONED[command])}"
        with pytest.raises(SystemExit, match="0"):  # the bare name of one that wants to be told more
            parser().parse_args([*words, "--help"])
