from typing import Any

import pytest
from pydantic import ValidationError

import drivers
from drivers.driver import DriverOptions
from gateway.config.actions import Action


def device(driver: str, **given: Any) -> DriverOptions:
    return drivers.find(driver).options.model_validate({"driver": driver, "port": "/dev/null", **given})


REGISTERS = {
    "running": {"address": 1, "table": "coil", "type": "bool", "writable": True},
    "speed": {"address": 2, "writable": True, "min": 0, "max": 50},
    "power": {"address": 3},
}
DEVICES: dict[str, DriverOptions | None] = {
    "pump": device("modbus", registers=REGISTERS),
    "valve": device("modbus", registers=REGISTERS, filters=[{"rename": {"running": "open"}}]),
    "ardu": device("json"),
    "broken": None,
}


def problems(table: dict[str, Any], each: list[str] | None = None) -> list[tuple[tuple[str | int, ...], str]]:
    return list(Action.model_validate(table).problems(DEVICES, each))


@pytest.mark.parametrize(
    ("table", "each"),
    [
        ({"device": "pump", "set": {"running": False, "speed": 7.5}}, None),
        ({"device": "valve", "set": {"open": True}}, None),
        ({"device": "broken", "set": {"anything": "goes"}}, None),
        ({"device": "this", "set": {"speed": 3}}, ["pump", "valve", "broken"]),
    ],
)
def test_action_that_its_device_would_carry_out_is_right(
    table: dict[str, Any], each: list[str] | None
) -> None:
    assert problems(table, each) == []


@pytest.mark.parametrize(
    ("table", "each", "expected"),
    [
        (
            {"device": "pmp", "set": {"running": False}},
            None,
            (("device",), 'there is no device "pmp": did you mean "pump"?'),
        ),
        (
            {"device": "this", "set": {"running": False}},
            None,
            (("device",), 'only a rule with each has this: write each = "rack-*" beside do'),
        ),
        (
            {"device": "pump", "set": {"running": "off"}},
            None,
            (("set", "running"), 'running cannot be "off": it may be false, true'),
        ),
        (
            {"device": "pump", "set": {"speed": 51}},
            None,
            (("set", "speed"), "speed cannot be 51: 50 is the most"),
        ),
        (
            {"device": "pump", "set": {"runing": False}},
            None,
            (("set", "runing"), 'runing cannot be set: did you mean "running"?'),
        ),
        (
            {"device": "pump", "set": {"power": 5}},
            None,
            (("set", "power"), "power cannot be set; known are running, speed"),
        ),
        (
            {"device": "valve", "set": {"running": True}},
            None,
            (("set", "running"), "running cannot be set: it is called open; known are speed, open"),
        ),
        (
            {"device": "ardu", "set": {"led": True}},
            None,
            (("set", "led"), "led cannot be set: nothing of this device can be"),
        ),
        (
            {"device": "this", "set": {"open": True}},
            ["valve", "pump", "ardu"],
            (("set", "open"), "pump: open cannot be set; known are running, speed"),
        ),
    ],
)
def test_action_that_cannot_be_carried_out_is_named_with_what_is_allowed(
    table: dict[str, Any], each: list[str] | None, expected: tuple[tuple[str, ...], str]
) -> None:
    assert problems(table, each) == [expected]


@pytest.mark.parametrize(
    "table",
    [
        {"device": "pump"},
        {"device": "pump", "set": {}},
        {"device": "pump", "set": {"running": [1]}},
        {"device": "pump", "set": {"running": {"a": 1}}},
        {"device": "pump", "set": {"speed": float("nan")}},
        {"device": "pump", "set": {"speed": 2**63}},
        {"device": "pump", "set": {"running": False}, "speed": 3},
    ],
)
def test_what_is_no_action_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Action.model_validate(table)


def test_values_stay_what_they_are_written_as() -> None:
    values = {"a": True, "b": 1, "c": 1.0, "d": "on"}
    found = Action.model_validate({"device": "pump", "set": values}).set_
    assert [(type(each), each) for each in found.values()] == [(type(each), each) for each in values.values()]
