"""What metrics mean under the names by which they are published."""

from typing import Any

import pytest

import drivers
from drivers.driver import Metric
from gateway.config.catalogue import Catalogue
from gateway.filters.naming import name_before


def of(driver: str, **options: Any) -> Catalogue:
    table = {"driver": driver, "port": "/dev/ttyUSB0", **options}
    return Catalogue(drivers.find(driver).options.model_validate(table))


def test_what_is_written_says_what_a_metric_means_that_nobody_has_described() -> None:
    catalogue = of("json", metrics={"t": {"unit": "Cel", "device_class": "temperature"}})
    assert catalogue.metric("t") == Metric("Cel", "t", "temperature")
    assert [*catalogue] == [("t", Metric("Cel", "t", "temperature"))]
    assert catalogue.metric("u") is None


def test_what_is_written_goes_over_what_the_driver_says_and_leaves_the_rest() -> None:
    catalogue = of(
        "mhz19", filters=[{"rename": {"co2": "indoor"}}], metrics={"indoor": {"label": "Living room"}}
    )
    assert catalogue.metric("indoor") == Metric("[ppm]", "Living room", "carbon_dioxide", "measurement")
    assert dict(catalogue)["indoor"].label == "Living room"


def test_empty_text_takes_away_what_the_driver_says() -> None:
    metric = of("mhz19", metrics={"co2": {"device_class": "", "unit": ""}}).metric("co2")
    assert metric == Metric("", "Carbon dioxide", "", "measurement")


def test_label_is_one_of_one_metric_only() -> None:
    assert of("mhz19").label("co2") == "Carbon dioxide"
    assert of("mysensors").label("node2.child0.temperature") == "node2.child0.temperature"
    assert of("mysensors", metrics={"node2.child0.temperature": {"label": "Cellar"}}).label(
        "node2.child0.temperature"
    ) == "Cellar"  # fmt: skip
    assert of("json").label("t") == "t"
    labels = [of("ubx").label(name) for name, _ in of("ubx") if "*" not in name]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("filters", "name", "before"),
    [
        ([], "t", "t"),
        ([{"rename": {"t": "temperature"}}], "temperature", "t"),
        ([{"rename": {"t": "temperature"}}], "t", None),
        ([{"rename": {"t": "u", "u": "t"}}], "t", "u"),
        ([{"drop": ["debug.*"]}], "debug.x", None),
        ([{"drop": ["debug.*"]}], "t", "t"),
        ([{"keep": ["t"]}], "u", None),
        ([{"rename": {"t": "debug.t"}}, {"drop": ["debug.*"]}], "debug.t", None),
        ([{"drop": ["t"]}, {"rename": {"u": "t"}}], "t", "u"),
        ([{"keep": ["t"]}, {"rename": {"t": "x"}}, {"round": 1}], "x", "t"),
    ],
)
def test_name_in_front_of_the_filters_is_found_or_nothing_of_it_passes(
    filters: list[dict[str, Any]], name: str, before: str | None
) -> None:
    options = drivers.find("json").options.model_validate(
        {"driver": "json", "port": "/dev/ttyUSB0", "filters": filters}
    )
    assert name_before(options.filters, name) == before
