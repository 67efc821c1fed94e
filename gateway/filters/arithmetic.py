"""Filters that look at each number by itself: scale, offset, calibrate, round, clamp, valid_range."""

from collections.abc import Callable
from functools import partial
from math import copysign, floor, isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.filters.curve import Point, chain_of_lines, polynomial
from gateway.filters.filter import CorrectingFilterOptions, Filter, Mapped, MetricFilterOptions

Number = Annotated[float, Field(allow_inf_nan=False)]

_EXACT = 2**53
"""Up to here each whole number is a float of its own."""


def whole(number: float) -> float:
    """As an integer, if it is one: a count that is doubled stays a count."""
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


class Scale(CorrectingFilterOptions):
    scale: Number = Field(description="Multiplies numbers by this.")

    def filter(self) -> Filter:
        factor = whole(self.scale)
        return Mapped(self.metric, lambda value: value * factor)


class Offset(CorrectingFilterOptions):
    offset: Number = Field(description="Adds this to numbers.")

    def filter(self) -> Filter:
        offset = whole(self.offset)
        return Mapped(self.metric, lambda value: value + offset)


def _points(written: Any) -> Any:
    """Arrays of two numbers as points; the rest is left for the model to refuse."""
    if isinstance(written, list):
        return tuple(tuple(each) if isinstance(each, list) else each for each in written)
    return written


_Points = Annotated[
    tuple[Annotated[tuple[Number, Number], Field(strict=False)], ...],
    BeforeValidator(_points),
    Field(min_length=2, max_length=256),
]


class Calibrate(CorrectingFilterOptions):
    calibrate: _Points = Field(
        description="Corrects numbers by points [measured, true], two or more: [[0.0, 1.0], [10.0, 12.1]]."
    )
    method: Literal["least_squares", "exact"] = Field(
        default="least_squares",
        description='"least_squares": one curve that comes close to all points; "exact": straight lines from point'
        " to point, the first and the last of them prolonged.",
    )
    degree: int = Field(
        default=1, ge=1, le=8, description="With least_squares: of the polynomial; 1 is a straight line."
    )

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        places = {measured for measured, _ in self.calibrate}
        if self.method == "exact":
            if self.degree > 1:
                raise ValueError(
                    'degree goes with method = "least_squares" only: "exact" is made of straight lines'
                )
            if len(places) < len(self.calibrate):
                raise ValueError("with exact, no two points may have the same measured value")
        elif len(places) <= self.degree:
            raise ValueError(
                f"a curve of degree {self.degree} needs {self.degree + 1} points with different measured values"
            )
        try:
            self._curve(self.calibrate)
        except OverflowError:
            raise ValueError("these points make a curve too steep for numbers to follow") from None
        return self

    def filter(self) -> Filter:
        return Mapped(self.metric, self._curve(self.calibrate))

    def _curve(self, points: tuple[Point, ...]) -> Callable[[float], float]:
        return chain_of_lines(points) if self.method == "exact" else polynomial(points, self.degree)


class Round(MetricFilterOptions):
    round: int = Field(ge=0, le=15, description="Rounds numbers to so many decimals, halves away from zero.")

    def filter(self) -> Filter:
        return Mapped(self.metric, partial(rounded, unit=10**self.round), frozenset({float}))


def rounded(value: float, unit: int) -> float:
    """To a multiple of 1 / unit; halves away from zero, as people and C's roundf do."""
    size = abs(value) * unit
    if not isfinite(size) or size >= _EXACT:
        return value  # has no digits to lose
    whole = floor(size)
    return copysign((whole + (size - whole >= 0.5)) / unit, value)  # noqa: PLR2004


class Bounds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    min: Number | None = Field(default=None, description="The least.")
    max: Number | None = Field(default=None, description="The most.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("must hold min, max or both: { min = 0, max = 100 }")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be more than max")
        return self

    def nearest(self, value: float) -> float:
        """The value itself where it is within."""
        if self.min is not None and value < self.min:
            return whole(self.min)
        if self.max is not None and value > self.max:
            return whole(self.max)
        return value


class Clamp(MetricFilterOptions):
    clamp: Bounds = Field(
        description="Moves numbers that are outside to the nearest bound: { min = 0, max = 100 }, or one of them."
    )

    def filter(self) -> Filter:
        return Mapped(self.metric, self.clamp.nearest)


class ValidRange(MetricFilterOptions):
    valid_range: Bounds = Field(
        description="Withholds numbers that are outside: { min = -40, max = 85 }, or one of them."
    )

    def filter(self) -> Filter:
        nearest = self.valid_range.nearest
        return Mapped(self.metric, lambda value: value if nearest(value) == value else None)
