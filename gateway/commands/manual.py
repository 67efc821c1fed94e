"""`sallyport manual`: the man page, from what the parser knows."""

import argparse
import re
from collections.abc import Iterator

from gateway import __version__

_ENVIRONMENT = {
    "SALLYPORT_CONFIG": "The configuration, where no --config names one.",
    "SALLYPORT_MQTT_PASSWORD": "The password that goes with `tail --username`.",
    "NO_COLOR": "If set, nothing is coloured.",
}
_FOUND = {
    "/etc/sallyport/gateway.toml": "The configuration.",
    "/etc/sallyport/sallyport.schema.json": "What may stand in it, for editors.",
    "/var/lib/sallyport/journal.db": "Readings that the broker has not taken yet.",
    "/run/sallyport": "The sockets on which gateways answer `status`, `top`, `reload` and others.",
}

_ESCAPES = {
    "\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", "\u2026": "\\[u2026]",
}  # fmt: skip
"""What roff takes for something else: what is copied from the page would not be what stands there (groff_char(7))."""

_ELSEWHERE = (argparse._HelpAction, argparse._SubParsersAction)
"""What need not be said of each command."""


def page(parser: argparse.ArgumentParser) -> str:
    """In roff, with the macros of man(7)."""
    return "\n".join(_lines(parser)) + "\n"


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH SALLYPORT 1 "" "Sallyport {__version__}" "User Commands"'
    yield from (".SH NAME", r"sallyport \- serial-to-MQTT gateway")
    yield from (".SH SYNOPSIS", r".B sallyport", r".I command", ".RI [ argument " + "\\ ...]")
    yield ".SH DESCRIPTION"
    yield from _text(parser.description or "")
    yield from _options(parser)
    yield ".SH COMMANDS"
    for name, (_, command) in _commands(parser).items():
        yield from _command(f"sallyport {name}", command)
    yield ".SH EXIT STATUS"
    yield from _text((parser.epilog or "").partition("\n")[2])
    for title, entries in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FOUND)):
        yield f".SH {title}"
        for name, text in entries.items():
            yield from _entry(f"\\fB{_escaped(name)}\\fR", text)
    yield ".SH SEE ALSO"
    yield from _text(
        "journalctl(1), systemctl(1). The folder docs of Sallyport's source explains everything else."
    )


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """By name, with a line each."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {
                each.dest: (each.help or "", action.choices[each.dest]) for each in action._choices_actions
            }
    return {}


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f".SS {_escaped(name)}"
    yield from (f"\\fB{_escaped(_usage(parser))}\\fR", ".PP")
    yield from _text(parser.description or "")
    yield from _options(parser)
    for action, (_, each) in _commands(parser).items():
        yield from _command(f"{name} {action}", each)


def _usage(parser: argparse.ArgumentParser) -> str:
    return " ".join(parser.format_usage().removeprefix("usage: ").split())


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.help in (None, argparse.SUPPRESS) or isinstance(action, _ELSEWHERE):
            continue
        value = "" if action.nargs == 0 else formatter._format_args(action, _shown(action))
        names = ", ".join(f"\\fB{_escaped(each)}\\fR" for each in action.option_strings)
        shown = " ".join(part for part in (names, f"\\fI{_escaped(value)}\\fR" if value else "") if part)
        yield from _entry(shown, formatter._expand_help(action))


def _shown(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _entry(title: str, text: str) -> Iterator[str]:
    yield from (".TP", title)
    yield from (_line(each) for each in text.splitlines())


def _text(text: str) -> Iterator[str]:
    """Indented lines as they stand, the others filled."""
    standing = False
    for line in text.splitlines():
        if line.startswith(" ") != standing:
            standing = not standing
            yield ".nf" if standing else ".fi"
        yield _line(line)
    if standing:
        yield ".fi"


def _line(text: str) -> str:
    escaped = _escaped(text)
    return f"\\&{escaped}" if re.match(r"[.']", escaped) else escaped


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in text)
