"""What the drivers say of their metrics is what Home Assistant takes: nothing of it need be left out."""

from collections.abc import Iterator
from typing import get_args

import pytest

import drivers
from drivers.device_class import DeviceClass
from drivers.driver import Metric
from gateway.homeassistant.classes import BINARY_SENSORS, SENSORS, TEXTS, meaning
from tests.drivers.test_metrics import described


def numbers(name: str) -> Iterator[tuple[str, Metric]]:
    """What has a class of numbers."""
    for metric_name, metric in described(name):
        if metric.device_class and metric.device_class not in BINARY_SENSORS - SENSORS.keys():
            yield metric_name, metric


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_every_class_that_a_driver_names_reaches_home_assistant(name: str) -> None:
    lost = [
        (metric_name, metric)
        for metric_name, metric in numbers(name)
        if meaning(metric).device_class != metric.device_class
    ]
    assert lost == []


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_every_state_class_that_a_driver_names_reaches_home_assistant(name: str) -> None:
    lost = [
        (metric_name, metric)
        for metric_name, metric in described(name)
        if metric.state_class and not meaning(metric).state_class
    ]
    assert lost == []


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_what_goes_with_no_class_has_none(name: str) -> None:
    for _, metric in described(name):
        told = meaning(metric)
        if told.device_class:
            known = SENSORS[told.device_class]
            assert known.units is None or told.unit in known.units
            assert not told.state_class or told.state_class in known.states


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (Metric("Cel", "", "temperature", "measurement"), ("°C", "temperature", "measurement")),
        (Metric("V", "", "temperature", "measurement"), ("V", "", "measurement")),
        (Metric("kW.h", "", "energy", "measurement"), ("kWh", "energy", "")),
        (Metric("[pH]", "", "ph", "measurement"), ("", "ph", "measurement")),
        (Metric("deg", "", "wind_direction", "measurement"), ("°", "wind_direction", "measurement_angle")),
        (Metric("EUR", "", "monetary", "total"), ("EUR", "monetary", "total")),
        (Metric("", "", "problem", ""), ("", "", "")),
        (Metric("{count}", "", "", "total"), ("count", "", "total")),
    ],
)
def test_class_that_does_not_go_with_its_unit_is_left_out(metric: Metric, told: tuple[str, str, str]) -> None:
    assert tuple(meaning(metric)) == told


def test_every_class_that_may_be_written_is_one_of_home_assistants() -> None:
    assert {*get_args(DeviceClass)} - {"", "enum"} == {*SENSORS} | BINARY_SENSORS | TEXTS
