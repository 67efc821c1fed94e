import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from cryptography import x509

from gateway.clock import SystemClock
from gateway.config.notify import key_of
from gateway.config.webhook_url import WebhookUrl
from gateway.errors import Declined, NotifyError, Undelivered
from gateway.model import Stamp
from gateway.notify.notice import Notice
from gateway.notify.webhook import Webhook, encode
from tests.gateway.notify.alerts import MORNING_NS, RESOLVED, alert, stamp
from tests.support.hook import Hook, Post
from tests.support.papers import LOOPBACK, Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

PATIENCE_S = 30.0

KEY = b"not everybody knows it"

CLOCK = SystemClock(lambda: True)


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Hook]:
    async with Hook.running() as running:
        yield running


def notice() -> Notice:
    return Notice.of("greenhouse", {"rule": "hot"}, [alert("boiler", value=21)], stamp(0), repeat=False)


def url(port: int, scheme: str = "http") -> WebhookUrl:
    return WebhookUrl.parse(f"{scheme}://127.0.0.1:{port}/alerts?to=oncall")


def webhook(hook: Hook, *, timeout_s: float = PATIENCE_S, **settings: object) -> Webhook:
    return Webhook(url(hook.port), clock=CLOCK, timeout_s=timeout_s, **settings)  # type: ignore[arg-type]


async def error_of(receiver: Webhook) -> NotifyError:
    with pytest.raises(NotifyError) as caught:
        await receiver.send(notice())
    return caught.value


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104, spelled out: a second opinion."""
    block = key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(each ^ 0x36 for each in block) + message).digest()
    return hashlib.sha256(bytes(each ^ 0x5C for each in block) + inner).digest()


def test_second_opinion_agrees_with_the_standard() -> None:
    digest = hmac_sha256(b"Jefe", b"what do ya want for nothing?")  # RFC 4231, section 4.3
    assert digest.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def signed(post: Post, key: bytes) -> bool:
    identifier, timestamp = post.headers["webhook-id"], post.headers["webhook-timestamp"]
    content = f"{identifier}.{timestamp}.".encode() + post.body
    expected = "v1," + base64.b64encode(hmac_sha256(key, content)).decode()
    return post.headers["webhook-signature"] == expected


async def test_notice_arrives_as_json(hook: Hook) -> None:
    told = notice()
    await webhook(hook, headers={"Authorization": "Bearer 7"}).send(told)
    [post] = hook.posts
    assert post.line == "POST /alerts?to=oncall HTTP/1.1"
    assert post.headers["host"] == f"127.0.0.1:{hook.port}"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["authorization"] == "Bearer 7"
    assert post.headers["webhook-id"] == told.id
    assert "webhook-signature" not in post.headers
    assert json.loads(post.body) == {
        "version": 1,
        "id": told.id,
        "gateway": "greenhouse",
        "time": "2026-11-22T18:00:00.000Z",
        "state": "firing",
        "repeat": False,
        "title": told.title,
        "text": told.text,
        "group": {"rule": "hot"},
        "firing": 1,
        "resolved": 0,
        "more": 0,
        "alerts": [
            {
                "rule": "hot",
                "device": "boiler",
                "state": "firing",
                "severity": "warning",
                "since": "2026-11-22T18:00:00.000Z",
                "value": 21,
                "message": "too hot",
                "labels": {},
            }
        ],
    }


def test_times_that_cannot_be_believed_say_so() -> None:
    unset = Stamp(MORNING_NS, 0.0, synchronised=False)
    told = orjson.loads(encode(Notice.of("g", {}, [alert("a", since=unset)], unset, repeat=False)))
    assert told["clock"] == told["alerts"][0]["clock"] == "unsynchronised"


async def test_signature_covers_id_time_and_body(hook: Hook) -> None:
    await webhook(hook, key=KEY).send(notice())
    [post] = hook.posts
    assert signed(post, KEY)
    assert not signed(post, b"another key")
    assert not signed(post._replace(body=post.body + b" "), KEY)
    assert not signed(post._replace(headers={**post.headers, "webhook-timestamp": "1"}), KEY)


async def test_each_attempt_is_signed_with_its_own_time(hook: Hook) -> None:
    now = MORNING_NS
    receiver = Webhook(url(hook.port), clock=lambda: Stamp(now, 0.0), key=KEY)
    told = notice()
    await receiver.send(told)
    now += 600 * 10**9
    await receiver.send(told)
    first, second = hook.posts
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 600
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert signed(first, KEY)
    assert signed(second, KEY)


def test_secret_in_base64_is_decoded_and_any_other_is_its_own_key() -> None:
    assert key_of("whsec_" + base64.b64encode(b"\0\1\2").decode()) == b"\0\1\2"
    assert key_of("plain ö") == "plain ö".encode()
    for wrong in ("whsec_", "whsec_!", "whsec_abc"):
        with pytest.raises(ValueError, match="base64"):
            key_of(wrong)


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_every_success_is_one(hook: Hook, status: str) -> None:
    hook.says(status)
    await webhook(hook).send(notice())


async def test_answer_that_is_announced_first_is_waited_for(hook: Hook) -> None:
    hook.answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    await webhook(hook).send(notice())


@pytest.mark.parametrize("length", ["", "Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_success_counts_although_the_receiver_keeps_the_line(hook: Hook, length: str) -> None:
    hook.answer = f"HTTP/1.1 200 OK\r\n{length}\r\n".encode()
    hook.lingers = True
    await webhook(hook).send(notice())
    async with asyncio.timeout(PATIENCE_S):
        await hook.goes.wait()


@pytest.mark.parametrize(
    "status",
    ["401 Unauthorized", "403 Forbidden", "404 Not Found", "408 Request Timeout", "410 Gone", "429 Too Many Requests",
     "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"],
)  # fmt: skip
async def test_what_somebody_can_put_right_is_tried_again(hook: Hook, status: str) -> None:
    hook.says(status)
    error = await error_of(webhook(hook))
    assert isinstance(error, Undelivered)
    assert (str(error), error.after_s) == (f"127.0.0.1:{hook.port}: {status}", 0.0)


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "413 Content Too Large", "415 Unsupported Media Type", "422 No"]
)
async def test_what_is_about_the_message_itself_is_given_up_with_the_reason(hook: Hook, status: str) -> None:
    hook.says(status, body='{"error":\n "no such field"}')
    error = await error_of(webhook(hook, key=KEY))
    assert isinstance(error, Declined)
    assert str(error) == f'127.0.0.1:{hook.port}: {status}: {{"error": "no such field"}}'


async def test_refusal_while_the_clock_is_not_set_may_be_about_the_time_and_is_tried_again(
    hook: Hook,
) -> None:
    hook.says("400 Bad Request", body="timestamp too old")
    receiver = Webhook(url(hook.port), clock=lambda: Stamp(0, 0.0, synchronised=False), key=KEY)
    assert isinstance(await error_of(receiver), Undelivered)
    unsigned = Webhook(url(hook.port), clock=lambda: Stamp(0, 0.0, synchronised=False))
    assert isinstance(await error_of(unsigned), Declined)


async def test_redirect_is_not_followed(hook: Hook) -> None:
    async with Hook.running() as elsewhere:
        hook.says("307 Temporary Redirect", f"Location: http://127.0.0.1:{elsewhere.port}/")
        error = await error_of(webhook(hook))
        assert isinstance(error, Undelivered)
        assert "redirects are not followed" in str(error)
        assert elsewhere.posts == []


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        (["Retry-After: 120"], 120),
        (["Retry-After: 999999"], 3600),
        (["Retry-After: Sun, 22 Nov 2026 18:02:00 GMT", "Date: Sun, 22 Nov 2026 18:00:00 GMT"], 120),
        (["Retry-After: Sun, 22 Nov 2026 17:00:00 GMT", "Date: Sun, 22 Nov 2026 18:00:00 GMT"], 0),
        (["Retry-After: Sun, 22 Nov 2026 18:02:00 GMT"], 0),
        (["Retry-After: soon"], 0),
        (["Retry-After: Sun, 22 Nov 99999999999999999999 18:02:00 GMT"], 0),
        (["Retry-After: -5"], 0),
    ],
)
async def test_receiver_says_how_long_it_wants_to_be_left_alone(
    hook: Hook, headers: list[str], wait_s: float
) -> None:
    hook.says("429 Too Many Requests", *headers)
    error = await error_of(webhook(hook))
    assert isinstance(error, Undelivered)
    assert error.after_s == wait_s


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\nSer", "hung up in the middle of its answer"),
        (b"220 mail.example ESMTP\r\n\r\n", "what it answered is not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "what it answered is not HTTP"),
        (b"X" * 100_000, "what it answered is not HTTP"),
        (b"HTTP/1.1 500 \x1b[31m\r\n\r\n", "500 ?[31m"),
        (b"HTTP/1.1 503\r\nContent-Length: x\r\n\r\nabc", "503"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nabc", "503 No"),
        (b"HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>", "503 No"),
    ],
)  # fmt: skip
async def test_odd_answer_is_no_delivery_and_says_why(hook: Hook, answer: bytes, reason: str) -> None:
    hook.answer = answer
    error = await error_of(webhook(hook))
    assert isinstance(error, Undelivered)
    assert str(error) == f"127.0.0.1:{hook.port}: {reason}"


async def test_receiver_that_hangs_is_left(hook: Hook) -> None:
    hook.answer = None
    error = await error_of(webhook(hook, timeout_s=0.2))
    assert str(error) == f"127.0.0.1:{hook.port}: no answer within 0.2 s"
    async with asyncio.timeout(PATIENCE_S):
        await hook.goes.wait()


async def test_sending_can_be_cancelled_at_once(hook: Hook) -> None:
    hook.answer = None
    sending = asyncio.create_task(webhook(hook).send(notice()))
    async with asyncio.timeout(PATIENCE_S):
        while not hook.posts:
            await asyncio.sleep(0.001)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await hook.goes.wait()


async def test_nobody_there() -> None:
    receiver = Webhook(url(port := free_port()), clock=CLOCK)
    assert str(await error_of(receiver)) == f"127.0.0.1:{port}: connection refused"


async def test_host_that_cannot_be_found() -> None:
    receiver = Webhook(WebhookUrl.parse("http://nobody.invalid/"), clock=CLOCK)
    error = await error_of(receiver)
    assert isinstance(error, Undelivered)
    assert str(error).startswith("nobody.invalid: ")
    too_long = Webhook(WebhookUrl.parse(f"http://{'x' * 70}.example/"), clock=CLOCK)
    assert isinstance(await error_of(too_long), Undelivered)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Our authority")


def serving(authority: Authority, name: str, subject: x509.GeneralName) -> ssl.SSLContext:
    papers = authority.papers(name, subject)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    return context


def trusting(ca: Path | None = None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def over_tls(port: int, ca: Path | None = None, *, timeout_s: float = PATIENCE_S) -> Webhook:
    return Webhook(url(port, "https"), clock=CLOCK, tls=trusting(ca), timeout_s=timeout_s)


async def test_notice_arrives_over_tls(authority: Authority) -> None:
    async with Hook.running(serving(authority, "hook", LOOPBACK)) as hook:
        await over_tls(hook.port, authority.file).send(notice())
        assert len(hook.posts) == 1


async def test_receiver_that_cannot_prove_who_it_is_hears_nothing(authority: Authority) -> None:
    async with Hook.running(serving(authority, "hook2", LOOPBACK)) as hook:
        error = await error_of(over_tls(hook.port))
        assert "bad certificate: unable to get local issuer certificate" in str(error)
        assert hook.posts == []
    async with Hook.running(serving(authority, "other", x509.DNSName("hook.example"))) as hook:
        error = await error_of(over_tls(hook.port, authority.file))
        assert "bad certificate: IP address mismatch" in str(error)
        assert hook.posts == []


async def test_handshake_that_never_ends_is_given_up(authority: Authority) -> None:
    mute = await asyncio.start_server(lambda _, writer: links.append(writer), "127.0.0.1", 0)
    links: list[asyncio.StreamWriter] = []
    port = mute.sockets[0].getsockname()[1]
    error = await error_of(over_tls(port, authority.file, timeout_s=0.2))
    assert str(error) == f"127.0.0.1:{port}: no answer within 0.2 s"
    mute.close()
    for link in links:
        link.transport.abort()


async def test_end_of_an_alert_is_no_different(hook: Hook) -> None:
    told = Notice.of("g", {}, [alert("a", RESOLVED)], stamp(0), repeat=False)
    await webhook(hook).send(told)
    assert json.loads(hook.bodies[0])["state"] == "resolved"


@pytest.mark.parametrize(
    "written",
    ["", "example.org", "ftp://example.org", "http://", "http://h:0/", "http://h:99999/", "http://me:pw@h/",
     "http://h/a b", "http://h/ö", "http://h/\n", "http://[::1", "http://h/#part"],
)  # fmt: skip
def test_url_that_cannot_be_used_is_refused_without_being_quoted(written: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        WebhookUrl.parse(written)
    assert "pw" not in str(caught.value)


def test_url_says_where_to_go_and_keeps_its_path_to_itself() -> None:
    assert WebhookUrl.parse("https://example.org") == ("https", "example.org", 443, "/")
    assert WebhookUrl.parse("http://[::1]:8080/a?b=c") == ("http", "::1", 8080, "/a?b=c")
    assert WebhookUrl.parse("http://[::1]:8080/token").place == "[::1]:8080"
    assert WebhookUrl.parse("https://example.org/token").place == "example.org"
