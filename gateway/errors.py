"""Errors say who must act.

GatewayError
├─ UsageError          whoever typed the command: exit status 2
├─ ConfigError         the operator: file, line, column, key, what is allowed; exit status 78
├─ LinkError           the supervisor opens the port again
│  ├─ LinkAbsent       there is no such port (yet)
│  ├─ LinkBusy         somebody else holds it
│  ├─ LinkDenied       we may not open it
│  ├─ LinkLost         it was open and went away
│  └─ LinkSilent       it is open, but the instrument does not answer
├─ FrameError          nobody: this frame is counted as refused, the next one may be good
├─ Refused             whoever gave the command: something in it is not allowed, or the instrument said no
├─ ListenError         the supervisor tries again: an address cannot be listened on
├─ JournalError        the operator: another process has the journal, or a newer Sallyport wrote it
├─ BadPacket           the publishing link: it says so to the broker and hangs up
├─ PublishError        the forwarder
│  ├─ Unreachable      keep the record, connect again
│  │  └─ Dismissed     the broker sent us away for reasons of its own: no record is to blame
│  ├─ Deferred         the broker does not take this message now: the window sends it again
│  └─ Rejected         the broker will never take this record: count it, go on
└─ NotifyError         the outbox
   ├─ Undelivered      keep the notice, try again later
   └─ Declined         the receiver will never take this notice: count it, go on

Anything else is a bug: a traceback in the log, and the child that raised it is restarted.
"""


class GatewayError(Exception):
    """Root of everything Sallyport raises on purpose."""


class UsageError(GatewayError):
    """An argument of the command line that cannot be used."""


class ConfigError(GatewayError):
    """The configuration cannot be used; `problems` holds one finished line for each reason."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class LinkError(GatewayError):
    """The way to an instrument is gone. The message names the port."""


class LinkAbsent(LinkError):
    pass


class LinkBusy(LinkError):
    pass


class LinkDenied(LinkError):
    pass


class LinkLost(LinkError):
    pass


class LinkSilent(LinkError):
    pass


class FrameError(GatewayError):
    """What came is not a good frame. The message is the reason it is counted under, one of a few."""


class Refused(GatewayError):
    """A command, to a device or to the gateway, was not carried out. The message says why."""


class ListenError(GatewayError):
    """The message names the address."""


class JournalError(GatewayError):
    pass


class BadPacket(GatewayError):
    """What a broker sent is not MQTT. The message names the section; `code` is the reason we hang up with."""

    def __init__(self, what: str, *, code: int) -> None:
        super().__init__(what)
        self.code = code


class PublishError(GatewayError):
    """A message did not reach the broker."""


class Unreachable(PublishError):
    pass


class Dismissed(Unreachable):
    pass


class Deferred(PublishError):
    """The message begins with the broker's name."""


class Rejected(PublishError):
    pass


class NotifyError(GatewayError):
    """A notice did not arrive. The message says why, without the receiver's secrets."""


class Undelivered(NotifyError):
    """`after_s`: how long the receiver wants to be left alone, where it has said so."""

    def __init__(self, why: str, *, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Declined(NotifyError):
    pass
