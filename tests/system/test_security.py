"""What docs/security.md says of the running gateway, as its neighbours on the machine and on the line see it."""

import asyncio
import os
import random
import re
import secrets
import signal
import subprocess
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from drivers.instrument import PtyInstrument
from gateway.config.control import VERBS
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.hook import Hook
from tests.support.mosquitto import Mosquitto, program
from tests.support.ports import free_port
from tests.support.rogue_broker import RogueBroker, reason_string
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time

MB = 1024 * 1024
NOBODY = 65534


def _secret() -> str:
    return f"s3cret-{secrets.token_hex(8)}"


@dataclass
class Site:
    """A gateway with everything on, and what is told to whom."""

    folder: Path
    broker: Mosquitto
    hook: Hook
    embedded: int = field(default_factory=free_port)
    password: str = field(default_factory=_secret)
    """At the broker; systemd hands it over."""
    signing: str = field(default_factory=_secret)
    """Of webhooks; in a file."""
    token: str = field(default_factory=_secret)
    """In a webhook's header; in the environment."""
    literal: str = field(default_factory=_secret)
    """In the configuration itself."""

    @property
    def secrets(self) -> list[str]:
        return [self.password, self.signing, self.token, self.literal]

    @property
    def file(self) -> Path:
        return self.folder / "gateway.toml"

    def write(self, more: str = "") -> None:
        self.file.write_text(f"""\
[gateway]
name = "test"
status_interval = "1s"

[mqtt]
url = "mqtt://127.0.0.1:{self.broker.port}"
username = "plant"
password = {{ credential = "mqtt" }}
retry_max = "200ms"

[mqtt.inside]
url = "embedded"
embedded_port = {self.embedded}

[mqtt.away]
url = "mqtts://127.0.0.1:9"
username = "plant"
password = "{self.literal}"

[journal]
path = "kept/journal.db"

[devices.board]
driver = "json"
port = "{self.folder / "board"}"
retry_max = "200ms"

[devices.remote]
driver = "json"
port = "tcp://127.0.0.1:9"

[rules.any]
when = "board.n > 0"
notify = ["hook"]

[notify.hook]
url = "http://127.0.0.1:{self.hook.port}/hook"
secret = {{ file = "{self.folder / "signing"}" }}
group_wait = "0s"
headers = {{ Authorization = {{ env = "HOOK_TOKEN" }} }}
{more}""")

    @asynccontextmanager
    async def at_work(self, *arguments: str) -> AsyncIterator[tuple[GatewayProcess, PtyInstrument]]:
        """Until everything of it has been in use."""
        environment = {"CREDENTIALS_DIRECTORY": str(self.folder / "credentials"), "HOOK_TOKEN": self.token}
        with PtyInstrument.plugged_in(self.folder / "board") as board:
            async with GatewayProcess.running(
                self.file, *arguments, environment=environment, anew=True
            ) as gateway:
                async with asyncio.timeout(PATIENCE_S):
                    while not (self.hook.posts and gateway.lines("board: online")):
                        await board.say(b'{"n":1}\n')
                        await asyncio.sleep(0.05)
                    while await self.ask("alert/list") is None:
                        await asyncio.sleep(0.05)
                yield gateway, board

    async def ask(self, verb: str) -> dict[str, Any] | None:
        """The answer, by the broker; None where nobody listens."""
        async with aiomqtt.Client(self.broker.host, self.broker.port) as client:
            await client.subscribe("sallyport/test/response/#")
            await client.publish(f"sallyport/test/request/{verb}", b"{}", qos=1)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        return dict(orjson.loads(message.payload))
        return None


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user of the machine may enter; pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def site(folder: Path) -> AsyncIterator[Site]:
    broker = Mosquitto(folder, listener=f"password_file {folder / 'passwords'}")
    async with Hook.running() as hook:
        site = Site(folder, broker, hook)
        _tell(site)
        try:
            yield site
        finally:
            broker.stop()


def _tell(site: Site) -> None:
    """To whom they belong: a broker that is started anew, the service manager, a file."""
    (site.folder / "credentials").mkdir(exist_ok=True)
    (site.folder / "credentials" / "mqtt").write_text(site.password)
    (site.folder / "signing").write_text(site.signing)
    site.write()
    site.broker.stop()
    passwords = site.folder / "passwords"
    passwords.touch()
    told = [program("mosquitto_passwd"), "-b", str(passwords), "plant", site.password]
    subprocess.run(told, check=True, capture_output=True)
    site.broker.start()


# What listens.

_LISTENING, _UNCONNECTED = "0A", "07"


def _listening(gateway: GatewayProcess) -> dict[str, set[str]]:
    """Its sockets that anybody could send something to, by protocol. Source: proc_pid_net(5)."""
    ours = {str(each.readlink()) for each in (gateway.proc / "fd").iterdir()}
    found: dict[str, set[str]] = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "packet", "netlink", "unix"):
        table = gateway.proc / "net" / protocol
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if protocol == "unix":
                inode, name = fields[6], fields[7] if len(fields) > 7 else ""
            elif protocol in ("packet", "netlink"):
                inode, name = fields[-1], line
            else:
                inode, name = fields[9], _place(fields[1])
                if protocol.startswith("tcp") and fields[3] != _LISTENING:
                    continue
            if name and f"socket:[{inode}]" in ours:
                found.setdefault(protocol, set()).add(name)
    return found


def _place(written: str) -> str:
    address, _, port = written.partition(":")
    return f"{'.'.join(map(str, reversed(bytes.fromhex(address))))}:{int(port, 16)}"


async def test_nothing_listens_but_the_socket_for_us_and_the_embedded_broker_on_the_loopback(
    site: Site,
) -> None:
    async with site.at_work() as (gateway, _):
        assert _listening(gateway) == {
            "unix": {str(site.folder / "run" / "test.sock")},
            "tcp": {f"127.0.0.1:{site.embedded}"},
        }


async def test_feed_is_where_it_is_configured_and_nowhere_else(site: Site) -> None:
    port = free_port()
    site.write(f'[live]\nlisten = "localhost:{port}"\n')
    async with site.at_work() as (gateway, _):
        assert _listening(gateway)["tcp"] == {f"127.0.0.1:{site.embedded}", f"127.0.0.1:{port}"}
        site.write(f'[live]\nlisten = "{site.folder / "feed"}"\n')
        assert (await gateway.ask(site.folder, "reload"))["status"] == "ok"
        await until((site.folder / "feed").is_socket)
        assert _listening(gateway) == {
            "unix": {str(site.folder / "run" / "test.sock"), str(site.folder / "feed")},
            "tcp": {f"127.0.0.1:{site.embedded}"},
        }


async def test_verbs_are_those_of_the_page(site: Site) -> None:
    async with site.at_work():
        answer = await site.ask("nothing/of/that/kind")
    assert answer is not None
    verbs = answer["error"].removeprefix("there is no such verb; there are ").split(", ")
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| who may publish on `…/request/#`")]
    assert {*re.findall(r"`([a-z/]+)`", row)} == {*verbs} == {*VERBS}


# What is secret.


def _kept(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file())


async def test_secrets_are_nowhere_but_where_they_belong(site: Site) -> None:
    answers: list[Any] = []
    async with (
        Subscriber.listening(site.broker.host, site.broker.port, "#") as plant,
        site.at_work("--debug") as (gateway, board),
        Subscriber.listening("127.0.0.1", site.embedded, "#", name="inside") as inside,
    ):
        where = {"arguments": (gateway.proc / "cmdline").read_bytes()}
        environment = (gateway.proc / "environ").read_bytes()
        # A configuration that is refused, then one in which every secret is another.
        site.write(f'[mqtt.broken]\nurl = "mqtt://127.0.0.1"\npassword = {{ literal = "{site.literal}" }}\n')
        answers += [await gateway.ask(site.folder, "plan"), await gateway.ask(site.folder, "reload")]
        assert {each["status"] for each in answers} == {"error"}
        site.write(f'[mqtt.broken]\npassword = "{site.literal}\n')
        answers += [await gateway.ask(site.folder, "reload"), await site.ask("reload")]
        assert {each["status"] for each in answers} == {"error"}
        before = site.secrets
        for name in ("password", "signing", "literal"):
            setattr(site, name, _secret())
        _tell(site)
        answers += [await gateway.ask(site.folder, "plan"), await gateway.ask(site.folder, "reload")]
        assert answers[-1]["status"] == "ok"
        assert len(answers[-1]["plan"]) >= 3
        await plant.returned()
        readings = len(plant.readings("board"))
        await board.say(b'{"n":2}\n')
        await plant.has(readings + 1, "board")
        await inside.has(1, "board")
        gateway.send(signal.SIGABRT)
        await gateway.ended()
    where |= {
        "log and stacks": "\n".join(gateway.log).encode(),
        "the plant's broker": b"".join(each.topic.encode() + each.payload for each in plant.got),
        "the broker inside": b"".join(each.topic.encode() + each.payload for each in inside.got),
        "answers": orjson.dumps(answers),
        "what is kept": _kept(site.folder / "kept") + _kept(site.folder / "state"),
        "bodies of webhooks": b"".join(site.hook.bodies),
    }
    assert all(where.values())
    for these in (site.secrets, before):
        assert [place for each in these for place, said in where.items() if each.encode() in said] == []
        assert [each in environment.decode() for each in these] == [False, False, True, False]
    assert {post.headers["authorization"] for post in site.hook.posts} == {site.token}


# Other users of the machine.


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_can_neither_ask_nor_read_what_is_kept_whatever_the_umask(site: Site) -> None:
    before = os.umask(0)
    try:
        async with site.at_work() as (gateway, _):
            socket = site.folder / "run" / "test.sock"
            folders = [socket.parent, site.folder / "kept"]
            assert [each.stat().st_mode & 0o777 for each in folders] == [0o700, 0o700]
            for each in folders:  # and if they were open, what is in them is not
                each.chmod(0o755)
            kept = [each for each in (site.folder / "kept").iterdir() if each.is_file()]
            assert {"journal.db", "journal.db-rules.json"} <= {each.name for each in kept}
            ask = f'echo \'{{"verb":"plan"}}\' | {program("socat")} - UNIX-CONNECT:{socket}'
            assert _denied(ask, user=0) is False
            assert _denied(ask, user=NOBODY) is True
            assert [each.name for each in kept if not _denied(f"cat {each}", user=NOBODY)] == []
            assert _denied(f"ls {site.folder}", user=NOBODY) is False
            assert _denied(f"cat {gateway.proc}/environ", user=NOBODY) is True
    finally:
        os.umask(before)


def _denied(command: str, *, user: int) -> bool:
    done = subprocess.run(
        ["sh", "-c", command],
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        check=False,
        timeout=20,
    )
    denied = b"Permission denied" in done.stderr
    assert denied or done.returncode == 0, done.stderr
    return denied


# Instruments.


def _harm() -> Iterator[bytes]:
    """Lines and noise by somebody who knows what hurts."""
    chance = random.Random(7)
    yield b"\xff\x00" + chance.randbytes(100_000) + b"\n"
    yield b"x" * MB
    yield b"\n" + b"{" * 3000 + b"\n" + b'{"a":' * 500 + b"1" + b"}" * 500 + b"\n" + b"[" * 4000 + b"\n"
    yield b'{"n":1e999}\n{"n":' + b"9" * 4000 + b'}\n{"n":NaN}\n{"n":-0}\n{"":1}\n{"n":[1]}\n{"n":null}\n'
    yield (
        orjson.dumps({f"{STEERING}+/#$SYS/{STEERING}": STEERING, "status": 1, "/": 1, "a" * 3000: 1}) + b"\n"
    )
    for number in range(10_000):
        yield b'{"made up %d":1}\n' % number


STEERING = "\x1b[2J\x9b31m\x07\u202e\n2026-11-23 09:00:00 ERROR broker: offline\r"


@pytest.mark.repetitive
async def test_instrument_that_means_harm_costs_nothing_but_its_own_readings(site: Site) -> None:
    site.write(f'[devices.other]\ndriver = "json"\nport = "{site.folder}/other"\nretry_max = "200ms"\n')
    text = site.file.read_text().replace(
        'retry_max = "200ms"\n', 'retry_max = "200ms"\nlayout = "metric"\n', 1
    )
    site.file.write_text(text)
    with PtyInstrument.plugged_in(site.folder / "other") as other:
        async with (
            site.at_work() as (gateway, board),
            Subscriber.listening(site.broker.host, site.broker.port, "#") as plant,
        ):
            await gateway.said("board: online")
            await until(lambda: gateway.listens_to([other.path]))
            for each in _harm():
                await board.say(each)
            await board.say(b'{"last":1}\n')
            await other.say(b'{"n":1}\n')
            await until(lambda: plant.left("/board/last") and plant.left("/other/n"))
            assert await gateway.stop() == 0
    topics = {each.topic for each in plant.got if "/board/" in each.topic}
    assert len(topics) > 10_000
    assert {each.count("/") for each in topics} == {3}
    assert not any(_steers(each) for each in [*topics, *gateway.log])
    assert not any("broker: offline" in line for line in gateway.log)


def _steers(text: str) -> bool:
    return any(unicodedata.category(each) in {"Cc", "Cf"} for each in text)


async def test_broker_cannot_write_lines_of_its_own_into_the_log(tmp_path: Path) -> None:
    async with RogueBroker.running() as rogue:
        rogue.refuses = 0x87
        rogue.announces = reason_string("\x1b[2J\x07\n2026-11-23 09:00:00 ERROR broker: offline\r")
        file = tmp_path / "gateway.toml"
        file.write_text(f'[mqtt]\nurl = "mqtt://127.0.0.1:{rogue.port}"\n[journal]\npath = "memory"\n')
        async with GatewayProcess.running(file) as gateway:
            await gateway.said("Not authorized")
            await gateway.stop()
    assert not any(_steers(line) for line in gateway.log)
    assert sum("broker: offline" in line for line in gateway.log) == 1
