"""From an expression to the source of a Python function, node by node: what is not named here is refused.

Python's parser reads the text; nothing of it gets into the function but operators, and numbers written anew. Texts and
everything else that it needs come in under names of ours.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from math import isfinite
from typing import NamedTuple, NoReturn

from gateway.model import Value
from gateway.rules.memory import COUNTED
from gateway.rules.names import THIS, BadExpression, Site, did_you_mean
from gateway.rules.windows import LONGEST_S, WINDOWS
from gateway.units import duration, written_duration

LONGEST = 2000
"""Characters."""

DEEPEST = 40
"""Parts within each other; a sum is as deep as it is long. Python gives up at 200 brackets, and we write up to four
for each."""

_LARGEST = 2**63
_MOST_DECIMALS = 15
_MAX = "1.7976931348623157e308"
USES = {
    **{name: f'{name}(device.metric, "5m")' for name in WINDOWS},
    "abs": "abs(number)",
    "min": "min(number, number)",
    "max": "max(number, number)",
    "round": "round(number) or round(number, decimals)",
    "previous": "previous(device.metric)",
    "age": "age(device)",
    "stale": "stale(device)",
    "offline": "offline(device)",
    "hour": "hour()",
    "weekday": "weekday()",
}
"""How each function is used."""
_ELSEWHERE = {
    "average": "avg",
    "avg_over_time": "avg",
    "count": "count_over",
    "delay": "age",
    "increase": "delta",
    "last": "previous",
    "len": "count_over",
    "mean": "avg",
    "sum": "sum_over",
}
"""What other languages call a function that we have."""
_BOOLEANS = {"true": True, "false": False}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_ORDER: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EQUALITY: dict[type[ast.cmpop], str] = {ast.Eq: "==", ast.NotEq: "!="}
_MEMBERSHIP: dict[type[ast.cmpop], str] = {ast.In: "in", ast.NotIn: "not in"}

_DASHED = re.compile(r"(?<![\w.-])[^\W\d]\w*(?:-\w+)+(?=\.)")
_DASHED_METRIC = re.compile(r"(?P<device>[^\W\d][\w-]*)\.(?P<metric>\w+(?:-\w+)+)")
_SLIPS = re.compile(
    r"(?P<least>=[<>])|(?P<equal>(?<![<>=!])=(?!=))|(?P<unequal><>)|(?P<and>&&|\bAND\b)|(?P<or>\|\||\bOR\b)"
    r"|(?P<not>!(?!=)|\bNOT\b)|(?P<span>(?<![\w.])\d+(?:\.\d+)?(?:ms|[smhd])(?:\d+(?:ms|[smhd]))*\b)"
)
_MEANT = {
    "equal": "write == to compare",
    "least": "write >= or <= instead of {}",
    "unequal": "write != instead of {}",
    "and": "write and instead of {}",
    "or": "write or instead of {}",
    "not": "write not instead of {}",
    "span": 'a duration stands in quotes: write "{}"',
}
"""What people write who come from another language."""
_NEVER_HERE: dict[type[ast.AST], str] = {
    ast.Pow: "there are no powers: write x * x",
    ast.BitAnd: "write and instead of &",
    ast.BitOr: "write or instead of |",
    ast.BitXor: "write != instead of ^",
    ast.Invert: "write not instead of ~",
    ast.Is: "write == instead of is",
    ast.IsNot: "write != instead of is not",
}


@dataclass(frozen=True)
class Crossing:
    """The age of a device reaches so many seconds."""

    device: str
    seconds: float


@dataclass(frozen=True)
class Age:
    """An age that changes all the time."""


@dataclass(frozen=True)
class Hours:
    """The hour or the day of the week."""


Timer = Crossing | Age | Hours


class WindowOf(NamedTuple):
    device: str
    metric: str
    function: str
    seconds: float


class Part(NamedTuple):
    """A condition within a condition; places count characters from 0."""

    start: int
    end: int
    depth: int
    operands: tuple[tuple[int, int], ...]
    """What it compares, constants apart."""


class Kind(Enum):
    """What is known of a part's value; a number, truth or text is sure to be that, or else something is raised."""

    NUMBER = auto()
    TRUTH = auto()
    TEXT = auto()
    SPAN = auto()
    """A number of seconds: compared with a text, that is a duration."""
    ANY = auto()
    """A number, truth, text, or Unknown."""


@dataclass(frozen=True, slots=True)
class Code:
    text: str
    kind: Kind
    at: int
    constant: Value | None = None
    rough: bool = False
    """Arithmetic that may have become infinite."""
    settled: bool = False
    """A variable that is true, false or Unknown; nothing can be raised."""
    aged: str = ""
    """It is the age of this device, and nothing else."""


class Coder:
    def __init__(self, text: str, site: Site, each: Sequence[str] | None) -> None:
        self.doubts: list[tuple[int, str]] = []
        self.metrics: dict[tuple[str, str], str] = {}
        self.windows: dict[WindowOf, str] = {}
        self.devices: dict[str, str] = {}
        """Of which the age or staleness is asked for. Of this and the two above: the names in the function."""
        self.timers: dict[Timer, None] = {}
        self.constants: dict[str, object] = {}
        self._text = text
        self._site = site
        self._each = each
        self._lines: list[str] = []
        self._indent = 2
        self._depth = 0
        self._variables = 0

    def function(self, *, condition: bool) -> str:
        """The source of `make`, which takes the counter, metrics, windows and devices and returns the function.

        Raises: BadExpression.
        """
        code = self._code(self._parsed())
        if condition:
            self._settle("result", code)
        else:
            self._guarded("result", self._any(code))
        self._line("return noted(result, unknown) if result.__class__ is Unknown else result")
        parameters = ["unknown", *self.metrics.values(), *self.windows.values(), *self.devices.values()]
        head = [f"def make({', '.join(parameters)}):", " def judge(at):", "  now = at.mono"]
        return "\n".join([*head, *self._lines, " return judge"])

    def parts(self) -> Iterator[Part]:
        """The whole, and the conditions that it is made of with and, or and not. Raises: BadExpression."""
        return self._parts(self._parsed(), 0)

    def _parts(self, node: ast.expr, depth: int) -> Iterator[Part]:
        within: Sequence[ast.expr] = ()
        compared: Sequence[ast.expr] = ()
        match node:
            case ast.BoolOp(values=values):
                within = values
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                within = (operand,)
            case ast.Compare(left=left, comparators=others):
                compared = [each for each in (left, *others) if not isinstance(each, _FIXED)]
        operands = tuple((self._column(each), self._end(each)) for each in compared)
        yield Part(self._column(node), self._end(node), depth, operands)
        for each in within:
            yield from self._parts(each, depth + 1)

    def _parsed(self) -> ast.expr:
        if len(self._text) > LONGEST:
            raise BadExpression(LONGEST, f"an expression may have {LONGEST} characters")
        if not self._text.strip():
            raise BadExpression(0, "must not be empty")
        self._python = self._site.masked(self._text).lstrip(" ")
        self._offset = len(self._text) - len(self._python)
        try:
            with warnings.catch_warnings(action="ignore"):  # that \\d in a text means nothing, for instance
                return ast.parse(self._python, mode="eval").body
        except SyntaxError as error:
            self._refuse_syntax(error)
        except (
            RecursionError,
            MemoryError,
            ValueError,
        ):  # how deep, and whether a NUL, differs between Pythons
            raise BadExpression(
                0, "cannot be read: it is too deep, or holds characters that no text may"
            ) from None

    def _refuse_syntax(self, error: SyntaxError) -> NoReturn:
        column = max((error.offset or 1) - 1, 0) + self._offset
        if "literal" in error.msg and (word := _DASHED.search(self._text)):  # rack-9.power: 9.p is no number
            self._refuse_device(word.start(), word[0])
        if not error.offset:
            raise BadExpression(len(self._text.rstrip()) - 1, "something is missing after this") from None
        for slip in _SLIPS.finditer(self._text):
            if slip.start() <= column <= slip.end() + 1:  # Python may stop at the word behind
                raise BadExpression(slip.start(), _MEANT[slip.lastgroup or ""].format(slip[0])) from None
        text = error.msg.partition(". ")[0]
        raise BadExpression(min(column, len(self._text) - 1), f"cannot be read: {text}") from None

    def _column(self, node: ast.expr) -> int:
        """Of a node's first character in the text; Python counts bytes."""
        return len(self._python.encode()[: node.col_offset].decode()) + self._offset

    def _end(self, node: ast.expr) -> int:
        return len(self._python.encode()[: node.end_col_offset].decode()) + self._offset

    def _refuse(self, node: ast.expr, text: str) -> NoReturn:
        raise BadExpression(self._column(node), text)

    def _line(self, text: str) -> None:
        self._lines.append(" " * self._indent + text)

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    # What a part may be

    def _code(self, node: ast.expr) -> Code:  # noqa: C901, PLR0912 - the whitelist
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(node, f"it is nested too deeply: no more than {DEEPEST} within each other")
        match node:
            case ast.Constant():
                code = self._constant(node)
            case ast.Name(id=name) if name in _BOOLEANS:
                code = self._literal(node, _BOOLEANS[name])
            case ast.Attribute() | ast.Subscript():
                code = self._of(node, f"{self._cell(node)}.value", Kind.ANY)
            case ast.UnaryOp():
                code = self._unary(node)
            case ast.BinOp():
                code = self._arithmetic(node)
            case ast.Compare():
                code = self._comparison(node)
            case ast.BoolOp():
                code = self._logic(node, node.op, [partial(self._code, each) for each in node.values])
            case ast.IfExp():
                code = self._choice(node)
            case ast.Call():
                code = self._call(node)
            case ast.Name():
                self._refuse_name(node)
            case ast.Tuple() | ast.List() | ast.Set():
                self._refuse(node, "a list can only stand behind in")
            case _:
                self._refuse(node, f"this cannot stand in an expression ({type(node).__name__})")
        self._depth -= 1
        return code

    def _of(self, node: ast.expr, text: str, kind: Kind, *, rough: bool = False) -> Code:
        return Code(text, kind, self._column(node), rough=rough)

    def _constant(self, node: ast.Constant) -> Code:
        match node.value:
            case bool() | str():
                pass
            case int(number) if abs(number) >= _LARGEST:
                self._refuse(node, "this number is too large")
            case float(number) if not isfinite(number):
                self._refuse(node, "this number is too large")
            case int() | float():
                pass
            case _:
                self._refuse(node, "must be a number, a text, true or false")
        return self._literal(node, node.value)

    def _literal(self, node: ast.expr, value: Value) -> Code:
        if isinstance(value, str):
            name = f"k{len(self.constants)}"
            self.constants[name] = value
            return replace(self._of(node, name, Kind.TEXT), constant=value)
        kind = Kind.TRUTH if isinstance(value, bool) else Kind.NUMBER
        return replace(self._of(node, f"({value!r})", kind), constant=value)

    def _unary(self, node: ast.UnaryOp) -> Code:
        if type(node.op) in _NEVER_HERE:
            self._refuse(node, _NEVER_HERE[type(node.op)])
        code = self._code(node.operand)
        if isinstance(node.op, ast.Not):
            return self._of(node, f"(not {self._truth(code)})", Kind.TRUTH)
        if code.kind is Kind.NUMBER and code.constant is not None:
            return self._literal(node, -code.constant if isinstance(node.op, ast.USub) else code.constant)  # type: ignore[operator]
        sign = "-" if isinstance(node.op, ast.USub) else "+"
        return self._of(node, f"({sign}{self._number(code)})", _numeric(code))

    def _arithmetic(self, node: ast.BinOp) -> Code:
        if type(node.op) not in _ARITHMETIC:
            self._refuse(node, _NEVER_HERE.get(type(node.op), "there is no such operator here"))
        divides = isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod)
        left, right = self._code(node.left), self._code(node.right)
        # 1 / infinity would look sound again.
        one, other = self._number(left, rough=True), self._number(right, rough=not divides)
        text = f"({one} {_ARITHMETIC[type(node.op)]} {other})"
        return self._of(node, text, _numeric(left, right), rough=True)

    def _choice(self, node: ast.IfExp) -> Code:
        test, yes, no = (self._code(each) for each in (node.test, node.body, node.orelse))
        kind = yes.kind if yes.kind is no.kind else Kind.ANY
        return self._of(node, f"({self._any(yes)} if {self._truth(test)} else {self._any(no)})", kind)

    def _logic(self, node: ast.expr, op: ast.boolop, operands: Sequence[Callable[[], Code]]) -> Code:
        """Each operand is looked at only while nothing has decided; none can raise."""
        decides, goes_on = ("False", "True") if isinstance(op, ast.And) else ("True", "False")
        result = self._variable()
        for index, operand in enumerate(operands):
            if index:
                self._line(f"if {result} is not {decides}:")
                self._indent += 1
            part = self._variable() if index else result
            self._settle(part, operand())
            if index:
                self._line(f"if {part} is {decides} or {result} is {goes_on}: {result} = {part}")
                self._indent -= 1
        return replace(self._of(node, result, Kind.ANY), settled=True)

    def _settle(self, variable: str, code: Code) -> None:
        if code.settled:
            self._line(f"{variable} = {code.text}")
        else:
            self._guarded(variable, self._truth(code))

    def _guarded(self, variable: str, text: str) -> None:
        self._line("try:")
        self._line(f" {variable} = {text}")
        self._line("except MISHAPS as error:")
        self._line(f" {variable} = reason(error)")

    # Comparisons

    def _comparison(self, node: ast.Compare) -> Code:
        for op in node.ops:
            if type(op) in _NEVER_HERE:
                self._refuse(node, _NEVER_HERE[type(op)])
            if type(op) in _MEMBERSHIP and len(node.ops) > 1:
                self._refuse(node, "write and between two comparisons with in")
        if len(node.ops) > 1:
            return self._chain(node)
        if type(node.ops[0]) in _MEMBERSHIP:
            return self._membership(node)
        left, right = self._code(node.left), self._code(node.comparators[0])
        return self._of(node, self._compared(left, node.ops[0], right), Kind.TRUTH)

    def _chain(self, node: ast.Compare) -> Code:
        operands = [self._code(each) for each in (node.left, *node.comparators)]

        def pair(index: int) -> Code:
            left, right = operands[index : index + 2]
            return self._of(node, self._compared(left, node.ops[index], right), Kind.TRUTH)

        return self._logic(node, ast.And(), [partial(pair, index) for index in range(len(node.ops))])

    def _compared(self, left: Code, op: ast.cmpop, right: Code) -> str:
        left, right = self._as_spans(left, right), self._as_spans(right, left)
        if (text := _EQUALITY.get(type(op))) is not None:
            return self._equated(left, text, right)
        text = _ORDER[type(op)]
        for one, other in ((left, right), (right, left)):
            if one.kind is Kind.TEXT:
                advice = f": write {one.constant} without quotes" if _is_number(one.constant) else ""
                raise BadExpression(one.at, f"a text can only be compared with ==, != and in{advice}")
            if one.aged and other.constant is not None:
                # Written so that it is true from the very moment that `due` tells.
                self.timers[Crossing(one.aged, float(other.constant))] = None
                moment = f"+{self.devices[one.aged]}.at + {float(other.constant)!r}"
                return f"(now {text} {moment})" if one is left else f"({moment} {text} now)"
        return f"({self._number(left)} {text} {self._number(right)})"

    def _equated(self, left: Code, text: str, right: Code) -> str:
        kinds = {left.kind, right.kind}
        if kinds == {Kind.TEXT, Kind.ANY}:
            known, other = (left, right) if left.kind is Kind.TEXT else (right, left)
            value = self._variable()
            asked = f"({value} := {other.text}).__class__ is str"
            return f"({value} {text} {self._any(known)} if {asked} else mistyped({value}))"
        if Kind.TEXT in kinds and len(kinds) > 1:
            one = left if left.kind is Kind.TEXT else right
            raise BadExpression(one.at, "a number is never equal to a text")
        if kinds == {Kind.TEXT}:
            return f"({self._any(left)} {text} {self._any(right)})"
        if kinds == {Kind.ANY}:
            return f"({'not ' if text == '!=' else ''}equal({left.text}, {right.text}))"
        return f"({self._number(left)} {text} {self._number(right)})"

    def _as_spans(self, code: Code, other: Code) -> Code:
        if other.kind is not Kind.SPAN or not isinstance(code.constant, str):
            return code
        seconds = self._duration(code)
        return Code(f"({seconds!r})", Kind.NUMBER, code.at, constant=seconds)

    def _duration(self, code: Code) -> float:
        try:
            return duration(code.constant)
        except ValueError as error:
            raise BadExpression(code.at, str(error)) from None

    def _membership(self, node: ast.Compare) -> Code:
        left, [right] = self._code(node.left), node.comparators
        negation = "not " if isinstance(node.ops[0], ast.NotIn) else ""
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            whole = self._code(right)
            if {left.kind, whole.kind} - {Kind.TEXT, Kind.ANY}:
                self._refuse(
                    right, 'behind in stands a list, such as ("on", "auto"), or a text that is searched'
                )
            return self._of(node, f"({negation}contains({self._any(left)}, {self._any(whole)}))", Kind.TRUTH)
        if not right.elts:
            self._refuse(right, "this list is empty")
        choices = []
        for each in right.elts:
            choice = self._code(each)
            if choice.constant is None:
                self._refuse(each, "a list holds numbers, texts, true and false only")
            choices.append(self._as_spans(choice, left))
        if len({choice.kind is Kind.TEXT for choice in choices}) > 1:
            self._refuse(right, "a list holds either texts or numbers")
        return self._listed(node, negation, left, choices)

    def _listed(self, node: ast.Compare, negation: str, left: Code, choices: list[Code]) -> Code:
        name = f"k{len(self.constants)}"
        self.constants[name] = frozenset(choice.constant for choice in choices)
        if choices[0].kind is not Kind.TEXT:
            text = f"({self._number(left)} {negation}in {name})"
        elif left.kind is Kind.ANY:
            value = self._variable()
            asked = f"({value} := {left.text}).__class__ is str"
            text = f"({value} {negation}in {name} if {asked} else mistyped({value}))"
        elif left.kind is Kind.TEXT:
            text = f"({left.text} {negation}in {name})"
        else:
            raise BadExpression(left.at, "a number is never equal to a text")
        return self._of(node, text, Kind.TRUTH)

    # What is wanted of a part

    def _any(self, code: Code) -> str:
        if code.aged:
            self.timers[Age()] = None
        if not code.rough:
            return code.text
        value = self._variable()
        return f"({value} if -{_MAX} <= ({value} := {code.text}) <= {_MAX} else overflow())"

    def _number(self, code: Code, *, rough: bool = False) -> str:
        if code.kind is Kind.TEXT:
            raise BadExpression(code.at, "a text cannot be calculated with")
        text = self._any(replace(code, rough=False) if rough else code)
        # A plus sign costs next to nothing and no text passes: "%9999999d" % x is a format, "ab" * x a long text.
        return f"+{text}" if code.kind is Kind.ANY else text

    def _truth(self, code: Code) -> str:
        match code.kind:
            case Kind.TRUTH:
                return code.text
            case Kind.TEXT:
                raise BadExpression(code.at, "a text is neither true nor false: compare it with ==")
            case Kind.ANY:
                value = self._variable()
                return f"({value} if ({value} := {code.text}).__class__ is bool else truth({value}))"
            case _:
                return f"({self._number(code)} != 0)"

    # Functions

    def _call(self, node: ast.Call) -> Code:  # noqa: C901, PLR0911, PLR0912 - the list of functions
        if not isinstance(node.func, ast.Name):
            self._refuse(node, "only functions can be called")
        name = node.func.id
        if name not in USES:
            meant = _ELSEWHERE.get(name, name)
            self._refuse(node, f"there is no function {name}(){did_you_mean(meant, USES)}")
        if node.keywords:
            self._refuse(node, f"{name}() takes no names for what is in its brackets")
        if name in WINDOWS:
            return self._window(node, name)
        match name, node.args:
            case "min" | "max", [_, ast.Constant(value=str())]:
                self._refuse(node, f"over time, write {USES[f'{name}_over']}")
            case "abs", [value]:
                code = self._code(value)
                return self._of(node, f"abs({self._number(code)})", _numeric(code))
            case "min" | "max", [_, _, *_]:
                codes = [self._code(each) for each in node.args]
                return self._of(node, f"{name}({', '.join(map(self._number, codes))})", _numeric(*codes))
            case "round", [value, *decimals] if len(decimals) <= 1:
                code, unit = self._code(value), 10 ** (self._decimals(decimals[0]) if decimals else 0)
                return self._of(node, f"rounded({self._number(code)}, {unit})", _numeric(code))
            case "previous", [metric]:
                return self._of(node, f"{self._cell(metric)}.before", Kind.ANY)
            case "age", [each]:
                device, variable = self._heard(each)
                return replace(self._of(node, f"(now - +{variable}.at)", Kind.SPAN), aged=device)
            case "stale" | "offline", [each]:
                return self._of(node, f"{self._heard(each)[1]}.{name}", Kind.ANY)
            case "hour", []:
                return self._hours(node, "hour")
            case "weekday", []:
                return self._hours(node, "isoweekday()")
        raise BadExpression(self._column(node), f"write {USES[name]}")

    def _hours(self, node: ast.Call, part: str) -> Code:
        self.timers[Hours()] = None
        return self._of(node, f"local(at).{part}", Kind.NUMBER)

    def _decimals(self, node: ast.expr) -> int:
        value = self._code(node).constant
        if type(value) is not int or not 0 <= value <= _MOST_DECIMALS:
            self._refuse(node, f"must be a number of decimals, 0 to {_MOST_DECIMALS}")
        return value

    def _window(self, node: ast.Call, function: str) -> Code:
        match node.args:
            case [metric, ast.Constant(value=str()) as length]:
                device, name = self._reference(metric)
            case _:
                self._refuse(node, f"write {USES[function]}")
        seconds = self._duration(self._constant(length))
        if not _SHORTEST_S <= seconds <= LONGEST_S:
            self._refuse(length, f'must be between "1ms" and "{written_duration(LONGEST_S)}"')
        key = WindowOf(device, name, function, seconds)
        variable = self.windows.setdefault(key, f"w{len(self.windows)}")
        return self._of(node, f"{variable}(now)", Kind.ANY)

    # Devices and metrics

    def _cell(self, node: ast.expr) -> str:
        return self.metrics.setdefault(self._reference(node), f"c{len(self.metrics)}")

    def _heard(self, node: ast.expr) -> tuple[str, str]:
        device = self._device(node)
        return device, self.devices.setdefault(device, f"d{len(self.devices)}")

    def _reference(self, node: ast.expr) -> tuple[str, str]:
        match node:
            case ast.Subscript(
                value=ast.Name() | ast.Constant() as owner, slice=ast.Constant(value=str(metric))
            ):
                device = self._device(owner)
            case ast.Attribute():
                whole = node.value
                while isinstance(whole, ast.Attribute):
                    whole = whole.value
                if not isinstance(whole, ast.Name | ast.Constant):
                    self._refuse(node, _METRIC)
                device = self._device(whole)
                written = "".join(self._text[self._end(whole) : self._end(node)].split())
                if not _DOTTED.fullmatch(written) or ".__" in written:
                    self._refuse(node, _METRIC)
                metric = written[1:]
            case _:
                self._refuse(node, _METRIC)
        self._check_metric(self._column(node), device, metric)
        return device, metric

    def _device(self, node: ast.expr) -> str:
        match node:
            case ast.Name():
                device = self._text[self._column(node) : self._end(node)]
            case ast.Constant(value=str(device)):
                pass
            case _ if _WORDS.fullmatch(name := self._text[self._column(node) : self._end(node)]):
                self._refuse_device(self._column(node), name)  # rack-9, which Python takes for a difference
            case _:
                self._refuse(node, "here the name of a device must stand")
        if device == THIS and self._each is not None:
            return device
        if device not in self._site.devices:
            word = next(each for each in _WORDS.finditer(self._text) if each.end() > self._column(node))
            unquoted = isinstance(node, ast.Name)
            self._refuse_device(
                word.start() if unquoted else self._column(node), word[0] if unquoted else device
            )
        return device

    def _refuse_device(self, column: int, name: str) -> NoReturn:
        if name == THIS:
            raise BadExpression(
                column, 'this is the device of a rule for several: write each = "rack-*" beside it'
            )
        raise BadExpression(column, f'there is no device "{name}"{did_you_mean(name, self._site.devices)}')

    def _refuse_name(self, node: ast.Name) -> NoReturn:
        column = self._column(node)
        word = next(each for each in _WORDS.finditer(self._text) if each.end() > column)
        name = self._text[column : self._end(node)]
        if name in self._site.devices or (name == THIS and self._each is not None):
            self._refuse(node, f"write which metric of {name}: {name}.temperature")
        if name in USES:
            self._refuse(node, f"write {USES[name]}")
        if "-" in word[0] and self._text[word.end() :].startswith((".", "[")):
            self._refuse_device(word.start(), word[0])
        for dashed in _DASHED_METRIC.finditer(self._text):
            if dashed.start() <= column < dashed.end():
                metric = f'{dashed["device"]}["{dashed["metric"]}"]'
                raise BadExpression(dashed.start(), f"a name with a dash stands in brackets: write {metric}")
        self._refuse(node, f'there is nothing called "{name}": write device.metric, and texts in quotes')

    def _check_metric(self, column: int, device: str, metric: str) -> None:
        devices = self._each or () if device == THIS and self._each is not None else (device,)
        instruments = {each: self._site.devices[each] for each in devices}
        lacking = [each for each, instrument in instruments.items() if not instrument.knows(metric)]
        if not lacking:
            return
        name = lacking[0]
        certain = instruments[name].complete
        complaint = (
            f'{name} {"has no metric" if certain else "is not known to report"} "{metric}"'
            f"{did_you_mean(metric, (each for each in instruments[name].metrics if not each.startswith(COUNTED)))}"
        )
        if len(lacking) == len(instruments) and all(each.complete for each in instruments.values()):
            raise BadExpression(column, complaint)
        self.doubts.append((column, complaint))


_FIXED = (ast.Constant, ast.UnaryOp, ast.Tuple, ast.List, ast.Set)
"""What is the same at all times; of a sign before a number the value is not shown either."""
_SHORTEST_S = 0.001
_WORDS = re.compile(r"[\w-]+")
_DOTTED = re.compile(r"(?:\.[^\W\d]\w*)+")
_METRIC = 'here a metric must stand: device.metric, or device["metric"]'


def _numeric(*codes: Code) -> Kind:
    return Kind.SPAN if any(code.kind is Kind.SPAN for code in codes) else Kind.NUMBER


def _is_number(value: Value | None) -> bool:
    try:
        float(value or "")
    except ValueError:
        return False
    return True
