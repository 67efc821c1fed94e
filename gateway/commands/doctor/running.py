"""A gateway that runs already: its process, and what it says of its devices."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import intercom
from gateway.commands.listening import messages, parsed
from gateway.config import Config
from gateway.errors import Refused, Unreachable, UsageError
from gateway.plan import NOTHING
from gateway.publish.broker import Broker
from gateway.publish.topics import Topics

PATIENCE_S = 3.0
REST_S = 0.5
"""What is retained comes at once, one after the other; not everything need be there."""


@dataclass(frozen=True, slots=True)
class Running:
    """The gateways of a configuration that run on this machine; one, as a rule."""

    pids: Sequence[int]
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of each, what the gateway says: its availability, and what was counted."""
    plan: Sequence[str] | None = None
    """What the file says that it does not do yet; None if it could not be asked itself."""

    def __str__(self) -> str:
        return f"the gateway that runs (pid {', '.join(map(str, self.pids))})"


async def running(path: Path, config: Config | None) -> Running | None:
    """None if none does, as far as one may know that.

    It is asked itself, where we may do that, and its brokers otherwise.
    """
    if (
        config is not None
        and (answer := await asyncio.to_thread(_asked, path, config.gateway.name)) is not None
    ):
        return answer
    pids = await asyncio.to_thread(_processes, path)
    if not pids:
        return None
    return Running(pids, {} if config is None else await _published(config))


def _asked(path: Path, gateway: str) -> Running | None:
    """None where it may not be asked, or another one has its name."""
    try:
        devices, plan = (
            intercom.ask(verb, gateway, patience_s=intercom.SOON_S) for verb in ("devices", "plan")
        )
        if not Path(f"/proc/{devices['pid']}/cwd", plan["file"]).samefile(path):
            return None
    except (Unreachable, Refused, UsageError, OSError):
        return None
    return Running([devices["pid"]], devices["devices"], [] if plan["plan"] == [NOTHING] else plan["plan"])


def _processes(config: Path) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if is_gateway(argv) and runs_with(folder, argv, config):
            found.append(int(folder.name))
    return sorted(found)


def is_gateway(argv: Sequence[str]) -> bool:
    """`sallyport run`, also through Python, or `python -m gateway run`."""
    if "run" not in argv:
        return False
    before = argv[: argv.index("run")]
    return [*before[-2:]] == ["-m", "gateway"] or (bool(before) and Path(before[-1]).name == "sallyport")


def runs_with(process: Path, argv: Sequence[str], config: Path) -> bool:
    """Whoever does not say otherwise is taken to run with it."""
    said = ""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--config":
            said = following
        elif word.startswith("--config="):
            said = word.removeprefix("--config=")
    try:
        if not said:
            environment = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            named = [each.partition("=")[2] for each in environment if each.startswith("SALLYPORT_CONFIG=")]
            said = named[0] if named else ""
        if said and not said.startswith("/"):
            said = f"{(process / 'cwd').readlink()}/{said}"
    except PermissionError:  # it is another user's
        return not said
    except OSError:
        return False
    return not said or os.path.realpath(said) == os.path.realpath(config)


async def _published(config: Config) -> Mapping[str, Mapping[str, Any]]:
    """The retained availabilities, if some broker lets us listen and has a gateway that is online."""
    topics = Topics(prefix=config.mqtt.prefix, gateway=config.gateway.name)
    wanted = {f"{topics.of_device(name)}/availability": name for name in config.devices}
    for broker in Broker.ways(config.mqtt, client_id=f"sallyport-doctor-{os.getpid()}"):
        heard: dict[str, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(PATIENCE_S) as patience:
                async for message in messages(broker, topics.status, *wanted):
                    patience.reschedule(asyncio.get_running_loop().time() + REST_S)
                    if isinstance(said := parsed(message), dict):
                        heard[str(message.topic)] = said
                    if len(heard) > len(wanted):
                        break
        except TimeoutError:
            pass
        except Unreachable:
            continue
        if heard.pop(topics.status, {}).get("state") == "online":
            return {wanted[topic]: said for topic, said in heard.items()}
    return {}
