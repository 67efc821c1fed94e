"""A notice as a POST of JSON, signed if there is a secret.

Body (one line; here over several):
    {"version": 1,
     "id": "0d0c…",                          the same however often it is sent
     "gateway": "greenhouse",
     "time": "2026-11-22T17:07:01.123Z",     when it was put together; it may have waited since
     "state": "firing",                      "resolved" when all of its alerts have
     "repeat": false,                        true: nothing is new, it still fires
     "title": "…", "text": "…",              for people
     "group": {"rule": "overheat"},          the labels that its alerts have in common
     "firing": 2, "resolved": 1,             how many
     "more": 0,                              how many of them are not listed below
     "alerts": [{"rule": "overheat", "device": "boiler", "state": "firing", "severity": "critical",
                 "since": "2026-11-22T17:06:31.000Z", "value": 85.2, "message": "…", "labels": {}}]}
    and "clock": "unsynchronised" beside a time that cannot be believed.

Headers, after Standard Webhooks 1.0, for which there are libraries in many languages:
    webhook-id          the id
    webhook-timestamp   when it was sent, in seconds since 1970; a receiver refuses what is minutes old
    webhook-signature   v1, and the HMAC-SHA256 of `<id>.<timestamp>.<body>`, in base64; only with a secret
"""

import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from typing import Any

import orjson

from gateway import __version__
from gateway.config.webhook_url import WebhookUrl
from gateway.errors import Declined, Undelivered
from gateway.model import Alert, Clock, Stamp
from gateway.notify.http import Answer, post
from gateway.notify.notice import Notice
from gateway.wire import rfc3339

MOST_RETRY_AFTER_S = 3600.0

_ABOUT_THE_BODY = frozenset({400, 406, 409, 413, 415, 422})
"""Answers that this one body will get again. All others are about the address, the key or the server: somebody
will put them right, and then it arrives."""


def signature(key: bytes, identifier: str, timestamp: int, body: bytes) -> str:
    signed = b".".join((identifier.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def encode(notice: Notice) -> bytes:
    return orjson.dumps(
        {
            "version": 1,
            "id": notice.id,
            "gateway": notice.gateway,
            **_time("time", notice.at),
            "state": notice.state,
            "repeat": notice.repeat,
            "title": notice.title,
            "text": notice.text,
            "group": notice.group,
            "firing": notice.firing,
            "resolved": notice.resolved,
            "more": notice.more,
            "alerts": [_alert(alert) for alert in notice.alerts],
        }
    )


class Webhook:
    def __init__(
        self,
        url: WebhookUrl,
        *,
        clock: Clock,
        key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """`tls`: for https. `headers`: besides ours."""
        self._url = url
        self._clock = clock
        self._key = key
        self._headers = headers or {}
        self._tls = tls
        self._timeout_s = timeout_s

    async def send(self, notice: Notice) -> None:
        now = self._clock()
        timestamp = now.wall_ns // 10**9
        body = encode(notice)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"sallyport/{__version__}",
            "webhook-id": notice.id,
            "webhook-timestamp": str(timestamp),
            **self._headers,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, notice.id, timestamp, body)
        answer = await post(self._url, headers, body, tls=self._tls, timeout_s=self._timeout_s)
        if not answer.good:
            raise self._refusal(answer, now)

    def _refusal(self, answer: Answer, now: Stamp) -> Undelivered | Declined:
        why = f"{self._url.place}: {answer.words}"
        if answer.status in range(300, 400):
            why += ": redirects are not followed; write the address that it leads to"
        # Signed before the clock was set, its timestamp may be all that is wrong with it.
        if answer.status in _ABOUT_THE_BODY and (self._key is None or now.synchronised):
            return Declined(why)
        return Undelivered(why, after_s=min(answer.retry_after_s, MOST_RETRY_AFTER_S))


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "device": alert.device,
        "state": alert.state,
        "severity": alert.severity,
        **_time("since", alert.since),
        "value": alert.value,
        "message": alert.message,
        "labels": alert.labels,
    }


def _time(name: str, stamp: Stamp) -> dict[str, str]:
    doubt = {} if stamp.synchronised else {"clock": "unsynchronised"}
    return {name: rfc3339(stamp.wall_ns), **doubt}
