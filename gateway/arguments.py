"""What the command line takes: commands, arguments, their help."""

import argparse
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from textwrap import fill

from gateway import __version__

DEFAULT_CONFIG = "/etc/sallyport/gateway.toml"

_HIGHEST_PORT = 65_535

_Command = Callable[[str, str, str], argparse.ArgumentParser]
"""A new command, from its name, one line and a paragraph."""

SHELLS = ("bash", "zsh", "fish")

_EPILOG = """\
exit status:
  0    done, or stopped by a signal; the log says if readings were left that
       nobody took
  1    failed while running, a test of rules failed, or `doctor`, `status` or
       `check --connect` found something wrong
  2    the command line is wrong
  3    `status`: no gateway runs here, or none that answers
  130, 143  stopped at once by a second Ctrl-C or SIGTERM
  78   the configuration is wrong; each problem is one line:
       file:line:col: key: what is wrong
"""


class _Help(argparse.HelpFormatter):
    """Paragraphs are as wide as the terminal; lines that are indented, such as examples, are left as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002 - argparse indents nothing
        shown: list[str] = []
        for indented, block in groupby(text.splitlines(), lambda line: line.startswith(" ")):
            lines = [*block]
            shown += lines if indented else [fill(" ".join(lines), width)]
        return "\n".join(shown)


def parser() -> argparse.ArgumentParser:
    """What the command line takes; tests and documents are held against it."""
    top = argparse.ArgumentParser(
        prog="sallyport",
        description="Serial-to-MQTT gateway: reads instruments on serial ports and publishes their values over MQTT.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    top.add_argument("--version", action="version", version=f"sallyport {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, short: str, long: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=short, description=long, formatter_class=_Help)

    _gateway_commands(command)
    _instrument_commands(command)
    _rule_commands(command)
    _shell_commands(command)
    return top


def _takes_config(to: argparse.ArgumentParser, default: str | None = None) -> None:
    to.add_argument(
        "--config", metavar="FILE", type=Path, default=default,
        help=f"the configuration (default: $SALLYPORT_CONFIG, else {DEFAULT_CONFIG})",
    )  # fmt: skip


def _takes_gateway(to: argparse.ArgumentParser) -> None:
    to.add_argument("--gateway", metavar="NAME", help="which one, where several run")


def _gateway_commands(command: _Command) -> None:
    init = command(
        "init",
        "write a commented configuration to begin with",
        "Write a commented configuration with a table for each serial port of this machine. With --sniff it finds\n"
        "out what is on them, and the tables of what it recognises are ready to be used. A file that somebody has\n"
        "written is left alone without --force; the one that was installed, and nobody has changed, is not."
        "\n  $ sudo sallyport init --sniff",
    )
    init.add_argument(
        "file", metavar="FILE", nargs="?",
        help="what to write, - for standard output (default: the configuration, as for run)",
    )  # fmt: skip
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    init.add_argument(
        "--sniff", action="store_true", help="listen on each port and recognise its driver and speed"
    )
    init.add_argument(
        "--ask", action="store_true",
        help="with --sniff: where nobody speaks, ask; questions that read and set nothing",
    )  # fmt: skip
    init.add_argument(
        "--wait", metavar="DURATION", default="12s",
        help="with --sniff: how long to wait for a first byte (default: %(default)s)",
    )  # fmt: skip

    run = command(
        "run",
        "run the gateway",
        "Run the gateway until SIGTERM or Ctrl-C. What has been read is then handed to the broker, for\n"
        "gateway.stop_timeout at most; a second signal stops at once."
        "\n  $ sallyport run --config gateway.toml",
    )
    _takes_config(run)
    run.add_argument(
        "--debug",
        action="store_true",
        help="log everything, slow steps of each task, and what was not closed",
    )

    check = command(
        "check",
        "check a configuration without starting anything",
        "Check a configuration file and list every problem in it, one a line. Starts nothing.\n"
        "With --connect, also open each port and the broker once and say what was found. With --plan, also say\n"
        "what a reload would start, stop and change in the gateway that runs here."
        "\n  $ sallyport check --connect gateway.toml",
    )
    check.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="the configuration (default: as for run)"
    )
    check.add_argument("--connect", action="store_true", help="open the ports and the broker too")
    check.add_argument(
        "--plan", action="store_true", help="ask the gateway that runs here what a reload would do"
    )

    reload = command(
        "reload",
        "have the running gateway use its configuration as it is now",
        "Have the gateway that runs on this machine read its configuration again. If there is a problem in it, all\n"
        "problems are listed and everything stays as it was. Else only what differs is started, stopped or changed:\n"
        "other ports stay open, and no reading is lost. Prints what was done."
        "\n  $ sudo sallyport reload",
    )
    _takes_gateway(reload)

    _questions(command)

    doctor = command(
        "doctor",
        "say why a device is not read, and what to do about it",
        "Look at everything that stands between an instrument and the broker, and name the real cause of what does\n"
        "not work: the configuration, the service, the clock, the journal's disk, the broker, and for each device its\n"
        "port, who has it, the speed of its line, what comes, what of it is broken, and whether its USB adapter fell\n"
        "off. Works beside a gateway that runs, whose devices are not disturbed: what it says of them is told.\n"
        "Exit status 0 if all is well, 1 if something is wrong."
        "\n  $ sudo sallyport doctor boiler",
    )
    doctor.add_argument(
        "devices", metavar="DEVICE", nargs="*", help="look at this one, and at nothing but devices"
    )
    _takes_config(doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON object per finding")
    doctor.add_argument(
        "--wait", metavar="DURATION", default="12s",
        help="how long to wait for a first byte of a device that speaks by itself (default: %(default)s)",
    )  # fmt: skip

    demo = command(
        "demo",
        "show the gateway at work with simulated instruments",
        "Start a broker inside this process, simulated instruments on pseudo-terminals and the real gateway\n"
        "between them, and show the readings as a subscriber gets them. Needs no hardware; writes nothing."
        "\n  $ sallyport demo --for 30s",
    )
    demo.add_argument(
        "drivers", metavar="DRIVER", nargs="*", help="whose instruments to simulate, or all (default: two)"
    )
    demo.add_argument(
        "--for", dest="stop_after", metavar="DURATION", help='stop by itself, for example after "30s"'
    )
    demo.add_argument(
        "--port", type=_port, default=1883, help="the broker's port (default: %(default)s, or a free one)"
    )

    tail = command(
        "tail",
        "subscribe to the broker and print readings as they come",
        "Subscribe and print readings as they come, one line each. The broker is the one of the configuration,\n"
        "or the one given with --url."
        "\n  $ sallyport tail --url mqtt://localhost:1883 --table",
    )
    _takes_config(tail)
    tail.add_argument("--url", help="the broker, such as mqtt://localhost:1883, instead of a configuration's")
    tail.add_argument("--username", help="with --url; the password is taken from $SALLYPORT_MQTT_PASSWORD")
    tail.add_argument(
        "--topic", metavar="FILTER", help="an MQTT topic filter (default: everything of the gateway)"
    )
    look = tail.add_mutually_exclusive_group()
    look.add_argument("--json", action="store_true", help="one JSON object per message, with its topic")
    look.add_argument(
        "--table", action="store_true", help="a table of the newest values that stays in place (extra cli)"
    )
    tail.add_argument("--count", type=_count, metavar="N", help="stop after N messages")

    journal = command(
        "journal",
        "look into the journal of a gateway, export it, empty it",
        "Say what the journal on disk holds: readings that the broker has not acknowledged yet. Looking and\n"
        "exporting disturb no gateway that is running.\n"
        "  show     where it is, its size, how many readings, the oldest one, what is\n"
        "           still to be sent, gaps, what brokers refused and on which topic\n"
        "  export   its readings, one JSON object per line\n"
        "  purge    delete all of them, after asking; refused while a gateway runs"
        "\n  $ sudo sallyport journal export > readings.jsonl",
    )
    _takes_config(journal)
    journal.add_argument(
        "action", nargs="?", choices=["show", "export", "purge"], default="show", help="default: %(default)s"
    )
    journal.add_argument("--yes", action="store_true", help="purge without asking")

    _alerts(command)


def _questions(command: _Command) -> None:
    """To the gateway that runs here."""
    status = command(
        "status",
        "say whether all is well, for people and for scripts",
        "Ask the gateway that runs on this machine how it is: devices, brokers, journal, alerts. Needs no broker.\n"
        "The first line says it all. Exit status:\n"
        "  0   all devices are online, all brokers connected, the journal is not in\n"
        "      trouble, and no alert fires that nobody has acknowledged or silenced\n"
        "  1   something of that is not so\n"
        "  3   no gateway runs here, this user may not ask it, or it does not answer\n"
        "      within seconds"
        "\n  $ sudo sallyport status --short",
    )
    _takes_gateway(status)
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything as one JSON object")
    form.add_argument("--short", action="store_true", help="the first line alone")

    top = command(
        "top",
        "watch devices, brokers and alerts on the terminal",
        "Show what the gateway that runs on this machine reads and sends, as long as you look: devices with state,\n"
        "rate, age, broken frames and values, the last minutes of each value, brokers, backlog and alerts. Keys sort,\n"
        "filter, acknowledge and silence: ? lists them. Needs no broker, but a terminal, and the extra cli."
        "\n  $ sudo sallyport top --every 5s",
    )
    _takes_gateway(top)
    top.add_argument(
        "--every",
        metavar="DURATION",
        default="1s",
        help="how often the gateway is asked (default: %(default)s)",
    )
    top.add_argument(
        "--by",
        metavar="NAME",
        help="who acknowledges and silences (default: the name you have logged in with)",
    )

    set_ = command(
        "set",
        "set a device's metrics, by the gateway that runs here",
        "Have the gateway that runs on this machine set metrics of a device, in this order, by the names and in the\n"
        "units in which they are published. Nothing is set unless all can be; what then fails ends it. A value is a\n"
        "number, true, false, or a text; text that looks like one of these is put in quotes: mode='\"1\"'."
        "\n  $ sudo sallyport set boiler setpoint=60",
    )
    set_.add_argument("device", metavar="DEVICE")
    set_.add_argument("values", metavar="METRIC=VALUE", nargs="+")
    _takes_gateway(set_)

    ask = command(
        "ask",
        "send a request to the gateway that runs here, and print the answer",
        "Send any request of docs/control.md to the gateway that runs on this machine, and print its answer as JSON."
        '\n  $ sudo sallyport ask log/level \'{"level": "debug", "for": "10m"}\'',
    )
    ask.add_argument("verb", metavar="VERB", help="such as ping, devices, journal, log/level")
    ask.add_argument("request", metavar="JSON", nargs="?", default="{}", help="an object (default: {})")
    _takes_gateway(ask)

    dump = command(
        "dump",
        "show what every task of the running gateway is doing",
        "Show where every task and thread of the gateway that runs on this machine is at this moment, and what waits\n"
        "in its queues: for a report of something that hangs. It holds names of the configuration and places in the\n"
        "program, no values. A gateway that does not answer writes the same to its log on SIGUSR1."
        "\n  $ sudo sallyport dump > dump.txt",
    )
    _takes_gateway(dump)
    dump.add_argument("--json", action="store_true", help="as one JSON object")


def _alerts(command: _Command) -> None:
    alerts = command(
        "alerts",
        "list, acknowledge and silence the alerts of a running gateway",
        "Ask the gateway that runs with this configuration: directly, if it is on this machine and you may, else over\n"
        "its broker. Without an action: list what fires, what is pending, who keeps it quiet, and the silences."
        "\n  $ sudo sallyport alerts ack overheat boiler",
    )
    _takes_config(alerts)
    alerts.add_argument("--json", action="store_true", help="the list as one JSON object")
    actions = alerts.add_subparsers(dest="action", metavar="ACTION")

    def action(name: str, short: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=short, description=f"{short.capitalize()}.")
        # An action's default would take the place of what was given before it.
        _takes_config(made, argparse.SUPPRESS)
        return made

    def takes_by(to: argparse.ArgumentParser) -> None:
        to.add_argument(
            "--by", metavar="NAME", help="who says so (default: the name you have logged in with)"
        )

    ack = action("ack", "somebody takes care of an alert that fires: it is quiet until it is resolved")
    ack.add_argument("rule", metavar="RULE")
    ack.add_argument(
        "device", metavar="DEVICE", nargs="?",
        help="not needed if the rule fires for one only; '*' for all",
    )  # fmt: skip
    takes_by(ack)
    silence = action("silence", "keep alerts quiet for a while")
    silence.add_argument("--rule", metavar="GLOB", help="of these rules; '*' alone silences everything")
    silence.add_argument("--device", metavar="GLOB", help="about these devices")
    silence.add_argument(
        "--label", action="append", default=[], metavar="NAME=VALUE",
        help="with this label, such as severity=info; may be repeated",
    )  # fmt: skip
    end = silence.add_mutually_exclusive_group(required=True)
    end.add_argument("--for", dest="for_so_long", metavar="DURATION", help='such as "2h"')
    end.add_argument("--until", metavar="MOMENT", help="such as 2026-11-22T17:00:00Z")
    silence.add_argument("--name", metavar="NAME", help="for unsilence (default: silence-1 and so on)")
    takes_by(silence)
    unsilence = action("unsilence", "end a silence now")
    unsilence.add_argument("name", metavar="NAME")


def _instrument_commands(command: _Command) -> None:
    decode = command(
        "decode",
        "decode a capture file with a driver",
        "Feed a file of raw bytes through a driver's decoder and print one JSON object per good frame:\n"
        '  {"offset": 0, "length": 68, "id": "GPRMC", "values": {"speed": 0.0}}\n'
        "The last line on standard error counts: frames=N rejected=M bytes=K."
        "\n  $ sallyport decode nmea0183 gps.bin",
    )
    decode.add_argument("driver", metavar="DRIVER", help="see `sallyport drivers`")
    decode.add_argument("file", metavar="FILE", help="the capture; - for standard input")
    decode.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the driver; may be repeated",
    )
    decode.add_argument(
        "--device",
        metavar="FILE[:NAME]",
        help="take the options from a device in this configuration, such as frame's description of a protocol",
    )

    drivers = command(
        "drivers",
        "list the drivers and their options",
        "List the drivers that are installed; with a name, describe that driver's options and metrics."
        "\n  $ sallyport drivers modbus",
    )
    drivers.add_argument("driver", metavar="DRIVER", nargs="?", help="describe this one")

    ports = command(
        "ports",
        "list the serial ports of this machine",
        "List the serial ports: how the configuration names each one best, what is plugged in, whether you may\n"
        "open it, and who has it."
        "\n  $ sallyport ports",
    )
    ports.add_argument("--json", action="store_true", help="one JSON object per port")

    sniff = command(
        "sniff",
        "find out what is on a port and print its section of the configuration",
        "Listen at the speeds and framings that instruments use, and decide by good frames which driver reads\n"
        "what is said. Exit status 0 if one was found; its section is on standard output, the evidence on\n"
        "standard error."
        "\n  $ sallyport sniff /dev/ttyUSB0 --ask",
    )
    sniff.add_argument(
        "port", metavar="PORT", help="as in the configuration: a path, usb:…, tcp://… or rfc2217://…"
    )
    sniff.add_argument(
        "--ask", action="store_true",
        help="where nobody speaks, ask too: questions that read and set nothing, in each protocol in turn",
    )  # fmt: skip
    sniff.add_argument(
        "--wait", metavar="DURATION", default="12s",
        help="how long to wait for a first byte (default: %(default)s, as smart meters speak every ten seconds)",
    )  # fmt: skip
    sniff.add_argument(
        "--driver",
        action="append",
        default=[],
        metavar="DRIVER",
        help="consider this one only; may be repeated",
    )

    record = command(
        "record",
        "record what a port says into a file",
        "Listen on a port and write what comes, with its timing, into a new file, until Ctrl-C, --for or\n"
        "--max-size. The file is good whenever that happens; `decode` and `replay` read it."
        "\n  $ sallyport record /dev/ttyUSB0 meter.rec --baudrate 19200 --for 10m",
    )
    record.add_argument(
        "port", metavar="PORT", help="as in the configuration: a path, usb:…, tcp://… or rfc2217://…"
    )
    record.add_argument(
        "file", metavar="FILE", type=Path, help="is made; one that is there is not written over"
    )
    record.add_argument("--baudrate", type=int, help="bits per second (default: 9600)")
    record.add_argument("--data-bits", type=int, help="5 to 8 (default: 8)")
    record.add_argument("--parity", choices=["none", "even", "odd", "mark", "space"], help="default: none")
    record.add_argument("--stop-bits", type=float, help="1 or 2 (default: 1)")
    record.add_argument("--for", dest="stop_after", metavar="DURATION", help='for example "10m"')
    record.add_argument(
        "--max-size", metavar="SIZE", default="10MB", help="the file grows no larger (default: %(default)s)"
    )

    replay = command(
        "replay",
        "play a recording back: through a driver, or onto a pseudo-terminal",
        "Play a recording, or a file of raw bytes, at its own speed, faster or as fast as it goes: through a\n"
        "driver and the device's filters, one JSON object per reading, or onto a pseudo-terminal that a gateway\n"
        "opens as its port."
        "\n  $ sallyport replay meter.rec --driver sml",
    )
    replay.add_argument("file", metavar="FILE", type=Path, help="from `sallyport record`, or raw bytes")
    replay.add_argument("--driver", metavar="DRIVER", help="decode it with this one")
    replay.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the driver; may be repeated",
    )
    replay.add_argument(
        "--device",
        metavar="FILE[:NAME]",
        help="take driver, options and filters from a device in this configuration",
    )
    replay.add_argument(
        "--pty", metavar="PATH", type=Path, help="make a pseudo-terminal here and play onto it"
    )
    replay.add_argument(
        "--speed", metavar="N", help='times the real one, or "max" (default: 1 with --pty, else max)'
    )

    simulate = command(
        "simulate",
        "put a driver's simulated instrument on a pseudo-terminal",
        "Make a pseudo-terminal with a simulated instrument at its other end, and print the section of the\n"
        "configuration that reads it. For trying a driver without hardware; Ctrl-C unplugs it."
        "\n  $ sallyport simulate nmea0183 ./gps",
    )
    simulate.add_argument("driver", metavar="DRIVER", help="see `sallyport drivers`")
    simulate.add_argument("path", metavar="PATH", type=Path, help="where the port appears, such as ./line")

    filters = command(
        "filters",
        "list the filters and their settings",
        "List the filters for a device's readings; with a name, describe that filter's settings."
        "\n  $ sallyport filters median",
    )
    filters.add_argument("filter", metavar="FILTER", nargs="?", help="describe this one")


def _rule_commands(command: _Command) -> None:
    rules = command(
        "rules",
        "check, test and explain the rules, or replay a recording through them",
        "Look at the rules of a configuration without running it.\n"
        "  check     all rules, the built-in ones too: what each reads, what is\n"
        "            doubtful, where it is switched off\n"
        "  test      play readings to the rules and compare alerts, notifications and\n"
        "            actions with what is expected\n"
        "  explain   what one rule reads and does, and what it is now: in a running\n"
        "            gateway, or after a recording\n"
        "  replay    which alerts recordings would have caused"
        "\n  $ sallyport rules test overheat.test.toml",
    )
    actions = rules.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=text, formatter_class=_Help)

    check = action("check", "list all rules; exit status 78 if the configuration is wrong")
    check.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="the configuration (default: as for run)"
    )

    test = action("test", "run tests of rules; exit status 1 if one fails, 78 if a file is wrong")
    test.add_argument("files", metavar="FILE", type=Path, nargs="+", help="see docs/testing-rules.md")
    test.add_argument("--timeline", action="store_true", help="show what happens in tests that pass, too")

    explain = action("explain", "what a rule reads and does, and what it would be now")
    explain.add_argument("rule", metavar="RULE")
    _takes_config(explain)
    explain.add_argument(
        "--capture", metavar="FILE", type=Path, action="append", default=[],
        help="not now, but at the end of this recording; may be repeated",
    )  # fmt: skip
    explain.add_argument(
        "--device", metavar="NAME", action="append", default=[],
        help="whose recording that is, for each --capture (default: the device with the port that was recorded)",
    )  # fmt: skip
    explain.add_argument(
        "--wait", metavar="DURATION", default="10s",
        help="how long to listen to a running gateway until all that it reads was heard (default: %(default)s)",
    )  # fmt: skip

    replay = action("replay", "which alerts recordings would have caused")
    replay.add_argument(
        "captures", metavar="[NAME=]FILE", nargs="+",
        help="from `sallyport record`, or raw bytes, and the device (default: the one with the port that was recorded)",
    )  # fmt: skip
    _takes_config(replay)


def _shell_commands(command: _Command) -> None:
    schema = command(
        "schema",
        "write the JSON Schema of the configuration, for editors",
        "Write what may stand in a configuration as JSON Schema (draft 2020-12): every option with its description,\n"
        "those of all drivers that are installed, so that an editor completes, explains and marks mistakes.\n"
        "The configuration beside it begins with the line: #:schema ./sallyport.schema.json"
        "\n  $ sallyport schema sallyport.schema.json",
    )
    schema.add_argument("file", metavar="FILE", type=Path, nargs="?", help="default: standard output")

    completion = command(
        "completion",
        "print what makes a shell complete commands, options and names",
        "Print a script for a shell, which completes commands, options, files, and the names of drivers, devices and\n"
        "rules. scripts/install and the Debian package put it in place. Otherwise:\n"
        "  bash   sallyport completion bash > ~/.local/share/bash-completion/completions/sallyport\n"
        "  zsh    sallyport completion zsh > _sallyport\n"
        "         in a folder of $fpath, before compinit\n"
        "  fish   sallyport completion fish > ~/.config/fish/completions/sallyport.fish",
    )
    completion.add_argument("shell", choices=SHELLS)
    # What these scripts ask for: a colon, so that none of them is taken for an option of ours, and the words so far.
    words = completion.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    words.required = False  # nobody is to miss it

    command(
        "manual",
        "print the man page",
        "Print the man page, made from what --help says. To read it: sallyport manual | man -l -"
        "\n  $ sallyport manual | man -l -",
    )


def _count(text: str) -> int:
    if not (number := int(text)) > 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _port(text: str) -> int:
    if not 0 < (number := int(text)) <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"must be between 1 and {_HIGHEST_PORT}")
    return number
