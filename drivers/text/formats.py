"""What balances and multimeters print unless they are told otherwise.

These patterns are ours, so that Python's `re` may match them: lines longer than LONGEST are not tried.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from drivers.text.units import Unit, unit
from gateway.errors import FrameError
from gateway.model import Value

LONGEST = 64

_NUMBER = r"(?P<sign>[-+]?)\s*(?P<number>\d+(?:[.,]\d*)?(?:[eE][-+]?\d{1,3})?|[.,]\d+(?:[eE][-+]?\d{1,3})?)"
_UNIT_LETTERS = r"[A-Za-zµμΩ\u2126°%/]{1,6}"
_UNIT = rf"(?P<unit>{_UNIT_LETTERS})"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to print a value: what the line looks like, and what its mark says about the display."""

    pattern: re.Pattern[str]
    stable: Mapping[str, bool] = field(default_factory=dict)
    otherwise: bool | None = None
    """What another mark means; None: nothing."""
    unmarked: bool | None = None
    """What it means that there is no mark."""
    of_balance: bool = True


FORMS = {
    "mt-sics": Form(
        re.compile(rf"[A-Z]{{1,3}}\d{{0,2}} (?P<mark>[SDA])\s+{_NUMBER}\s*{_UNIT}?"), {"S": True, "D": False}
    ),
    "and": Form(
        re.compile(rf"(?P<mark>ST|US|QT|SD|HD)(?:,\s?[A-Z]{{1,2}})?,\s*{_NUMBER}\s*{_UNIT}?"),
        {"ST": True, "US": False, "QT": True, "SD": True},
    ),
    "kern": Form(
        re.compile(
            # Its columns need no space between them: a unit of two letters, or of one behind a space, a result of
            # weighing, and the mark.
            rf"{_NUMBER}\s*(?P<unit>[A-Z]{{2}}(?=[LGHTU1-5][SU]$)|(?<= )[G%](?=[LGHTU1-5][SU]$)|{_UNIT_LETTERS})?"
            r"(?:(?:\s+|(?=[LGHTU1-5][SU]$))[LGHTU1-5]?\s*(?P<mark>[SU]))?"
        ),
        {"S": True, "U": False},
    ),
    "ohaus": Form(
        re.compile(rf"{_NUMBER}\s*{_UNIT}?\s*(?P<mark>\??)(?:\s*(?:PT|NET|[NGTB]))?"),
        {"?": False},
        unmarked=True,
    ),
    "sartorius": Form(
        re.compile(rf"(?:[A-Za-z#][^\s\d]{{0,5}}\d?\s+)?{_NUMBER}(?:\s*(?P<mark>{_UNIT}))?"),
        otherwise=True,
        unmarked=False,
    ),
    "plain": Form(
        re.compile(
            rf"(?:[A-Za-z#][\w/#]{{0,11}}[\s:=,]+){{0,3}}(?:[A-Z]{{2}}(?=[-+]))?{_NUMBER}\s*{_UNIT}?"
            r"(?P<mark>\s*\?)?(?:\s+[A-Za-z~=*]{1,4}){0,3}"
        ),
        {"?": False},
        of_balance=False,
    ),
}
"""By name; one balance can usually be set to several of them.

mt-sics    Mettler Toledo, standard interface command set: `S S     100.00 g`, D while it moves
and        A&D and many indicators: `ST,+00026.90  g`, US while it moves; also `ST,GS,+  26.90kg`
kern       KERN: `+0026.90 G S`, U while it moves
ohaus      Ohaus: `   26.90 g ?  N`, the question mark while it moves
sartorius  Sartorius SBI, with or without the word before it: `N     +   26.90 g`, without unit while it moves
plain      a number and a unit, with some words around them
"""

_AUTO = ("mt-sics", "and", "kern", "plain")

_REFUSED = re.compile(
    r"(?P<overload>OL,.*|S[IRNX]* [-+]|.*\sE|"
    r"(?:[^\s\d]\S*\s+){0,3}[-+]?\s*[.0]*(?:OL|0L|OVER|HIGH|LOW|High|Low|HH?|LL?)(?:\s.*)?)"
    r"|(?P<error>E[STL]|\w{1,3} [IEL]|(?:Stat\s+)?(?:Err|ERR|Error|ERROR)\b.*|EC,.*)"
)
"""What has no value, whatever numbers stand in it."""


class Printed:
    """Reads a line in one of these forms.

    A frame's id is the metric, which is named after the unit: `weight`, `voltage`.
    """

    def __init__(self, name: str, *, scaled: bool) -> None:
        self._forms = [FORMS[each] for each in (_AUTO if name == "auto" else (name,))]
        self._scaled = scaled

    def read(self, line: str) -> tuple[str, dict[str, Value]]:
        """The id of the frame and its values. Raises: FrameError."""
        text = line.strip(" \t\0").replace("[", "").replace("]", "")
        if len(text) > LONGEST:
            raise FrameError("no match")
        if refused := _REFUSED.fullmatch(text):
            raise FrameError("overload" if refused["overload"] else "error of the instrument")
        # A line without a mark may be anybody's: of several forms, only the last takes it.
        for form in self._forms:
            found = form.pattern.fullmatch(text)
            if found and (found["mark"] or form is self._forms[-1]) and (values := self._values(form, found)):
                return next(iter(values)), values
        raise FrameError("no match")

    def _values(self, form: Form, found: re.Match[str]) -> dict[str, Value]:
        printed = found["unit"] or ""
        known = unit(printed, of_balance=form.of_balance) if printed else None
        if printed and known is None:
            return {}
        if known is None:
            known = Unit("weight" if form.of_balance else "value")
        number = float((found["sign"] + found["number"]).replace(",", "."))
        if not isfinite(number):
            return {}
        if self._scaled:
            number = number * known.scale + known.offset
        values: dict[str, Value] = {known.metric: number}
        mark = (found["mark"] or "").strip()
        stable = form.stable.get(mark, form.otherwise) if mark else form.unmarked
        if stable is not None:
            values["stable"] = stable
        return values
