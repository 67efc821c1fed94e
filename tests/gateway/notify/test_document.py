"""What docs/notifications.md shows is so."""

import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.config.notify import NotifyOptions
from gateway.model import Stamp
from gateway.notify.notice import Notice
from gateway.notify.webhook import encode, signature
from tests.gateway.notify.alerts import MORNING_NS, RESOLVED, alert, stamp

DOCUMENT = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()


def _indented(first: str) -> str:
    match = re.search(rf"^    {re.escape(first)}\n(?:(?:    .*)?\n)+", DOCUMENT, re.MULTILINE)
    assert match
    return match[0]


def test_tables_that_it_shows_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "oncall-secret").write_text("s")
    (tmp_path / "phone-url").write_text("tgram://token/chat")
    tables = tomllib.loads("\n".join(line[4:] for line in _indented("[notify.oncall]").splitlines()))
    assert len(tables["notify"]) == 2
    for table in tables["notify"].values():
        NotifyOptions.model_validate(table)


def test_message_that_it_shows_has_the_keys_of_a_real_one() -> None:
    shown = json.loads(_indented("{"))
    unset = Stamp(MORNING_NS, 0.0, synchronised=False)
    alerts = [alert("boiler", value=85.2, labels={"site": "north"}), alert("b", RESOLVED)]
    real = orjson.loads(encode(Notice.of("greenhouse", {"rule": "hot"}, alerts, stamp(0), repeat=False)))
    assert list(shown) == list(real)
    assert list(shown["alerts"][0]) == list(real["alerts"][0])
    assert [type(value) for value in shown.values()] == [type(value) for value in real.values()]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE))))
    doubtful = orjson.loads(encode(Notice.of("g", {}, [alert("a", since=unset)], unset, repeat=False)))
    assert named & {*doubtful, "since"} == {
        "id", "time", "state", "repeat", "title", "text", "group", "firing", "resolved", "alerts", "since", "clock"
    }  # fmt: skip


def verified(headers: dict[str, str], body: bytes, secret: str) -> bool:
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert sum(bool(line) for line in code.splitlines()) == 5
    names: dict[str, Any] = {"headers": headers, "body": body, "secret": secret}
    exec(code, names)
    genuine: bool = names["genuine"]
    return genuine


def test_five_lines_know_a_genuine_message() -> None:
    now, body = int(time.time()), b'{"version":1}'
    headers = {
        "webhook-id": "7",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(b"secret", "7", now, body),
    }
    assert verified(headers, body, "secret")
    assert not verified(headers, body + b" ", "secret")
    assert not verified(headers, body, "another")
    assert not verified({**headers, "webhook-id": "8"}, body, "secret")
    assert not verified({**headers, "webhook-timestamp": str(now + 1)}, body, "secret")
    old = {**headers, "webhook-timestamp": str(now - 600)}
    old["webhook-signature"] = signature(b"secret", "7", now - 600, body)
    assert not verified(old, body, "secret")
