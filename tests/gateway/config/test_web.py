"""What may stand in [web]."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config.web import WebOptions
from gateway.errors import ConfigError


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "gateway.toml"
    file.write_text(f"[web]\n{text}\n")
    try:
        load(file)
    except ConfigError as error:
        return [each.removeprefix(f"{file}:") for each in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('listen = "8080"', "2:1: web.listen: must be an address of this machine and a port"),
        ('listen = "127.0.0.1"', "2:1: web.listen: must be an address of this machine and a port"),
        ("listen = 8080", "2:1: web.listen: must be an address of this machine and a port"),
        ('listen = "127.0.0.1:0"', "2:1: web.listen: must be an address of this machine and a port"),
        (
            'listen = "127.0.0.1:65536"',
            "2:1: web.listen: must be an address of this machine and a port up to 65535",
        ),
        ('listen = "/run/x.sock"', "2:1: web.listen: must be an address of this machine and a port"),
        ('listen = ":8080"', '"0.0.0.0:8080" is all that this machine has'),
        ('listen = "gateway.example:8080"', '"0.0.0.0:8080" is all that this machine has'),
        ('listen = "0.0.0.0:8080"', "1:2: web: others can reach 0.0.0.0:8080: it needs a token"),
        ('listen = "[::]:8080"', "1:2: web: others can reach [::]:8080: it needs a token"),
        ('username = "me"', "1:2: web: username and password go together: password is missing"),
        ('password = "s"', "1:2: web: username and password go together: username is missing"),
        ('username = "a:b"\npassword = "s"', '2:1: web.username: must not hold ":"'),
        ('token = "two words"', "2:1: web.token: must hold printable ASCII only, and no space"),
        ('hosts = ["http://x"]', "2:10: web.hosts[0]: must be a name without scheme and port"),
    ],
)
def test_what_cannot_be_is_refused_in_its_place(tmp_path: Path, text: str, problem: str) -> None:
    [said] = problems(tmp_path, text)
    assert problem in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        'listen = "127.0.0.1:8080"',
        'listen = "localhost:8080"',
        'listen = "0.0.0.0:8080"\ntoken = "t"',
        'listen = "0.0.0.0:8080"\nusername = "me"\npassword = "s"',
        'hosts = ["Gateway.example.org"]',
    ],
)
def test_what_can_be_is_taken(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize(
    ("listen", "hosts", "url"),
    [
        (None, ("gateway.example",), None),
        ("127.0.0.1:8080", (), None),
        ("127.0.0.1:8080", ("gateway.example",), None),  # behind a proxy, whose scheme and port nobody says
        ("192.168.1.7:8080", (), "http://192.168.1.7:8080/"),
        ("192.168.1.7:8080", ("gateway.example",), "http://192.168.1.7:8080/"),
        ("[2001:db8::7]:8080", (), "http://[2001:db8::7]:8080/"),
        ("[fe80::7%eth0]:8080", (), None),
        ("0.0.0.0:8080", (), None),
        ("0.0.0.0:8080", ("gateway.example", "other"), "http://gateway.example:8080/"),
        ("[::]:8080", ("gateway.example",), "http://gateway.example:8080/"),
    ],
)
def test_others_are_sent_only_where_they_find_the_page(
    listen: str | None, hosts: tuple[str, ...], url: str | None
) -> None:
    written = {"token": "t", "hosts": hosts} | ({"listen": listen} if listen else {})
    assert WebOptions.model_validate(written).url == url


WITHOUT = """
import sys
sys.modules["aiohttp"] = None  # as if it were not installed
from gateway.cli import main
sys.exit(main(["check", sys.argv[1]]))
"""


def test_missing_package_is_named_with_what_installs_it(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[web]\nlisten = "127.0.0.1:8080"\n')
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 78
    assert (
        "2:1: web.listen: needs \"aiohttp\", not installed here: pip install 'sallyport[web]'" in done.stderr
    )
    file.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
