import pytest

from gateway.model import Value
from gateway.rules.message import LONGEST, Message

VALUES: dict[str, Value] = {
    "boiler.temperature": 81.25, "rack-1.fan": True, "gps.fix": "3D", "meter.total": 10**400, "n": 7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("{boiler.temperature:.1f} °C", "81.2 °C"),
        ("{boiler.temperature}", "81.25"),
        ("{{{n:03d}}}", "{007}"),
        ("{n:.1f} {n:d}", "7.0 7"),
        ("{boiler.temperature:d}", "81.25"),
        ("{n:.1}", "7"),
        ("fan {rack-1.fan}, fix {gps.fix:.1f}, {pump.flow:.1f}", "fan true, fix 3D, ?"),
        ("{meter.total:.1f}", "?"),
    ],
)
def test_values_are_filled_in(template: str, text: str) -> None:
    assert Message(template).filled(VALUES.get) == text


@pytest.mark.parametrize(
    "template",
    [
        "{}", "{[0]}", "{boiler.temperature!s}", "{n!r}", "{n:{n}}", "{n:999999999}", "{n:>99}", "{n:.999f}", "{n[0]}",
        "{n", "n}", "{a b}", "{n:c}", "{.n}",
    ],
)  # fmt: skip
def test_what_is_more_than_a_name_and_a_form_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Message(template)


def test_attributes_are_names_like_any_other() -> None:
    asked: list[str] = []

    def look(name: str) -> Value | None:
        asked.append(name)
        return None

    assert Message("{n.__class__.__mro__}").filled(look) == "?"
    assert asked == ["n.__class__.__mro__"]


def test_no_text_of_a_device_makes_a_long_alert() -> None:
    assert len(Message("{s}{s}").filled(lambda _: "x" * 10**6)) == LONGEST


def test_it_knows_its_names() -> None:
    assert Message("{a.b} {c} {a.b}").names == {"a.b", "c"}
