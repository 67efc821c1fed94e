"""From what is written in [notify.<name>] to an outbox that can run."""

import ssl
from collections.abc import Awaitable, Callable
from math import inf

from gateway.config.notify import NotifyOptions, key_of
from gateway.config.webhook_url import WebhookUrl
from gateway.model import Clock
from gateway.notify.apprise_receiver import AppriseReceiver
from gateway.notify.grouping import Grouping, Rhythm
from gateway.notify.outbox import Outbox, Patience, at_once, nobody
from gateway.notify.receiver import Receiver
from gateway.notify.webhook import Webhook


def outbox(
    name: str,
    options: NotifyOptions,
    *,
    gateway: str,
    clock: Clock,
    changed: Callable[[], None] = nobody,
    settled: Callable[[], Awaitable[None]] = at_once,
) -> Outbox:
    """`changed`, `settled`: see Outbox."""
    patience = Patience(
        retry_max_s=options.retry_max,
        per_minute=options.per_minute,
        give_up_after_s=options.give_up_after,
        most_waiting=options.max_waiting,
    )
    return Outbox(
        name, receiver(options, clock=clock), grouping(options, gateway=gateway),
        clock=clock, patience=patience, changed=changed, settled=settled,
    )  # fmt: skip


def grouping(options: NotifyOptions, *, gateway: str) -> Grouping:
    return Grouping(
        Rhythm(
            by=options.group_by,
            wait_s=options.group_wait,
            interval_s=options.group_interval,
            repeat_s=inf if options.repeat_interval is None else options.repeat_interval,
            resolved=options.resolved,
        ),
        gateway=gateway,
    )


def receiver(options: NotifyOptions, *, clock: Clock) -> Receiver:
    if not options.webhook:
        return AppriseReceiver(options.url.get_secret_value())
    url = WebhookUrl.parse(options.url.get_secret_value())
    tls = None
    if url.scheme == "https":
        tls = ssl.create_default_context(cafile=options.ca)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return Webhook(
        url,
        clock=clock,
        key=key_of(options.secret.get_secret_value()) if options.secret else None,
        headers={name: value.get_secret_value() for name, value in options.headers.items()},
        tls=tls,
        timeout_s=options.timeout,
    )
