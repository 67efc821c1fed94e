import pytest

from gateway.config.broker_url import BrokerUrl


@pytest.mark.parametrize(
    ("written", "parsed", "full"),
    [
        ("mqtt://broker.example", BrokerUrl("mqtt", "broker.example", 1883), "mqtt://broker.example:1883"),
        (
            "mqtt://broker.example:1884/",
            BrokerUrl("mqtt", "broker.example", 1884),
            "mqtt://broker.example:1884",
        ),
        ("mqtts://192.0.2.7", BrokerUrl("mqtts", "192.0.2.7", 8883), "mqtts://192.0.2.7:8883"),
        ("mqtt://[fd00::7]:1883", BrokerUrl("mqtt", "fd00::7", 1883), "mqtt://[fd00::7]:1883"),
        (
            "ws://broker.example",
            BrokerUrl("ws", "broker.example", 80, "/mqtt"),
            "ws://broker.example:80/mqtt",
        ),
        ("wss://b.example/a/b", BrokerUrl("wss", "b.example", 443, "/a/b"), "wss://b.example:443/a/b"),
        ("embedded", BrokerUrl("embedded"), "embedded"),
    ],
)
def test_a_url_is_read_and_written_again(written: str, parsed: BrokerUrl, full: str) -> None:
    assert BrokerUrl.parse(written) == parsed
    assert str(parsed) == full
    assert BrokerUrl.parse(full) == BrokerUrl.parse(parsed) == parsed


@pytest.mark.parametrize(
    ("written", "tls", "websocket", "embedded"),
    [
        ("mqtt://b", False, False, False),
        ("mqtts://b", True, False, False),
        ("ws://b", False, True, False),
        ("wss://b", True, True, False),
        ("embedded", False, False, True),
    ],
)
def test_a_scheme_says_how_to_connect(written: str, tls: bool, websocket: bool, embedded: bool) -> None:
    url = BrokerUrl.parse(written)
    assert (url.tls, url.websocket, url.embedded) == (tls, websocket, embedded)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "broker.example",
        "mqtt:broker.example",
        "MQTT://broker.example",
        "tcp://broker.example",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://b:0",
        "mqtt://b:65536",
        "mqtt://b:-1",
        "mqtt://[fd00::7",
        "mqtt://user@b",
        "mqtt://user:password@b",
        "mqtt://b/path",
        "mqtt://b?q=1",
        "ws://b/mqtt#part",
        "mqtt://b\n",
        "mqtt://b\x00",
        "Embedded",
        1883,
        None,
        {},
        True,
    ],
)
def test_a_url_that_leads_nowhere_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must"):
        BrokerUrl.parse(written)
