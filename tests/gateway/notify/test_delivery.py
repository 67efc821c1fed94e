"""From a table of the configuration to a receiver on a real socket."""

import asyncio
import base64
import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from gateway.clock import SystemClock
from gateway.config.notify import NotifyOptions
from gateway.errors import Undelivered
from gateway.notify.apprise_receiver import AppriseReceiver
from gateway.notify.delivery import outbox, receiver
from gateway.notify.notice import Notice
from gateway.notify.outbox import Outbox
from gateway.pacing.backoff import Backoff
from gateway.supervisor import Child, Supervisor
from tests.gateway.notify.alerts import RESOLVED, alert, stamp
from tests.support.hook import Hook
from tests.support.papers import Authority
from tests.support.ports import free_port

PATIENCE_S = 30.0

CLOCK = SystemClock(lambda: True)


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Hook]:
    async with Hook.running() as running:
        yield running


def options(text: str, folder: Path | None = None) -> NotifyOptions:
    return NotifyOptions.model_validate(tomllib.loads(text), context=folder)


def made(text: str, name: str = "oncall") -> Outbox:
    return outbox(name, options(text), gateway="greenhouse", clock=CLOCK, changed=lambda: None)


@asynccontextmanager
async def running(*boxes: Outbox) -> AsyncIterator[None]:
    children = [
        Child(name=f"notify {box.name}", run=box.run, restart=Backoff(first_s=0.01, cap_s=0.01))
        for box in boxes
    ]
    task = asyncio.create_task(Supervisor().run(children))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not fact():
            await asyncio.sleep(0.001)


@pytest.mark.real_time
async def test_webhook_that_was_down_for_a_while_hears_each_notice_once(hook: Hook) -> None:
    url = f"http://127.0.0.1:{hook.port}/"
    await hook.close()
    box = made(f'url = "{url}"\nsecret = "s"\ngroup_wait = "0s"\nretry_max = "1s"\ngroup_by = ["device"]')
    async with running(box):
        for name in "abc":
            box.take(alert(name))
        await until(lambda: box.failed >= 2)
        assert hook.posts == []
        await hook.open()
        hook.says("503 Service Unavailable")
        await until(lambda: len(hook.posts) >= 1)
        hook.posts.clear()
        hook.says("204 No Content")
        await until(lambda: box.delivered == 3)
        await asyncio.sleep(0.05)
    assert [json.loads(body)["alerts"][0]["device"] for body in hook.bodies] == ["a", "b", "c"]
    assert (box.waiting, box.given_up) == (0, 0)


@pytest.mark.real_time
async def test_loop_turns_while_a_receiver_hangs(hook: Hook) -> None:
    hook.answer = None
    async with Hook.running() as other:
        slow = made(f'url = "http://127.0.0.1:{hook.port}/"\ngroup_wait = "0s"', "slow")
        fine = made(f'url = "http://127.0.0.1:{other.port}/"\ngroup_wait = "0s"', "fine")
        async with running(slow, fine):
            slow.take(alert("a"))
            await until(lambda: len(hook.posts) == 1)
            fine.take(alert("a"))
            await until(lambda: fine.delivered == 1)
            assert slow.waiting == 1


def openssl_hmac(key: str, content: bytes) -> bytes:
    command = ["openssl", "dgst", "-sha256", "-hmac", key, "-binary"]
    return subprocess.run(
        command, input=content, stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S
    ).stdout


@pytest.mark.real_time
async def test_signature_is_the_one_that_openssl_computes(hook: Hook) -> None:
    box = made(f'url = "http://127.0.0.1:{hook.port}/"\nsecret = "whsec_a2V5"\ngroup_wait = "0s"')
    async with running(box):
        box.take(alert("a"))
        await until(lambda: box.delivered == 1)
    [post] = hook.posts
    content = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    digest = openssl_hmac("key", content)
    assert post.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.fixture
def apprise_ends() -> Iterator[None]:
    """Its threads live as long as the process, and here no longer than the test."""
    yield
    theirs: Any = import_module("apprise.apprise")
    theirs.get_shared_executor().shutdown()
    theirs._shared_executor = None


def told_by_apprise(test: Any) -> Any:
    test = pytest.mark.usefixtures("apprise_ends")(test)
    test = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")(test)  # theirs
    return pytest.mark.skipif(find_spec("apprise") is None, reason="Apprise is not installed")(test)


def apprise_to(port: int) -> str:
    return f"json://127.0.0.1:{port}/alerts?cto={PATIENCE_S}&rto={PATIENCE_S}"


def notice(severity: str = "critical") -> Notice:
    return Notice.of("greenhouse", {}, [alert("boiler", severity=severity)], stamp(0), repeat=False)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("severity", "kind"), [("critical", "failure"), ("warning", "warning"), ("info", "info")]
)
@told_by_apprise
async def test_apprise_tells_title_text_and_how_bad_it_is(hook: Hook, severity: str, kind: str) -> None:
    told = notice(severity)
    await AppriseReceiver(apprise_to(hook.port)).send(told)
    [body] = map(json.loads, hook.bodies)
    assert (body["title"], body["message"], body["type"]) == (told.title, told.text, kind)


@pytest.mark.real_time
@told_by_apprise
async def test_apprise_tells_an_end_as_a_success(hook: Hook) -> None:
    told = Notice.of("g", {}, [alert("a", RESOLVED, severity="critical")], stamp(0), repeat=False)
    await AppriseReceiver(apprise_to(hook.port)).send(told)
    assert json.loads(hook.bodies[0])["type"] == "success"


@pytest.mark.real_time
@told_by_apprise
async def test_apprise_that_fails_says_why_and_is_tried_again(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.says("503 Service Unavailable")
    box = made(f'url = "{apprise_to(hook.port)}"\ngroup_wait = "0s"\nretry_max = "1s"')
    async with running(box):
        box.take(alert("a"))
        await until(lambda: box.failed >= 2)
        hook.says("200 OK")
        await until(lambda: box.delivered == 1)
        await asyncio.sleep(0.05)
    assert sum(json.loads(body)["type"] == "warning" for body in hook.bodies) == box.failed + 1
    assert not logging.getLogger("apprise").propagate  # so none of its lines is in our log; caplog hears all
    down = [
        each.message for each in caplog.records if each.levelno >= logging.WARNING and each.name != "apprise"
    ]
    assert len(down) == 1
    assert "503" in down[0]


@pytest.mark.real_time
@told_by_apprise
async def test_apprise_with_a_url_it_does_not_know_keeps_the_notice_and_says_so() -> None:
    with pytest.raises(Undelivered, match="none that Apprise can use") as caught:
        await AppriseReceiver("nosuch://token@host").send(notice())
    assert "token" not in str(caught.value)


@pytest.mark.real_time
@told_by_apprise
async def test_apprise_speaks_of_a_lost_line_without_secrets() -> None:
    with pytest.raises(Undelivered) as caught:
        await AppriseReceiver(f"json://user:topsecret@127.0.0.1:{free_port()}/").send(notice())
    assert "127.0.0.1" in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_nothing_of_apprise_is_loaded_before_it_is_used() -> None:
    script = """
import asyncio, sys
from gateway.errors import Undelivered
from gateway.notify.delivery import receiver
from gateway.config.notify import NotifyOptions
from tests.gateway.notify.test_delivery import CLOCK, notice
made = receiver(NotifyOptions(url="json://127.0.0.1:1/"), clock=CLOCK)
print("apprise" in sys.modules)
sys.modules["apprise"] = None  # as if it were not installed
try:
    asyncio.run(made.send(notice()))
except Undelivered as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "False", "Apprise is not installed: pip install 'sallyport[notify]'"
    ]  # fmt: skip


def test_defaults_are_alertmanagers() -> None:
    written = options('url = "https://example.org/hook"')
    assert (written.group_wait, written.group_interval, written.repeat_interval) == (30, 300, 4 * 3600)
    assert written.webhook
    assert not options('url = "tgram://token/chat"').webhook


def test_every_option_says_what_it_is_for() -> None:
    assert all(field.description for field in NotifyOptions.model_fields.values())


def test_secrets_come_from_where_they_are_kept_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("Bearer hidden\n")
    monkeypatch.setenv("HOOK", "https://example.org/hidden")
    written = options(
        'url = { env = "HOOK" }\nsecret = "hidden"\nheaders = { Authorization = { file = "token" } }',
        tmp_path,
    )
    assert written.headers["Authorization"].get_secret_value() == "Bearer hidden"
    assert "hidden" not in repr(written)
    receiver(written, clock=CLOCK)


def test_authority_of_a_plant_can_be_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours", "Our authority")
    written = options(f'url = "https://plant.example"\nca = "{authority.file}"')
    receiver(written, clock=CLOCK)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Field required"),
        ('url = "example.org/token"', 'must be like "https://host/path" for a webhook'),
        ('url = "https://me:token@example.org/"', "write the header Authorization"),
        ('url = "tgram://token/chat"\nsecret = "x"\ntimeout = "5s"', "is for a webhook only"),
        ('url = "http://example.org"\nca = "lock"', "works with https:// only"),
        ('url = "https://example.org"\nca = "garbage"', "must be a file of certificates in PEM form"),
        ('url = "https://example.org"\nsecret = "whsec_token!"', "base64 must follow"),
        ('url = "https://example.org"\nheaders = { "a b" = "x" }', "is no name of an HTTP header"),
        ('url = "https://example.org"\nheaders = { Host = "x" }', "writes itself"),
        ('url = "https://example.org"\nheaders = { Webhook-Id = "x" }', "writes itself"),
        ('url = "https://example.org"\nheaders = { X = "token\\r\\nY: 1" }', "no line break"),
        ('url = "https://example.org"\ngroup_by = ["rule", "..."]', "stands alone"),
        ('url = "https://example.org"\ngroup_by = ["rule", "rule"]', "twice"),
        ('url = "https://example.org"\nrepeat_interval = "sometimes"', 'or "never"'),
        ('url = "https://example.org"\ngroup_interval = "0s"', "greater than or equal to 1"),
        ('url = "https://example.org"\nurls = "x"', "Extra inputs are not permitted"),
    ],
)
def test_mistake_is_named_and_no_secret_with_it(text: str, complaint: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours", "Our authority")
    (tmp_path / "lock").write_bytes(authority.file.read_bytes())
    (tmp_path / "garbage").write_text("garbage")
    with pytest.raises(ValidationError) as caught:
        options(text, tmp_path)
    errors: Any = caught.value.errors()
    assert any(complaint in error["msg"] for error in errors), errors
    assert "token" not in str(caught.value)
