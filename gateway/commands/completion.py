"""`sallyport completion`: what a shell may offer, found in the parser each time it asks."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

_FILES = ":files"
"""In place of words: the shell knows them."""

_SCRIPTS = {
    "bash": """\
# bash completion for sallyport; made by `sallyport completion bash`
_sallyport() {
    local line words
    words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=()
    while IFS= read -r line; do
        if [ "$line" = :files ]; then
            compopt -o default
            return
        fi
        COMPREPLY+=("$(printf %q "${line%%$'\\t'*}")")
    done < <("${COMP_WORDS[0]}" completion bash : "${words[@]}" 2>/dev/null)
}
complete -F _sallyport sallyport
""",
    "zsh": """\
#compdef sallyport
# zsh completion for sallyport; made by `sallyport completion zsh`
_sallyport() {
    local line word about
    local -a found
    for line in "${(@f)$("${words[1]}" completion zsh : "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == :files ]]; then
            _files
            return
        fi
        word=${line%%$'\\t'*} about=${line#*$'\\t'}
        [[ -z $line ]] || found+=("${word//:/\\\\:}${about:+:$about}")
    done
    _describe sallyport found
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _sallyport "$@"
else
    compdef _sallyport sallyport
fi
""",
    "fish": """\
# fish completion for sallyport; made by `sallyport completion fish`
function __sallyport_complete
    set -l words (commandline -opc)
    set -l found ($words[1] completion fish : $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = :files
        complete -C "__fish_command_without_completions "(commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c sallyport -f -a '(__sallyport_complete)'
""",
}


def run(shell: str) -> int:
    print(_SCRIPTS[shell], end="")
    return 0


def complete(parser: argparse.ArgumentParser, words: list[str], config: Path) -> int:
    """Print what the last of these words may become, each with a tab and an explanation.

    Args:
        parser: of the whole command line.
        words: those so far, without the program's name; the last one is being typed.
        config: the configuration, unless they name another one.
    """
    for word, about in _Completion(parser, config).of(words):
        print(word if word == _FILES else f"{word}\t{about}")
    return 0


class _Completion:
    def __init__(self, parser: argparse.ArgumentParser, config: Path) -> None:
        self._parser = parser
        self._config = config
        self._open: argparse.Action | None = None
        """An option whose value comes next."""
        self._used: set[str] = set()
        self._places: list[argparse.Action] = []
        self._takes_parser(parser)

    def of(self, words: list[str]) -> Iterator[tuple[str, str]]:
        *before, now = _joined(words) or [""]
        for word in before:
            self._pass(word)
        option, equals, value = now.partition("=")
        if self._open is not None:
            yield from _beginning(now, self._values(self._open))
        elif equals and (action := self._option(option)) is not None:
            found = _beginning(value, self._values(action))
            yield from ((each if each == _FILES else f"{option}={each}", about) for each, about in found)
        elif now.startswith("-"):
            yield from _beginning(now, self._options())
        elif self._places:
            yield from _beginning(now, self._values(self._places[0]))

    def _takes_parser(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser
        self._places = [action for action in parser._actions if not action.option_strings]

    def _pass(self, word: str) -> None:
        if self._open is not None:
            if self._open.dest == "config":
                self._config = Path(word)
            self._open = None
        elif word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            self._used.add(name)
            action = self._option(name)
            if action is not None and action.nargs is None and not equals:
                self._open = action
            elif action is not None and action.dest == "config" and equals:
                self._config = Path(value)
        elif self._places:
            action = self._places[0]
            if isinstance(action, argparse._SubParsersAction):
                if word in action.choices:
                    self._takes_parser(action.choices[word])
                else:
                    self._places = []
            elif action.nargs not in ("*", "+"):
                self._places.pop(0)

    def _option(self, name: str) -> argparse.Action | None:
        return self._parser._option_string_actions.get(name)

    def _options(self) -> Iterator[tuple[str, str]]:
        for action in self._parser._actions:
            again = isinstance(action, argparse._AppendAction)
            for name in action.option_strings:
                if (
                    name.startswith("--")
                    and action.help != argparse.SUPPRESS
                    and (again or name not in self._used)
                ):
                    yield name, _first_line(action.help)

    def _values(self, action: argparse.Action) -> Iterator[tuple[str, str]]:
        """What an option or a place of the command line takes."""
        if isinstance(action, argparse._SubParsersAction):
            yield from ((each.dest, _first_line(each.help)) for each in action._choices_actions)
        elif action.choices is not None:
            yield from ((str(each), "") for each in action.choices)
        elif any(word in str(action.metavar) for word in ("FILE", "PATH", "PORT")):
            yield _FILES, ""
        else:
            from gateway.commands import nameable  # noqa: PLC0415 - takes ten times as long as all else, and a TAB waits

            yield from nameable.names(action.dest, self._config)


def _joined(words: list[str]) -> list[str]:
    """Bash takes `--config=x` apart, and wants the part behind the sign alone."""
    joined: list[str] = []
    for word in words:
        if word == "=" and joined and joined[-1].startswith("--"):
            continue
        joined.append(word)
    return [*joined, ""] if words and words[-1] == "=" else joined


def _beginning(now: str, found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((word, about) for word, about in found if word == _FILES or word.startswith(now))


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0].replace("\t", " ")
