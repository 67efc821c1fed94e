"""A power cut, as often as one likes: what a program writes is recorded, and the disk rebuilt as it may have been.

strace notes, in order, what a program's threads do to the files of one folder, with the data. From that,
`Recording.restore` makes the folder as it may be found after the power went at a given moment: all that had
been forced to the disk, and of the rest any part. (strace rather than a library between the program and the C
library, or a device below the file system: it is one small package, needs no compiler and no kernel module, and
sees whatever the program was built with.)

What may be left of what was not forced:

- A granule, a page of 4 KiB or more harshly a sector of 512 bytes, is as it was at some moment since the last fsync
  of its file, each at a moment of its own: pages reach the disk in any order, and a write may be torn in between,
  but no page ever holds a later write without the earlier ones. The same goes for the length of a file.
- Files appear, go and change their names in order, up to some moment; an fsync of anything in the folder makes
  sure of all that before it, as on ext4, XFS and btrfs.
- What a call that has not returned does may have happened or not.

Writes through mmap are not seen: SQLite's -shm file, which it makes anew; that one is left out. Whatever else may
have escaped the recording is found at once: it must end with the folder as it really is.
"""

import random
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.mosquitto import program

PAGE, SECTOR = 4096, 512

_CALLS = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
_LINE = re.compile(r"(\d+) +([\d.]+) (?:(\w+)\((.*)|<\.\.\. \w+ resumed>(.*))$")
_DESCRIPTOR = re.compile(r"(\d+)<((?:\\x\w\w)*)>")
_TEXT = re.compile(r'"((?:\\x\w\w)*)"')
_LAST_NUMBER = re.compile(r", (\d+)$")


class Left(Enum):
    """What a power cut leaves of that which was not forced to the disk."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    """As after `kill -9`."""
    BEGINNING = "its beginning"
    """In order, as far as it came; the last write torn."""
    FILES = "some files"
    PAGES = "some pages"
    SECTORS = "some sectors"


class _Span(NamedTuple):
    """When a call happened, in lines of the recording."""

    begun: int
    done: int


class _Call(NamedTuple):
    """A line of strace, or the two halves of one."""

    span: _Span
    name: str
    arguments: str
    result: int
    descriptor: int
    path: str
    """Of the descriptor."""
    texts: list[bytes]
    """The arguments in quotes."""

    @classmethod
    def parse(cls, span: _Span, name: str, text: str) -> Self:
        arguments, _, result = text.rpartition(") = ")
        arguments = arguments.rstrip(" )")
        found = _DESCRIPTOR.match(result if name == "openat" else arguments)
        return cls(
            span,
            name,
            arguments,
            int(re.split("[< ]", result)[0])
            if result[0] != "?"
            else -1,  # the process ended in the middle of it
            int(found[1]) if found else -1,
            _plain(found[2]).decode() if found else "",
            [_plain(each) for each in _TEXT.findall(arguments)],
        )

    @property
    def last_number(self) -> int:
        found = _LAST_NUMBER.search(self.arguments)
        assert found is not None
        return int(found[1])


class _Change(NamedTuple):
    """A write; without data, a new length."""

    span: _Span
    place: int
    data: bytes | None


@dataclass(eq=False)
class _File:
    changes: list[_Change] = field(default_factory=list)
    syncs: list[_Span] = field(default_factory=list)
    length: int = 0


class _Naming(NamedTuple):
    """A file gets this name; without a file, the name goes."""

    span: _Span
    name: str
    file: _File | None


class Mark(NamedTuple):
    """What the program said of itself, in its file of marks."""

    begun: int
    text: str


class Recording:
    def __init__(self, folder: Path, marks: Path) -> None:
        self.length = 0
        """In lines: the moments at which the power may be cut are 0 … length."""
        self.marks: list[Mark] = []
        self._folder = str(folder)
        self._marks = str(marks)
        self._times: list[float] = []
        self._named: dict[str, _File] = {}
        self._namings: list[_Naming] = []
        self._syncs: list[_Span] = []
        """Of anything in the folder, and of itself."""
        self._positions: dict[int, int] = {}
        self._appending: set[int] = set()

    @classmethod
    def of(cls, command: Sequence[str], *, folder: Path, marks: Path) -> Self:
        """Run a program that works in `folder`, which is empty so far, and writes marks into a file elsewhere."""
        assert not any(folder.iterdir())
        log = marks.with_suffix(".strace")
        subprocess.run(
            [program("strace"), "--follow-forks", "--seccomp-bpf", "--quiet=all", "--signal=none", "-ttt",
             "--decode-fds=path", "-xx", "--string-limit=100000000", f"--trace={_CALLS}", f"--output={log}", *command],
            check=True, timeout=300,
        )  # fmt: skip
        recording = cls(folder, marks)
        recording._read(log)
        log.unlink()
        recording._compare(folder)
        return recording

    def time(self, cut: int) -> float:
        """The wall clock, when the power is cut."""
        return self._times[min(cut, self.length - 1)]

    def cuts(self, count: int, dice: random.Random) -> list[int]:
        """Moments in or right after a call that changes something, each of them another one; and the end."""
        spans = [each.span for file in self._files() for each in file.changes] + self._syncs
        busy = sorted({line + 1 for span in spans for line in span})
        return [*sorted(dice.sample(busy, min(count, len(busy)))), self.length]

    def slowest_sync_s(self) -> float:
        return max(self._times[each.done] - self._times[each.begun] for each in self._syncs)

    def restore(self, cut: int, folder: Path, left: Left, dice: random.Random) -> None:
        """Make `folder` as it is found when the power is back."""
        forced = _forced(self._syncs, cut)
        sure = sum(each.span.done < forced for each in self._namings)
        begun = sum(each.span.begun < cut for each in self._namings)
        names: dict[str, _File] = {}
        for _, name, file in self._namings[: _some(sure, begun, left, dice)]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        folder.mkdir()
        for name, file in names.items():
            (folder / name).write_bytes(_content(file, cut, left, dice))

    def _files(self) -> set[_File]:
        return {each.file for each in self._namings if each.file is not None}

    def _compare(self, folder: Path) -> None:
        """Raises: RuntimeError: the recording is not what happened."""
        there = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
        dice = random.Random(0)
        replayed = {
            name: _content(file, self.length, Left.EVERYTHING, dice) for name, file in self._named.items()
        }
        wrong = [name for name in {*there, *replayed} if there.get(name) != replayed.get(name)]
        if wrong:
            raise RuntimeError(f"the recording does not lead to what is in the folder: {wrong}")

    def _read(self, log: Path) -> None:
        ours = tuple(_hex(path) for path in (self._folder, self._marks))
        pending: dict[str, tuple[int, str, str]] = {}
        with log.open() as lines:
            for number, line in enumerate(lines):
                found = _LINE.match(line)
                self._times.append(float(found[2]) if found else self._times[-1])
                self.length = number + 1
                if not found:
                    continue
                thread, _, name, arguments, rest = found.groups()
                if name is None:
                    begun, name, arguments = pending.pop(thread, (number, "", ""))
                    arguments += rest
                elif arguments.endswith("<unfinished ...>"):
                    pending[thread] = (number, name, arguments.removesuffix("<unfinished ...>"))
                    continue
                else:
                    begun = number
                if name and any(each in arguments for each in ours):
                    call = _Call.parse(_Span(begun, number), name, arguments)
                    if call.result >= 0:
                        self._note(call)

    def _note(self, call: _Call) -> None:
        if call.path == self._marks:
            if call.name == "write":
                self.marks += (Mark(call.span.begun, line) for line in call.texts[0].decode().splitlines())
        elif call.name.startswith("rename"):
            old, new = (self._name(each.decode()) for each in call.texts[-2:])
            file = self._named[old]
            self._name_it(call.span, old, None)
            self._name_it(call.span, new, file)
        elif call.name.startswith("unlink"):
            self._name_it(call.span, self._name(call.texts[-1].decode()), None)
        elif call.path == self._folder:
            if call.name in ("fsync", "fdatasync"):
                self._syncs.append(call.span)
        else:
            self._note_of_file(call, self._name(call.path))

    def _note_of_file(self, call: _Call, name: str) -> None:
        file = self._named.get(name)
        if file is None:
            if call.name != "openat":
                return  # of a file that is deleted and still open, or whose name says that it is mapped
            file = _File()
            self._name_it(call.span, name, file)
        match call.name:
            case "openat":
                self._positions[call.descriptor] = 0
                self._appending.discard(call.descriptor)
                if "O_APPEND" in call.arguments:
                    self._appending.add(call.descriptor)
                if "O_TRUNC" in call.arguments:
                    self._change(file, call.span, 0, None)
            case "write":
                appending = call.descriptor in self._appending
                place = file.length if appending else self._positions[call.descriptor]
                self._positions[call.descriptor] = place + call.result
                self._change(file, call.span, place, call.texts[0][: call.result])
            case "pwrite64":
                self._change(file, call.span, call.last_number, call.texts[0][: call.result])
            case "ftruncate":
                self._change(file, call.span, call.last_number, None)
            case "fsync" | "fdatasync":
                file.syncs.append(call.span)
                self._syncs.append(call.span)

    def _change(self, file: _File, span: _Span, place: int, data: bytes | None) -> None:
        file.changes.append(_Change(span, place, data))
        file.length = place if data is None else max(file.length, place + len(data))

    def _name_it(self, span: _Span, name: str, file: _File | None) -> None:
        if name.endswith("-shm"):
            return
        self._namings.append(_Naming(span, name, file))
        if file is None:
            self._named.pop(name, None)
        else:
            self._named[name] = file

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self._folder}/")


def _content(file: _File, cut: int, left: Left, dice: random.Random) -> bytes:
    forced = _forced(file.syncs, cut)
    data = bytearray()
    for each in file.changes:
        if each.span.done < forced:
            _apply(data, each, lambda _: True)
    length = len(data)
    unforced = [each for each in file.changes if each.span.done >= forced and each.span.begun < cut]
    moment = _moments(unforced, left, dice)
    for number, each in enumerate(unforced):
        _apply(data, each, lambda place, number=number: number < moment(place))  # type: ignore[misc]
        if number < moment(None):
            length = each.place if each.data is None else max(length, each.place + len(each.data))
    return bytes(data[:length].ljust(length, b"\0"))


def _apply(data: bytearray, change: _Change, survives: Callable[[int], bool]) -> None:
    """To each sector in which it survives."""
    place, new = change.place, change.data
    if new is None:  # what is behind the new end is gone, and reads as zeros should the file grow again
        new = bytes(max(0, len(data) - place))
    data.extend(bytes(max(0, place + len(new) - len(data))))
    end = place + len(new)
    start = place
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if survives(start):
            data[start:stop] = new[start - place : stop - place]
        start = stop


def _moments(changes: Sequence[_Change], left: Left, dice: random.Random) -> Callable[[int | None], int]:
    """How many of the changes a place in the file has seen; None: its length."""
    count = len(changes)
    if left is Left.FILES:
        left = dice.choice([Left.NOTHING, Left.EVERYTHING])
    last = _some(0, count, left, dice)
    match left:
        case Left.NOTHING | Left.EVERYTHING:
            return lambda _: last
        case Left.BEGINNING:
            torn = changes[last] if last < count else None
            tear = torn.place + dice.randint(0, len(torn.data)) if torn and torn.data else 0
            return lambda place: last + (place is None or place < tear)
    granule = PAGE if left is Left.PAGES else SECTOR
    drawn: dict[int, int] = {-1: last}
    return lambda place: drawn.setdefault(-1 if place is None else place // granule, dice.randint(0, count))


def _some(least: int, most: int, left: Left, dice: random.Random) -> int:
    return {Left.NOTHING: least, Left.EVERYTHING: most}.get(left, dice.randint(least, max(least, most)))


def _forced(syncs: Sequence[_Span], cut: int) -> int:
    """What was done before this moment is on the disk."""
    return max((each.begun for each in syncs if each.done < cut), default=-1)


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _hex(path: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in path.encode())
