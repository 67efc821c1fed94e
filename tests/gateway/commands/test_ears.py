"""What `sallyport rules explain` makes of what anybody may publish."""

from pathlib import Path

import aiomqtt
import orjson
import pytest

from gateway import config
from gateway.commands.rules.ears import Ears, Watched
from gateway.config import rulebook
from gateway.publish.topics import Topics
from gateway.rules.memory import Memory
from gateway.rules.unknown import Unknown

SITE = (
    '[gateway]\nname = "plant"\n[devices.boiler]\ndriver = "json"\nport = "/dev/a"\n'
    '[devices."2nd floor"]\ndriver = "json"\nport = "/dev/b"\n'
    '[rules.hot]\nwhen = \'boiler.t > 80 and "2nd floor"["a/b"] and stale(boiler) and boiler["$read"] > 0\'\n'
    '[rules.each]\neach = "*"\nwhen = "this.t > 80"\n'
)


class Site:
    def __init__(self, folder: Path, rule: str, layout: str) -> None:
        file = folder / "gateway.toml"
        file.write_text(f'[mqtt]\nlayout = "{layout}"\n{SITE}')
        loaded = config.load(file)
        article = rulebook(loaded.rules, loaded.devices, loaded.gateway.zone).article(rule)
        self.memory = Memory()
        self.watched = []
        for this in article.devices or [""]:
            reads = article.when.reads(this)
            for of in reads.metrics:
                self.memory.cell(*of)
            self.watched.append(Watched(this, sorted(reads.metrics), sorted(reads.asked), {}))
        topics = Topics(prefix="sallyport", gateway="plant")
        self.ears = Ears(article, self.watched, self.memory, topics, loaded)

    def hear(self, topic: str, payload: object) -> None:
        message = aiomqtt.Message(f"sallyport/plant/{topic}", orjson.dumps(payload), 1, False, 1, None)
        self.ears.hear(str(message.topic), message)

    def value(self, device: str, metric: str) -> object:
        return self.memory.cell(device, metric).value


def test_all_is_heard_when_each_value_and_each_availability_has_come(tmp_path: Path) -> None:
    site = Site(tmp_path, "hot", "device")
    assert set(site.ears.topics) == {
        "sallyport/plant/boiler", "sallyport/plant/boiler/availability", "sallyport/plant/2nd floor",
        "sallyport/plant/2nd floor/availability", "sallyport/plant/alerts/hot",
    }  # fmt: skip
    site.hear("boiler", {"values": {"t": 90, "other": 1}})
    site.hear("boiler/availability", {"state": "online"})
    site.hear("2nd floor/availability", {"state": "stale"})
    assert not site.ears.content
    site.hear("2nd floor", {"values": {"a/b": True}})
    assert site.ears.content
    assert (site.value("boiler", "t"), site.value("2nd floor", "a/b")) == (90, True)
    assert site.memory.device("boiler").stale is False


def test_values_on_topics_of_their_own_are_heard(tmp_path: Path) -> None:
    site = Site(tmp_path, "hot", "metric")
    assert set(site.ears.topics) == {
        "sallyport/plant/boiler/+", "sallyport/plant/2nd floor/+", "sallyport/plant/alerts/hot",
    }  # fmt: skip
    site.hear("boiler/t", 71.5)
    site.hear("2nd floor/a_b", False)
    site.hear("boiler/availability", {"state": "online"})
    site.hear("2nd floor/availability", {"state": "online"})
    assert site.ears.content
    assert (site.value("boiler", "t"), site.value("2nd floor", "a/b")) == (71.5, False)


def test_what_the_gateway_says_of_a_rule_for_several_is_said_of_each(tmp_path: Path) -> None:
    site = Site(tmp_path, "each", "device")
    assert "sallyport/plant/alerts/each/+" in site.ears.topics
    site.hear("alerts/each/2nd floor", {"state": "firing", "since": "2026", "message": "a\x1b[2Jb"})
    assert [each.said for each in site.watched] == [[], ["the gateway says: firing since 2026: a\\x1b[2Jb"]]


@pytest.mark.parametrize(
    "payload",
    [None, 3, "x", [], [3], {}, {"values": 3}, {"values": {"t": {"a": 1}}}, {"state": []}, {"state": "gone"}],
)
def test_what_is_nothing_that_a_gateway_says_is_not_heard(tmp_path: Path, payload: object) -> None:
    site = Site(tmp_path, "hot", "device")
    for topic in ("boiler", "boiler/availability", "alerts/hot", "boiler/x", "else"):
        site.hear(topic, payload)
    assert site.value("boiler", "t") is Unknown.NOT_SEEN
    assert site.memory.device("boiler").stale in (Unknown.NOT_SEEN, False)
    assert not site.ears.content
