"""`sallyport journal`: what waits on disk for the brokers."""

import os
import sys
from pathlib import Path

import orjson

from gateway import config, wire
from gateway.clock import system_clock
from gateway.commands.unit import journal_path, service
from gateway.errors import UsageError
from gateway.journal import lock, look
from gateway.journal.opening import boot_id

NS = 10**9
SHOWN = 10
"""Of the gaps, and of what was set aside."""


def run(path: Path, action: str, *, sure: bool) -> int:
    """Raises: ConfigError; JournalError; UsageError, when the journal is in memory."""
    options = config.load(path).journal
    if options.in_memory:
        raise UsageError(f'{path} says journal.path = "memory": there is no file to look into')
    journal = journal_path(options, service(path))
    _become_the_owner_of_its_folder(journal)
    match action:
        case "show":
            return _show(journal)
        case "export":
            return _export(journal)
        case _:
            return _purge(journal, sure=sure)


def _become_the_owner_of_its_folder(journal: Path) -> None:
    """For good: who owns it may have put links there, which lead root to what is not for them."""
    if os.geteuid() != 0:
        return
    for folder in journal.parents:
        try:
            found = folder.lstat()  # a link may be theirs, whatever it leads to
        except OSError:
            continue
        if found.st_uid != 0:
            os.setgroups([])
            os.setgid(found.st_gid)
            os.setuid(found.st_uid)
            return


def _show(path: Path) -> int:
    view = look.view(path, last=SHOWN)
    print(f"journal:   {path}")
    print(f"used by:   {lock.holder(path) or 'nobody'}")
    print(f"size:      {view.size / 1e6:.1f} MB on disk")
    print(f"run:       {view.run}")
    for reader, count in view.waiting.items():
        print(f"waiting:   {count} readings for {reader}")
    if view.oldest_wall is not None:
        print(f"oldest:    {wire.rfc3339(view.oldest_wall * NS)}")
    for wall, loss in view.gaps:
        numbers = f"{loss.first}" if loss.first == loss.last else f"{loss.first} to {loss.last}"
        print(
            f"gap:       {wire.rfc3339(wall * NS)} {loss.device} {numbers}: {loss.lost} lost, {loss.reason}"
        )
    for wall, each in view.aside:
        print(
            f"set aside: {wire.rfc3339(wall * NS)} {each.device} {each.seq}:"
            f" {each.reader} refused it on {each.topic}: {each.reason}"
        )
    return 0


def _export(path: Path) -> int:
    for record in look.records(path):
        line = {
            "offset": record.offset,
            "device": record.device,
            "seq": record.seq,
            "reading": orjson.Fragment(record.payload),
        }
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
    return 0


def _purge(path: Path, *, sure: bool) -> int:
    waiting = max(look.view(path, last=0).waiting.values(), default=0)
    if not sure:
        if not sys.stdin.isatty():
            raise UsageError("purge asks first, and nobody is here to answer: say --yes")
        answer = input(f"{path}: delete {waiting} readings that a broker has not taken? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    look.purge(path, boot=boot_id(), wall=system_clock().wall_ns // NS)
    print(f"{path}: {waiting} readings deleted")
    return 0
