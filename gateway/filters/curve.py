"""Curves through or near points."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

Point = tuple[float, float]
"""Measured, true."""

Curve = Callable[[float], float]


def chain_of_lines(points: Sequence[Point]) -> Curve:
    """Straight lines from point to point, the outermost prolonged; from two points or more, no two above each other."""
    ordered = sorted(points)
    starts = [x for x, _ in ordered[1:-1]]
    lines = [((y1 - y0) / (x1 - x0), x0, y0) for (x0, y0), (x1, y1) in pairwise(ordered)]

    def curve(value: float) -> float:
        slope, x, y = lines[bisect_right(starts, value)]
        return y + (value - x) * slope

    return curve


def polynomial(points: Sequence[Point], degree: int) -> Curve:
    """The one with the least squares; more points with different places than its degree."""
    coefficients = [*map(float, reversed(_least_squares(points, degree)))]

    def curve(value: float) -> float:
        result = 0.0
        for coefficient in coefficients:
            result = result * value + coefficient
        return result

    return curve


def _least_squares(points: Sequence[Point], degree: int) -> list[Fraction]:
    """From the constant up; by the normal equations, in fractions, where nothing is lost and no pivot can be zero."""
    size = degree + 1
    exact = [(Fraction(x), Fraction(y)) for x, y in points]
    powers = [sum((x**power for x, _ in exact), Fraction()) for power in range(2 * size - 1)]
    rows = [
        [*(powers[row + column] for column in range(size)), sum((y * x**row for x, y in exact), Fraction())]
        for row in range(size)
    ]
    for at in range(size):
        rows[at] = [each / rows[at][at] for each in rows[at]]
        for other in range(size):
            if other != at:
                rows[other] = [
                    mine - rows[other][at] * pivot for mine, pivot in zip(rows[other], rows[at], strict=True)
                ]
    return [row[-1] for row in rows]
