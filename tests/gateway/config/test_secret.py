import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config import Config, MqttOptions, load
from gateway.errors import ConfigError

SECRET = "hunter2"
LITERAL_WARNING = (
    "stands here for all to read; better say where it is kept:"
    ' { credential = "name" }, { env = "NAME" } or { file = "/path" }'
)
WAYS = {
    "credential": '{ credential = "mqtt-password" }',
    "env": '{ env = "SALLYPORT_TEST_PASSWORD" }',
    "file": '{ file = "mqtt-password" }',
    "literal": f'"{SECRET}"',
    "table": '\n[mqtt.password]\nenv = "SALLYPORT_TEST_PASSWORD"',
}


@pytest.fixture(name="folder", autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mqtt-password").write_text(SECRET + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("SALLYPORT_TEST_PASSWORD", SECRET)
    return tmp_path


def load_text(folder: Path, text: str) -> Config:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load(file)


def site(written: str, more: str = "") -> str:
    line = written.lstrip("\n") if written.startswith("\n") else f"password = {written}"
    return f'[mqtt]\nurl = "mqtts://broker.example"\nusername = "plant"\n{more}{line}\n'


@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
def test_a_secret_is_fetched_and_never_shown(written: str, folder: Path) -> None:
    config = load_text(folder, site(written))

    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == SECRET
    shown: Mapping[str, str] = {
        "repr": repr(config),
        "str": str(config),
        "dump": repr(config.model_dump()),
        "json": config.model_dump_json(),
        "dumped as json": json.dumps(config.model_dump(mode="json")),
        "warnings": "\n".join(config.warnings),
        "mqtt": repr(config.mqtt) + f"{config.mqtt}",
    }
    for how, text in shown.items():
        assert text, how
        assert SECRET not in text, how


@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "mistake",
    ["window = 0\n", "nonsense = 1\n", "window = = 1\n", 'url2 = "x\n', "keepalive = 5\n", "tls = 5\n"],
)
def test_an_error_elsewhere_in_the_file_does_not_show_it(written: str, mistake: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(folder, site(written, mistake))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "its context would carry the file's text"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "hunter2",
        '"hunter2',
        "'hunter2",
        '"""hunter2',
        '"hunter2"x"',
        '"hunter2\\x"',
        "“hunter2”",
        '"hunter2" "hunter2"',
        '["hunter2"]',
        '{ literal = "hunter2" }',
        '{ evn = "hunter2" }',
        '{ env = ["hunter2"] }',
        '{ env = "HOME", value = "hunter2" }',
        '{ file = "mqtt-password", file = "hunter2" }',
        '"hunter2"\npassword = "hunter2"',
        "{ hunter2 = 1 }",
        "{ }",
        '{ hunter2 = { env = "hunter2" } }',
    ],
)
def test_a_secret_that_is_written_wrongly_is_not_shown(written: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(folder, site(written))
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_secret_in_a_file_that_is_not_utf8_is_not_shown(folder: Path) -> None:
    (folder / "gateway.toml").write_bytes(b'[mqtt]\npassword = "hunter2"\nname = "\xe9"\n')
    with pytest.raises(ConfigError) as caught:
        load(folder / "gateway.toml")
    assert str(caught.value).endswith("gateway.toml:3:9: this character is not UTF-8: save the file as UTF-8")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\n\n", "hunter2\n"),
        (b" hunter2 ", " hunter2 "),
        ("pässwörd\n".encode(), "pässwörd"),
    ],
)
@pytest.mark.parametrize("way", ["credential", "file"])
def test_one_newline_at_the_end_of_a_file_is_no_part_of_a_secret(
    way: str, content: bytes, secret: str, folder: Path
) -> None:
    (folder / "mqtt-password").write_bytes(content)
    password = load_text(folder, site(WAYS[way])).mqtt.password
    assert password == SecretStr(secret)


def problem_of(folder: Path, written: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(folder, site(written))
    (problem,) = caught.value.problems
    return problem.partition("mqtt.password: ")[2]


def test_a_missing_secret_says_what_was_looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem_of(folder, '{ env = "NOT_SET" }') == 'environment variable "NOT_SET" is not set'
    assert (
        problem_of(folder, '{ file = "/no/such" }')
        == "cannot be read from /no/such: No such file or directory"
    )
    advice = (
        "put it into /etc/sallyport/credentials/other, run systemctl daemon-reload and restart the service"
    )
    assert (
        problem_of(folder, '{ credential = "other" }')
        == f'credential "other" not found in {folder}; {advice}'
    )
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert problem_of(folder, '{ credential = "other" }') == (
        f'credential "other" not found: $CREDENTIALS_DIRECTORY is not set; {advice}'
    )


def test_credential_is_found_beside_the_file_by_who_runs_a_command_outside_the_service(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (folder / "credentials").mkdir()
    (folder / "credentials/mqtt-password").write_text("kept beside it\n")
    password = load_text(folder, site(WAYS["credential"])).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "kept beside it"


@pytest.mark.parametrize("name", ["", "../gateway.toml", "/etc/passwd"])
def test_a_credential_is_a_name_and_no_path(name: str, folder: Path) -> None:
    assert problem_of(folder, f'{{ credential = "{name}" }}') == "takes a credential's name, not a path"


def test_an_empty_secret_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mqtt-password").write_text("\n")
    monkeypatch.setenv("SALLYPORT_TEST_PASSWORD", "")
    for way in ("credential", "env", "file"):
        assert problem_of(folder, WAYS[way]) == "is empty; without a password leave the key out"


def test_a_file_that_is_no_text_holds_no_secret(folder: Path) -> None:
    (folder / "mqtt-password").write_bytes(b"hunter2\xff")
    problem = problem_of(folder, WAYS["file"])
    assert problem == f"cannot be read from {folder}/mqtt-password: the file is not UTF-8 text"


def test_only_a_literal_is_warned_about(folder: Path) -> None:
    tls = 'tls.key_password = "hunter2"\n'
    for way, written in WAYS.items():
        warned = [
            warning.partition("gateway.toml:")[2]
            for warning in load_text(folder, site(written)).warnings
            if "password" in warning
        ]
        assert warned == ([f"4:1: mqtt.password: {LITERAL_WARNING}"] if way == "literal" else [])
    warnings = load_text(folder, site(WAYS["env"], tls)).warnings
    assert f"{folder}/gateway.toml:4:5: mqtt.tls.key_password: {LITERAL_WARNING}" in warnings


def test_a_program_may_hand_over_a_secret_as_such() -> None:
    mqtt = MqttOptions.model_validate({"password": SecretStr(SECRET)})
    assert mqtt.password == SecretStr(SECRET)
    assert MqttOptions.model_validate({"password": None}).password is None


def test_pydantic_itself_does_not_show_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="window") as caught:
        MqttOptions.model_validate({"password": SECRET, "window": SECRET})
    assert SECRET not in str(caught.value)
