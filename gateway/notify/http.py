"""One POST over a connection of its own, with one limit of time for all of it.

Our own, because this is all that is needed. aiohttp would be a dependency of the core for it; `http.client` in a
thread cannot be cancelled, limits each step and not the whole, looks a host up without any limit, and would keep
one of the few threads that the brokers' names are looked up in, for as long as a receiver hangs. Redirects
are not followed: what is signed for one place goes to no other.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from gateway.config.webhook_url import WebhookUrl
from gateway.errors import Undelivered

MOST_HEADERS = 32 * 1024
"""Bytes; more is no answer."""
MOST_EXCERPT = 300
"""Bytes of an answer's body that are looked at for a reason."""

_STATUS = re.compile(r"HTTP/1\.[01] ([1-5]\d\d)(?: (.*))?", re.ASCII)
_CONTINUED = range(100, 200)
_GOOD = range(200, 300)


class Answer(NamedTuple):
    status: int
    words: str
    """`404 Not Found: no such hook`."""
    headers: Mapping[str, str]
    """By name in small letters."""

    @property
    def good(self) -> bool:
        return self.status in _GOOD

    @property
    def retry_after_s(self) -> float:
        """What `Retry-After` asks for; a date counts from the answer's own, so that nobody's clock matters."""
        written = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}", written, re.ASCII):
            return float(written)
        try:
            wait = parsedate_to_datetime(written) - parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError, OverflowError):  # one is no date, or only one of them has a time zone
            return 0.0
        return max(0.0, wait.total_seconds())


async def post(
    url: WebhookUrl, headers: Mapping[str, str], body: bytes, *, tls: ssl.SSLContext | None, timeout_s: float
) -> Answer:
    """Raises: Undelivered, when no answer has come."""
    lines = [
        f"POST {url.target} HTTP/1.1",
        f"Host: {url.place}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(url, request, tls)
    except TimeoutError:
        raise Undelivered(f"{url.place}: no answer within {timeout_s:g} s") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have that name
        raise Undelivered(f"{url.place}: {_reason(error)}") from error


async def _exchange(url: WebhookUrl, request: bytes, tls: ssl.SSLContext | None) -> Answer:
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=tls, limit=MOST_HEADERS)
    try:
        writer.write(request)
        await writer.drain()
        answer = await _head(url, reader)
        while answer.status in _CONTINUED:
            answer = await _head(url, reader)
        if not answer.good and (excerpt := await _excerpt(answer, reader)):
            answer = answer._replace(words=f"{answer.words}: {excerpt}")
        return answer
    finally:
        writer.transport.abort()  # the answer is there, or nobody waits for it


async def _head(url: WebhookUrl, reader: asyncio.StreamReader) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        what = "hung up in the middle of its answer" if error.partial else "hung up without an answer"
        raise Undelivered(f"{url.place}: {what}") from None
    except asyncio.LimitOverrunError:
        raise Undelivered(f"{url.place}: what it answered is not HTTP") from None
    first, *rest = head[:-4].decode("latin-1").split("\r\n")
    match = _STATUS.fullmatch(first)
    if match is None:
        raise Undelivered(f"{url.place}: what it answered is not HTTP")
    fields = (line.partition(":") for line in rest)
    return Answer(
        int(match[1]),
        _printable(f"{match[1]} {match[2] or ''}").strip(),
        {name.strip().lower(): value.strip() for name, _, value in fields},
    )


async def _excerpt(answer: Answer, reader: asyncio.StreamReader) -> str:
    """The beginning of a short text that says why."""
    length = answer.headers.get("content-length", "")
    if not re.fullmatch(r"\d{1,9}", length, re.ASCII):
        return ""
    with contextlib.suppress(asyncio.IncompleteReadError):
        body = await reader.readexactly(min(int(length), MOST_EXCERPT))
        if "text/html" not in answer.headers.get("content-type", ""):
            return _printable(" ".join(body.decode(errors="replace").split()))
    return ""


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _reason(error: BaseException) -> str:
    """The cause that a person can act on."""
    text = str(error)
    if match := re.search(r"certificate verify failed: (.*?)(?: \(_ssl|$)", text):
        return f"bad certificate: {match[1]}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return re.sub(r"^\[(?:Errno -?|SSL: )\w+\] | \(_ssl\.c:\d+\)$", "", text) or type(error).__name__
