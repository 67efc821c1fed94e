"""The command line: which command it is."""

import argparse
import getpass
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.arguments import DEFAULT_CONFIG, parser
from gateway.commands.ending import ended
from gateway.errors import GatewayError


def main(arguments: Sequence[str] | None = None) -> int:
    # A locale may lack what an instrument says.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser().parse_args(arguments)
    try:
        return _COMMANDS[args.command](args)
    except (GatewayError, KeyboardInterrupt, OSError) as error:
        return ended(error, args.command)


# Each command is imported when it is wanted: `sallyport --version` needs none of them.


def _schema(args: argparse.Namespace) -> int:
    from gateway.commands import schema

    return schema.run(args.file)


def _completion(args: argparse.Namespace) -> int:
    from gateway.commands import completion

    if args.words:
        return completion.complete(parser(), args.words[1:], _config_path(None))
    return completion.run(args.shell)


def _manual(_args: argparse.Namespace) -> int:
    from gateway.commands import manual

    print(manual.page(parser()), end="")
    return 0


def _status(args: argparse.Namespace) -> int:
    from gateway.commands import status

    return status.run(args.gateway, as_json=args.json, short=args.short)


def _top(args: argparse.Namespace) -> int:
    from gateway.commands import top

    return top.run(args.gateway, every=args.every, by=args.by or _login_name())


def _init(args: argparse.Namespace) -> int:
    from gateway.commands import init

    return init.run(
        args.file or str(_config_path(None)), force=args.force, recognise=args.sniff, ask=args.ask,
        wait=args.wait,
    )  # fmt: skip


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until it has a meaning: it must not end us

    from gateway.commands import run

    return run.run(_config_path(args.config), debug=args.debug)


def _check(args: argparse.Namespace) -> int:
    from gateway.commands import check

    return check.run(_config_path(args.file), connect=args.connect, plans=args.plan)


def _reload(args: argparse.Namespace) -> int:
    from gateway.commands import reload

    return reload.run(args.gateway)


def _set(args: argparse.Namespace) -> int:
    from gateway.commands import telling

    return telling.set_(args.gateway, args.device, args.values)


def _ask(args: argparse.Namespace) -> int:
    from gateway.commands import telling

    return telling.ask(args.gateway, args.verb, args.request)


def _dump(args: argparse.Namespace) -> int:
    from gateway.commands import dump

    return dump.run(args.gateway, as_json=args.json)


def _doctor(args: argparse.Namespace) -> int:
    from gateway.commands.doctor import examination

    return examination.run(_config_path(args.config), args.devices, as_json=args.json, wait=args.wait)


def _demo(args: argparse.Namespace) -> int:
    from gateway.commands import demo

    return demo.run(args.drivers, stop_after=args.stop_after, port=args.port)


def _tail(args: argparse.Namespace) -> int:
    from gateway.commands import tail

    password = os.environ.get("SALLYPORT_MQTT_PASSWORD")
    return tail.run(
        _config_path(args.config), args.url, args.username, password,
        topic=args.topic, as_json=args.json, as_table=args.table, count=args.count,
    )  # fmt: skip


def _journal(args: argparse.Namespace) -> int:
    from gateway.commands import journal

    return journal.run(_config_path(args.config), args.action, sure=args.yes)


def _alerts(args: argparse.Namespace) -> int:
    from gateway.commands import alerts

    path = _config_path(args.config)
    match args.action:
        case None:
            return alerts.show(path, as_json=args.json)
        case "ack":
            return alerts.acknowledge(path, args.rule, args.device, args.by or _login_name())
        case "silence":
            wanted = {
                "name": args.name, "rule": args.rule, "device": args.device, "for": args.for_so_long,
                "until": args.until, "by": args.by or _login_name(),
            }  # fmt: skip
            return alerts.silence(path, wanted, args.label)
        case _:
            return alerts.unsilence(path, args.name)


def _decode(args: argparse.Namespace) -> int:
    from gateway.commands import decode

    return decode.run(args.driver, args.file, args.option, args.device)


def _sniff(args: argparse.Namespace) -> int:
    from gateway.commands import sniff

    return sniff.run(args.port, ask=args.ask, wait=args.wait, names=args.driver)


def _record(args: argparse.Namespace) -> int:
    from gateway.commands import record

    line = {name: getattr(args, name) for name in ("baudrate", "data_bits", "parity", "stop_bits")}
    return record.run(
        args.port, args.file, line={name: value for name, value in line.items() if value is not None},
        stop_after=args.stop_after, max_size=args.max_size,
    )  # fmt: skip


def _replay(args: argparse.Namespace) -> int:
    from gateway.commands import replay

    return replay.run(
        args.file,
        driver_name=args.driver,
        options=args.option,
        device=args.device,
        speed=args.speed,
        pty=args.pty,
    )


def _simulate(args: argparse.Namespace) -> int:
    from gateway.commands import simulate

    return simulate.run(args.driver, args.path)


def _ports(args: argparse.Namespace) -> int:
    from gateway.commands import ports

    return ports.run(as_json=args.json)


def _drivers(args: argparse.Namespace) -> int:
    from gateway.commands import drivers

    return drivers.run(args.driver)


def _filters(args: argparse.Namespace) -> int:
    from gateway.commands import filters

    return filters.run(args.filter)


def _rules(args: argparse.Namespace) -> int:
    from gateway.commands.rules import check, explain, replay, test

    match args.action:
        case "check":
            return check.run(_config_path(args.file))
        case "test":
            return test.run(args.files, timeline=args.timeline)
        case "explain":
            return explain.run(
                args.rule, _config_path(args.config), captures=args.capture, devices=args.device, wait=args.wait
            )  # fmt: skip
        case _:
            return replay.run(args.captures, _config_path(args.config))


def _login_name() -> str:
    """Also of who has become root by sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())


def _config_path(given: Path | None) -> Path:
    return given or Path(os.environ.get("SALLYPORT_CONFIG") or DEFAULT_CONFIG)


_COMMANDS = {
    "init": _init,
    "run": _run,
    "check": _check,
    "doctor": _doctor,
    "reload": _reload,
    "set": _set,
    "ask": _ask,
    "status": _status,
    "top": _top,
    "schema": _schema,
    "completion": _completion,
    "manual": _manual,
    "dump": _dump,
    "demo": _demo,
    "tail": _tail,
    "journal": _journal,
    "alerts": _alerts,
    "decode": _decode,
    "ports": _ports,
    "sniff": _sniff,
    "record": _record,
    "replay": _replay,
    "simulate": _simulate,
    "drivers": _drivers,
    "filters": _filters,
    "rules": _rules,
}
