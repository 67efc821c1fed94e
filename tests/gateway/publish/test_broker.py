from gateway.config import MqttOptions
from gateway.publish.aiomqtt_publisher import AiomqttPublisher
from gateway.publish.broker import Broker
from gateway.publish.link import LinkPublisher
from gateway.publish.way import publisher_to


def test_only_websockets_go_through_aiomqtt() -> None:
    for transport, way in (("tcp", LinkPublisher), ("websockets", AiomqttPublisher)):
        broker = Broker(host="h", port=1, transport=transport, client_id="x")  # type: ignore[arg-type]
        assert type(publisher_to(broker)) is way


def test_settings_come_from_the_configuration() -> None:
    mqtt = MqttOptions.model_validate(
        {
            "url": "ws://broker.example/gate",
            "username": "me",
            "password": "secret",
            "version": "3.1.1",
            "keepalive": "30s",
            "connect_timeout": "3s",
            "window": 7,
        }
    )
    [broker] = Broker.ways(mqtt, client_id="x")
    assert broker == Broker(
        host="broker.example",
        port=80,
        transport="websockets",
        path="/gate",
        version="3.1.1",
        client_id="x",
        username="me",
        password="secret",
        keepalive_s=30.0,
        connect_timeout_s=3.0,
        window=7,
    )


def test_embedded_broker_is_on_the_loopback_and_speaks_3_1_1() -> None:
    mqtt = MqttOptions.model_validate({"url": "embedded", "embedded_port": 2883})
    [broker] = Broker.ways(mqtt, client_id="x")
    assert (broker.host, broker.port, broker.version) == ("127.0.0.1", 2883, "3.1.1")


def test_each_of_several_addresses_is_a_way_of_its_own_with_tls_only_where_it_is_spoken() -> None:
    urls = ["mqtts://a.example", "mqtt://b.example", "wss://c.example/gate"]
    mqtt = MqttOptions.model_validate({"urls": urls})
    a, b, c = Broker.ways(mqtt, client_id="x")
    assert [each.name for each in (a, b, c)] == ["a.example:8883", "b.example:1883", "c.example:443"]
    assert a.tls is c.tls is not None
    assert b.tls is None
    assert (b.path, c.path, c.transport) == ("", "/gate", "websockets")
