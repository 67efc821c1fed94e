import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from pydantic import SecretStr, ValidationError

from gateway.config import MqttOptions, TlsOptions
from gateway.errors import ConfigError
from gateway.publish.broker import Broker, tls_context
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Message, Publisher
from tests.contracts.publisher import (
    PATIENCE_S,
    Mqtt5PublisherContract,
    PublisherContract,
    refused,
    works,
)
from tests.gateway.publish.real_bench import RealBench
from tests.support.mosquitto import Mosquitto
from tests.support.papers import LOOPBACK, Authority, Papers
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time

KEY_PASSWORD = "öffne dich"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Our authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "theirs", "Somebody else")


@pytest.fixture(scope="module")
def of_broker(authority: Authority) -> Papers:
    return authority.papers("broker", LOOPBACK)


def listener(papers: Papers, more: str = "") -> str:
    return f"certfile {papers.certificate}\nkeyfile {papers.key}\n{more}"


def publisher_to(port: int, options: TlsOptions, **settings: Any) -> LinkPublisher:
    return LinkPublisher(
        Broker(host="127.0.0.1", port=port, client_id="test", tls=tls_context(options), **settings)
    )


class TestMosquittoOverTls(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, authority: Authority, of_broker: Papers) -> RealBench:
        context = tls_context(TlsOptions(ca=authority.file))
        return RealBench(Mosquitto(tmp_path, listener=listener(of_broker)), tls=context)


class TestRogueOverTls(Mqtt5PublisherContract):
    @pytest_asyncio.fixture
    async def rogue(self, of_broker: Papers) -> AsyncIterator[RogueBroker]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(of_broker.certificate, of_broker.key)
        async with RogueBroker.running(context) as broker:
            yield broker

    def publisher(self, port: int, *, will: Message | None = None, **settings: Any) -> Publisher:
        context = tls_context(TlsOptions(insecure=True))
        broker = Broker(
            host="127.0.0.1", port=port, client_id="test", username="user", tls=context, **settings
        )
        return LinkPublisher(broker, will=will)


async def test_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, of_broker: Papers, stranger: Authority
) -> None:
    with Mosquitto.running(tmp_path, listener=listener(of_broker)) as broker:
        for options in (TlsOptions(ca=stranger.file), TlsOptions()):
            reason = await refused(publisher_to(broker.port, options))
            assert reason == "bad certificate: unable to get local issuer certificate"
        await works(publisher_to(broker.port, TlsOptions(ca=stranger.file, insecure=True)))


async def test_certificate_for_another_host_is_refused(tmp_path: Path, authority: Authority) -> None:
    papers = authority.papers("elsewhere", x509.DNSName("broker.example"))
    with Mosquitto.running(tmp_path, listener=listener(papers)) as broker:
        reason = await refused(publisher_to(broker.port, TlsOptions(ca=authority.file)))
        assert reason.startswith("bad certificate: IP address mismatch")
        await works(publisher_to(broker.port, TlsOptions(ca=authority.file, insecure=True)))


async def test_broker_that_asks_for_our_certificate_gets_it(
    tmp_path: Path, authority: Authority, of_broker: Papers
) -> None:
    ours = authority.papers("gateway", x509.DNSName("gateway"), password=KEY_PASSWORD)
    demanding = listener(of_broker, f"require_certificate true\ncafile {authority.file}")
    with Mosquitto.running(tmp_path, listener=demanding) as broker:
        reason = await refused(publisher_to(broker.port, TlsOptions(ca=authority.file)))
        assert "certificate required" in reason
        options = TlsOptions(
            ca=authority.file,
            certificate=ours.certificate,
            key=ours.key,
            key_password=SecretStr(KEY_PASSWORD),
        )
        await works(publisher_to(broker.port, options))


async def test_broker_without_tls_is_unreachable_over_tls(tmp_path: Path, authority: Authority) -> None:
    with Mosquitto.running(tmp_path) as broker:
        assert "TLS" in await refused(publisher_to(broker.port, TlsOptions(ca=authority.file)))


async def test_handshake_that_never_ends_is_given_up(rogue: RogueBroker, authority: Authority) -> None:
    rogue.mute = True
    publisher = publisher_to(rogue.port, TlsOptions(ca=authority.file), connect_timeout_s=0.1)
    assert await refused(publisher) == "no answer"


async def test_handshake_can_be_cancelled_more_than_once(rogue: RogueBroker, authority: Authority) -> None:
    rogue.mute = True
    publisher = publisher_to(rogue.port, TlsOptions(ca=authority.file), connect_timeout_s=0.3)
    connecting = asyncio.create_task(refused(publisher))
    async with asyncio.timeout(PATIENCE_S):
        while not rogue.links:
            await asyncio.sleep(0.001)
        connecting.cancel()
        await asyncio.sleep(0.05)
        connecting.cancel()
        await asyncio.wait([connecting])
        while rogue.links:
            await asyncio.sleep(0.001)
    assert connecting.cancelled()


def test_key_that_cannot_be_opened_is_the_operators_error(authority: Authority) -> None:
    locked = authority.papers("locked", x509.DNSName("gateway"), password=KEY_PASSWORD)
    for password in (None, SecretStr("wrong")):
        options = {"certificate": locked.certificate, "key": locked.key, "key_password": password}
        with pytest.raises(ValidationError, match="certificate and key cannot be used together"):
            TlsOptions.model_validate(options)


def test_file_that_went_bad_after_it_was_checked_is_the_operators_error(authority: Authority) -> None:
    papers = authority.papers("gone", x509.DNSName("gateway"))
    options = TlsOptions(certificate=papers.certificate, key=papers.key)
    papers.key.write_text("")
    with pytest.raises(ConfigError, match=r"^mqtt\.tls: the certificate files cannot be used"):
        tls_context(options)


def test_password_of_the_broker_is_not_in_its_repr() -> None:
    options = MqttOptions.model_validate({"url": "mqtt://b", "username": "me", "password": "T0PSECRET"})
    assert "T0PSECRET" not in repr(Broker.ways(options, client_id="x"))


def test_old_tls_versions_are_not_spoken() -> None:
    assert tls_context(TlsOptions()).minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_mqtts_and_wss_are_encrypted(authority: Authority) -> None:
    for url, encrypted in (("mqtts://b", True), ("wss://b", True), ("mqtt://b", False), ("ws://b", False)):
        tls = {"tls": {"ca": authority.file}} if encrypted else {}
        [broker] = Broker.ways(MqttOptions.model_validate({"url": url, **tls}), client_id="x")
        assert (broker.tls is not None) is encrypted
