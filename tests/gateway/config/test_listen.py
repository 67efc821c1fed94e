import errno
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config import LiveOptions
from gateway.config.listen import Listen


@pytest.mark.parametrize(
    ("written", "parsed", "full", "local"),
    [
        ("127.0.0.1:4040", Listen("127.0.0.1", 4040), "127.0.0.1:4040", True),
        ("localhost:4040", Listen("127.0.0.1", 4040), "127.0.0.1:4040", True),
        ("127.8.9.1:1", Listen("127.8.9.1", 1), "127.8.9.1:1", True),
        ("[::1]:65535", Listen("::1", 65535), "[::1]:65535", True),
        ("0.0.0.0:4040", Listen("0.0.0.0", 4040), "0.0.0.0:4040", False),
        ("[::]:4040", Listen("::", 4040), "[::]:4040", False),
        ("192.0.2.7:4040", Listen("192.0.2.7", 4040), "192.0.2.7:4040", False),
        ("/run/x/live.sock", Listen(path=Path("/run/x/live.sock")), "/run/x/live.sock", True),
        ("unix:/run/live", Listen(path=Path("/run/live")), "/run/live", True),
    ],
)
def test_where_to_listen_is_read_and_written_again(
    written: str, parsed: Listen, full: str, local: bool
) -> None:
    assert Listen.parse(written) == parsed
    assert str(parsed) == full
    assert Listen.parse(full) == Listen.parse(parsed) == parsed
    assert parsed.local is local


@pytest.mark.parametrize(
    "written",
    [
        "", ":4040", "4040", 4040, "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "::1:4040",
        "[::1]", "[127.0.0.1]:4040", "plant.example:4040", "127.0.0.1:४", "unix:live.sock", "live.sock", "/run/\0x",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_forms_there_are(written: object) -> None:
    with pytest.raises(ValueError, match=r'such as "127\.0\.0\.1:4040"'):
        Listen.parse(written)


@pytest.mark.parametrize(
    ("written", "error", "why"),
    [
        ("127.0.0.1:80", PermissionError(errno.EACCES, "no"), "choose a port above 1023 in web.listen"),
        ("/run/live", PermissionError(errno.EACCES, "no"), "choose a folder of this user in web.listen"),
        ("/run/live", OSError(errno.ENOSPC, "{No} space"), "{No} space"),
    ],
)
def test_why_nobody_can_listen_there_is_said_in_words_by_which_one_can_act(
    written: str, error: OSError, why: str
) -> None:
    assert Listen.parse(written).why_not(error, "web.listen").endswith(why)


def test_path_that_no_socket_can_have_is_refused() -> None:
    Listen.parse(f"/{'x' * 106}")
    with pytest.raises(ValueError, match="longer than 107 bytes"):
        Listen.parse(f"/{'x' * 107}")


@pytest.mark.parametrize("address", ["0.0.0.0:4040", "[::]:4040", "192.0.2.7:4040"])
def test_other_machines_listen_in_only_where_that_is_said(address: str) -> None:
    with pytest.raises(ValidationError, match="add remote = true"):
        LiveOptions.model_validate({"listen": address})
    with pytest.raises(ValidationError, match="add remote = true"):
        LiveOptions.model_validate({"listen": address, "remote": False})
    knowingly = LiveOptions.model_validate({"listen": address, "remote": True})
    assert str(knowingly.listen) == address
