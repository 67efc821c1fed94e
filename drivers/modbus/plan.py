"""Which registers are read with one request."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from drivers.modbus.points import Point, Span, Table

BITS_PER_REGISTER = 16

Place = tuple[Table, int]


class Block(NamedTuple):
    """One request, and what it is for."""

    span: Span
    points: tuple[Point, ...]

    def halves(self) -> tuple["Block", "Block"] | None:
        """Two requests for the same, divided in the widest gap, else in the middle; None where that cannot be."""
        ends, end = [], 0
        for point in self.points:
            end = max(end, point.span.end)
            ends.append(end)
        middle = len(self.points) / 2
        places = [
            (ends[place - 1] - self.points[place].span.first, abs(place - middle), place)
            for place in range(1, len(self.points))
            if self.points[place].span.first >= ends[place - 1]
        ]
        if not places:
            return None
        *_, place = min(places)
        return block_of(self.points[:place]), block_of(self.points[place:])


def block_of(points: Collection[Point]) -> Block:
    table, first, _ = min(point.span for point in points)
    end = max(point.span.end for point in points)
    return Block(Span(table, first, end - first), tuple(points))


def blocks(
    points: Iterable[Point], *, max_gap: int, max_registers: int, divided: Collection[Place] = ()
) -> list[Block]:
    """As few requests as possible for points in order.

    A request spans gaps of `max_gap` registers at the most, and no place that is `divided` from what is before it.
    """
    found: list[list[Point]] = []
    begin = end = 0
    for point in points:
        table, first, _ = point.span
        unit = BITS_PER_REGISTER if point.register.in_bits else 1
        if (
            found
            and found[-1][0].span.table == table
            and (table, first) not in divided
            and first - end <= max_gap * unit
            and max(end, point.span.end) - begin <= max_registers * unit
        ):
            found[-1].append(point)
            end = max(end, point.span.end)
        else:
            found.append([point])
            begin, end = first, point.span.end
    return [block_of(each) for each in found]
