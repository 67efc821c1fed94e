"""How Home Assistant finds a value in what we publish, and how it says what it wants: Jinja, as Home Assistant has it.

A reading need not hold all metrics of its device. What is rendered for one that is not there must leave the entity as
it is: an empty text does so, but for a sensor that takes any text. Nothing here may ask for what is not defined: each
time Home Assistant would warn of that in its log.
"""

import re
from collections.abc import Mapping

LONGEST_TEXT = 255
"""Home Assistant takes no longer states."""

_SPECIAL = re.compile(r"[\\'\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CUT = f"truncate({LONGEST_TEXT}, true, '…', 0)"


def literal(text: str) -> str:
    """A text as Jinja writes it, whatever it holds."""
    return "'" + _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "'"


Bounds = tuple[float, float]


def number(metric: str, bounds: Bounds | None = None) -> str:
    """What is no number, such as "nan" in quotes, or out of bounds, is unknown: Home Assistant would complain."""
    of = f"value_json['values'].get({literal(metric)})"
    return f"{{% set v = {of} %}}{{{{ '' if v is none else v if {_is_number('v', bounds)} else none }}}}"


def bare_number(bounds: Bounds | None = None) -> str:
    """Likewise, for `layout = "metric"`."""
    return f"{{{{ value if {_is_number('value_json', bounds)} else none }}}}"


def _is_number(name: str, bounds: Bounds | None) -> str:
    within = "" if bounds is None else f" and {bounds[0]} <= {name} <= {bounds[1]}"
    return f"{name} is number and {name} is not boolean{within}"


def text(metric: str) -> str:
    """Of any text, or of a number that Home Assistant takes for one."""
    before = "this.state if has_value(this.entity_id) else none"
    return f"{{{{ value_json['values'].get({literal(metric)}, {before}) | string | {_CUT} }}}}"


BARE_TEXT = f"{{{{ value | {_CUT} }}}}"
"""For `layout = "metric"`."""


def truth(metric: str) -> str:
    """`true` or `false`, as `layout = "metric"` has them."""
    return f"{{{{ value_json['values'].get({literal(metric)}, '') | lower }}}}"


def choice(metric: str, options: Mapping[str, str]) -> str:
    """`options`: what Home Assistant calls it, by the value as a literal. What is none of them is unknown."""
    of = f"value_json['values'][{literal(metric)}]"
    return f"{{{{ {_table(options)}.get({of}) if {literal(metric)} in value_json['values'] else '' }}}}"


def bare_choice(options: Mapping[str, str]) -> str:
    """Likewise, for `layout = "metric"`."""
    named = f"{{% set t = {_table(options)} %}}"  # a text that looks like a number is a text first
    return f"{named}{{{{ t.get(value, t.get(value_json) if value_json is number else none) }}}}"


def command(metric: str) -> str:
    """What is sent to set it: `{"values": {…}}`, as in a reading."""
    return f"{{{{ {{'values': {{{literal(metric)}: value}}}} | tojson }}}}"


def chosen(metric: str, options: Mapping[str, str]) -> str:
    """Likewise, where Home Assistant has another name for the value; `options` as for `choice`."""
    values = ", ".join(f"{literal(name)}: {value}" for value, name in options.items())
    return f"{{{{ {{'values': {{{literal(metric)}: {{{values}}}[value]}}}} | tojson }}}}"


def _table(options: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{value}: {literal(name)}" for value, name in options.items()) + "}"


AVAILABLE = "{{ 'online' if value_json is defined and value_json.state == 'online' else 'offline' }}"
"""Of a status or an availability; a cleared one is none."""

CONNECTED = "{{ 'ON' if value_json is defined and value_json.state == 'online' else 'OFF' }}"
FIRING = "{{ 'ON' if value_json is defined and value_json.state == 'firing' else 'OFF' }}"
ATTRIBUTES = "{{ value if value_json is defined else '{}' }}"
"""Of an alert: its message, its severity; a cleared one has none."""
JOURNAL_TROUBLE = "{{ 'ON' if value_json is defined and value_json.journal is defined else 'OFF' }}"
SINCE = "{{ value_json.get('since', none) if value_json is defined else none }}"


def waiting(broker: str) -> str:
    """In the counters."""
    return f"{{{{ value_json['brokers'][{literal(broker)}]['waiting'] }}}}"
