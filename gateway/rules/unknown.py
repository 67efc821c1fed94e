"""What a rule cannot know, and why: neither true nor false."""

from enum import Enum
from typing import Any, NoReturn


class NotKnown(Exception):
    """Raised within an expression where an unknown value would be calculated with, which is its argument."""


class Unknown(Enum):
    """It stands where a value would, and refuses to be calculated with."""

    NOT_SEEN = "not seen yet"
    EMPTY = "nothing in the window"
    TOO_FEW = "too few readings"
    TOO_SHORT = "not watched for long enough"
    DIVISION = "division by zero"
    TYPE = "wrong type of value"
    OVERFLOW = "number too large"
    CLOCK = "clock not synchronised"

    __hash__ = object.__hash__  # they are counted; an enum's own is slow

    def __pos__(self) -> NoReturn:
        raise NotKnown(self)


MISHAPS = (NotKnown, TypeError, ZeroDivisionError, OverflowError)
"""All that an expression may raise."""


def reason(error: Exception) -> Unknown:
    match error:
        case NotKnown(args=(Unknown() as why,)):
            return why
        case ZeroDivisionError():
            return Unknown.DIVISION
        case OverflowError():
            return Unknown.OVERFLOW
        case _:
            return Unknown.TYPE


def mistyped(value: Any) -> NoReturn:
    """Of a value that is not of the type that is wanted."""
    raise NotKnown(value if value.__class__ is Unknown else Unknown.TYPE)
