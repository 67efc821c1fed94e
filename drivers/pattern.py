"""Regular expressions that people write, matched in linear time: no pattern and no line can stall the loop.

Python's own `re` backtracks: `(a+)+$` takes seconds on thirty letters. It stays for patterns that we write.
"""

from dataclasses import dataclass, field

POSITIONS_AT_MOST = 500
"""Characters that a pattern may wait for, `{n}` written out: they are what a step costs."""

TRANSITIONS_HELD = 1000
"""Beyond it those that were learned are forgotten, so that no line can fill the memory."""

LONGEST_REPEAT = 255
DEEPEST = 20
_DIGITS_AT_MOST = 8

_ANY = ((0, 0x10FFFF),)
_CLASSES = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x09, 0x0D), (0x20, 0x20)),
}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "f": "\f", "v": "\v", "0": "\0"}

Ranges = tuple[tuple[int, int], ...]


class Pattern:
    r"""A regular expression; `match` looks for it anywhere in a line, as `re.search` does.

    The part of the language that it knows: literals, `.`, `[a-z]` and `[^,]`, `\d \w \s \D \W \S` (of ASCII),
    `\t \xhh`, `|`, `(?P<name>...)`, `(...)` and `(?:...)`, which capture nothing, `* + ? {n} {n,} {n,m}`, each
    also lazy with a `?` behind it, `^` as the first and `$` as the last character. A named group cannot be
    repeated; one that stays empty is not found.

    From the end of the line to its start it is learned which places in the pattern can still come to the
    end (one look-up for each character); from the start on, at each place the first choice that can is taken,
    which is what `re` would have found. But where something is repeated that may itself be empty, as in `(?:a*?)*`,
    `re` gives up repeating once it was empty, and the groups behind it may begin elsewhere.
    """

    def __init__(self, text: str) -> None:
        """Raises: ValueError, with what is wrong in the pattern."""
        parser = _Parser(text)
        web = _Web(parser.parsed())
        self.names = tuple(parser.names)
        self._sets = [node.ranges for node in web.places]
        self._start = len(self._sets)
        follow = [_closure(node) for node in (*web.places, web.start)]
        self._accepting = _State(sum(1 << place for place, found in enumerate(follow) if web.end in found))
        self._follow = [tuple(node.place for node in found if node is not web.end) for found in follow]
        self._owners = [
            tuple(name for name, (first, end) in web.groups.items() if first <= place < end)
            for place in range(self._start)
        ]
        self._before_tables = self._tables()
        self._masks: dict[str, int] = {}
        self._states = {self._accepting.mask: self._accepting}
        self._learned = 0

    def match(self, line: str) -> dict[str, str] | None:
        """What the named groups hold; None: the pattern is not in the line."""
        state = self._accepting
        states = [state]
        for char in reversed(line):
            found = state.before.get(char)
            state = self._learn(state, char) if found is None else found
            states.append(state)
        if not state.mask >> self._start & 1:
            return None
        states.reverse()
        spans: dict[str, list[int]] = {}
        place, follow, masks, owners = self._start, self._follow, self._masks, self._owners
        for index, char in enumerate(line):
            live = states[index + 1].mask & (masks[char] if char in masks else self._mask(char))
            for choice in follow[place]:
                if live >> choice & 1:
                    place = choice
                    break
            for name in owners[place]:
                spans.setdefault(name, [index, 0])[1] = index + 1
        return {name: line[first:end] for name, (first, end) in spans.items()}

    def _learn(self, state: "_State", char: str) -> "_State":
        if self._learned >= TRANSITIONS_HELD:
            self._learned = 0
            for known in self._states.values():
                known.before.clear()
            self._states = {self._accepting.mask: self._accepting}
            self._masks.clear()
        wanted = state.mask & self._mask(char)
        mask = 0
        for table, byte in zip(
            self._before_tables, wanted.to_bytes(len(self._before_tables), "little"), strict=True
        ):
            mask |= table[byte]
        found = self._states.setdefault(mask, _State(mask))
        state.before[char] = found
        self._learned += 1
        return found

    def _mask(self, char: str) -> int:
        """The places that this character may be at."""
        mask = self._masks.get(char)
        if mask is None:
            code = ord(char)
            mask = self._masks[char] = sum(
                1 << place
                for place, ranges in enumerate(self._sets)
                if any(first <= code <= last for first, last in ranges)
            )
        return mask

    def _tables(self) -> list[list[int]]:
        """For each byte of a set of places: the places that lead to one of them."""
        before = [0] * (len(self._sets) // 8 * 8 + 8)
        for place, choices in enumerate(self._follow):
            for choice in choices:
                before[choice] |= 1 << place
        tables = []
        for first in range(0, len(before), 8):
            table = [0]
            for place in before[first : first + 8]:
                table += [known | place for known in table]
            tables.append(table)
        return tables


class _State:
    """A set of places, and what it was one character before, as far as that is known."""

    __slots__ = ("before", "mask")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.before: dict[str, _State] = {}


@dataclass(eq=False, slots=True)
class _Node:
    """A place that waits for a character, or one that leads on at once, to several in order of preference."""

    place: int = -1
    ranges: Ranges = ()
    leads_to: "list[_Node]" = field(default_factory=list)


def _closure(node: _Node) -> dict[_Node, None]:
    """The places (and the end) that come next after this one, the preferred first."""
    found: dict[_Node, None] = {}
    seen: set[_Node] = set()
    waiting = node.leads_to[::-1]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if each.place >= 0 or not each.leads_to:
            found[each] = None
        else:
            waiting += each.leads_to[::-1]
    return found


@dataclass(frozen=True, slots=True)
class _Set:
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: "tuple[_Part, ...]"


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: "tuple[_Part, ...]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: "_Part"
    least: int
    most: int | None
    lazy: bool


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    part: "_Part"


_Part = _Set | _Sequence | _Choice | _Repeat | _Group


class _Web:
    """The nodes of a pattern, made from its end to its start."""

    def __init__(self, part: _Part) -> None:
        self.places: list[_Node] = []
        self.groups: dict[str, tuple[int, int]] = {}
        self.end = _Node()
        self.start = _Node(leads_to=[self._before(part, self.end)])

    def _before(self, part: _Part, after: _Node) -> _Node:
        """The first node of a part that leads to `after`."""
        match part:
            case _Set(ranges):
                if len(self.places) >= POSITIONS_AT_MOST:
                    raise ValueError(
                        f"is too long: with {{n}} written out it has more than {POSITIONS_AT_MOST} characters"
                    )
                self.places.append(_Node(len(self.places), ranges, [after]))
                return self.places[-1]
            case _Sequence(parts):
                for each in reversed(parts):
                    after = self._before(each, after)
                return after
            case _Choice(parts):
                return _Node(leads_to=[self._before(each, after) for each in parts])
            case _Group(name, inner):
                first = len(self.places)
                after = self._before(inner, after)
                self.groups[name] = (first, len(self.places))
                return after
            case _Repeat(inner, least, most, lazy):
                return self._repeated(inner, least, most, lazy, after)

    def _repeated(self, part: _Part, least: int, most: int | None, lazy: bool, after: _Node) -> _Node:
        first = after
        if most is None:
            again = _Node()
            body = self._before(part, again)
            again.leads_to += [after, body] if lazy else [body, after]
            first = body if least else again
            least = max(least - 1, 0)
        else:
            for _ in range(most - least):
                body = self._before(part, first)
                first = _Node(leads_to=[after, body] if lazy else [body, after])
        for _ in range(least):
            first = self._before(part, first)
        return first


class _Parser:
    def __init__(self, text: str) -> None:
        self.names: list[str] = []
        self._text = text
        self._at = 0
        self._end = len(text)
        self._depth = 0

    def parsed(self) -> _Part:
        """The whole pattern, with anything before it and behind it unless it is tied to the line's ends."""
        parts: list[_Part] = []
        if not self._take("^"):
            parts.append(_Repeat(_Set(_ANY), 0, None, lazy=True))
        before_last = self._text[:-1]
        is_escaped = (len(before_last) - len(before_last.rstrip("\\"))) % 2
        tied = self._text.endswith("$") and not is_escaped
        self._end -= tied
        parts.append(self._choice())
        if self._more():
            raise self._wrong("this bracket closes nothing")
        if not tied:
            parts.append(_Repeat(_Set(_ANY), 0, None, lazy=False))
        return _Sequence(tuple(parts))

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"cannot be {self._text!r}: {what} (character {min(self._at, self._end) + 1})")

    def _more(self, stop: str = "") -> bool:
        return self._at < self._end and self._text[self._at] not in stop

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at, self._end):
            self._at += len(text)
            return True
        return False

    def _choice(self) -> _Part:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Part:
        parts = []
        while self._more("|)"):
            parts.append(self._repeated())
        return _Sequence(tuple(parts))

    def _repeated(self) -> _Part:
        known = len(self.names)
        part = self._atom()
        bounds = self._quantifier()
        if bounds is None:
            return part
        least, most = bounds
        if most != 1 and len(self.names) > known:
            raise self._wrong("a named group cannot be repeated")
        lazy = self._take("?")
        if self._more() and self._text[self._at] in "*+?{":
            raise self._wrong("there is nothing to repeat")
        return _Repeat(part, least, most, lazy)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._take("{"):
            return None
        inside, closed, _ = self._text[self._at : self._end].partition("}")
        least, comma, most = inside.partition(",")
        digits = f"{least}{most}"
        if not (closed and least and digits.isascii() and digits.isdigit() and len(digits) < _DIGITS_AT_MOST):
            raise self._wrong("a repetition is written {2}, {2,} or {2,5}, and the sign itself \\{")
        low = int(least)
        high = int(most) if most else None if comma else low
        if max(low, high or 0) > LONGEST_REPEAT or (high is not None and high < low):
            raise self._wrong(f"a repetition goes from 0 to {LONGEST_REPEAT}, the smaller number first")
        self._at += len(inside) + 1
        return low, high

    def _atom(self) -> _Part:
        char = self._text[self._at]
        if self._take("("):
            return self._group()
        if char in "*+?{":
            raise self._wrong("there is nothing to repeat")
        if char in "^$":
            raise self._wrong(f"{char} stands at the very start or end only, and the sign itself is \\{char}")
        if self._take("["):
            return _Set(self._class())
        if self._take("."):
            return _Set(_ANY)
        return _Set(self._character())

    def _group(self) -> _Part:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong("there are too many brackets within each other")
        name = ""
        if self._take("?P<"):
            name, _, _ = self._text[self._at : self._end].partition(">")
            if not name.isidentifier() or not self._take(f"{name}>"):
                raise self._wrong("a group is named with a word in < >")
            if name in self.names:
                raise self._wrong(f"there are two groups {name}")
            self.names.append(name)
        elif not self._take("?:") and self._take("?"):
            raise self._wrong("of the groups with (? only (?P<name>...) and (?:...) are known")
        part = self._choice()
        if not self._take(")"):
            raise self._wrong("a ( is not closed")
        self._depth -= 1
        return _Group(name, part) if name else part

    def _character(self) -> Ranges:
        """One character, or what one escape stands for."""
        char = self._text[self._at]
        self._at += 1
        if char != "\\":
            return ((ord(char), ord(char)),)
        if not self._more():
            raise self._wrong("a backslash stands before nothing")
        char = self._text[self._at]
        self._at += 1
        if ranges := _CLASSES.get(char.lower()):
            return ranges if char.islower() else _inverted(ranges)
        if char == "x":
            digits = self._text[self._at : min(self._at + 2, self._end)]
            if len(digits) < 2 or not set(digits) <= set("0123456789abcdefABCDEF"):  # noqa: PLR2004
                raise self._wrong("two hexadecimal digits come behind \\x")
            self._at += 2
            return ((int(digits, 16),) * 2,)
        if char.isalnum() and char not in _ESCAPES:
            raise self._wrong(f"\\{char} is not known")
        code = ord(_ESCAPES.get(char, char))
        return ((code, code),)

    def _class(self) -> Ranges:
        inverted = self._take("^")
        ranges: list[tuple[int, int]] = []
        begun = self._at
        while self._more("" if self._at == begun else "]"):
            found = self._character()
            if (
                self._more()
                and self._text[self._at] == "-"
                and self._text[self._at + 1 : self._at + 2] != "]"
            ):
                self._at += 1
                last = self._character() if self._more() else ()
                [first, *others] = (*found, *last)
                if (
                    len(others) != 1
                    or first[0] != first[1]
                    or others[0][0] != others[0][1]
                    or others[0] < first
                ):
                    raise self._wrong("a range goes from one character to a later one")
                found = ((first[0], others[0][1]),)
            ranges += found
        if not self._take("]"):
            raise self._wrong("a [ is not closed")
        return _inverted(tuple(ranges)) if inverted else tuple(ranges)


def _inverted(ranges: Ranges) -> Ranges:
    free, gaps = 0, []
    for first, last in sorted(ranges):
        if first > free:
            gaps.append((free, first - 1))
        free = max(free, last + 1)
    return (*gaps, (free, _ANY[0][1])) if free <= _ANY[0][1] else tuple(gaps)
