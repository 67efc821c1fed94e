"""A journal without a file, which shows what was set aside."""

from gateway.clock import system_clock
from gateway.journal.journal import Journal
from gateway.journal.record import Record
from gateway.journal.store import Aside, Limits


class MemoryJournal(Journal):
    def __init__(self, *readers: str, max_size: int = 10**9) -> None:
        super().__init__(
            None, readers=readers, limits=Limits(max_size=max_size), sync_s=None, clock=system_clock, boot="",
            troubled=lambda _: None,
        )  # fmt: skip
        self.aside: list[Aside] = []

    def set_aside(self, reader: str, record: Record, topic: str, reason: str) -> None:
        super().set_aside(reader, record, topic, reason)
        self.aside.append(Aside(reader, record.device, record.seq, topic, reason, record.payload))
