"""From what a packet holds to values: weewx's in US units, or readable ones. None: the console shows dashes."""

from collections.abc import Callable
from datetime import date
from typing import Literal, NamedTuple

from drivers.driver import Metric
from gateway.model import Value

Convert = Callable[[int], Value | None]
StateClass = Literal["", "measurement", "total", "total_increasing"]
RainBucket = Literal["0.01in", "0.2mm", "0.1mm"]

_BYTE_DASHED = 0xFF
_WORD_DASHED = 0xFFFF
_SIGNED_DASHED = 0x7FFF
_HPA_PER_INHG = 33.8638866667
_M_S_PER_MPH = 0.44704
_MM_PER_INCH = 25.4
_TRENDS = {
    -60: "falling rapidly",
    -20: "falling slowly",
    0: "steady",
    20: "rising slowly",
    60: "rising rapidly",
}
_SKIES = {8: "sunny", 4: "partly cloudy", 2: "cloudy", 1: "rain", 16: "snow"}


class Quantity(NamedTuple):
    protocol: Convert
    readable: Convert
    sent_unit: str = ""
    """UCUM, of the protocol's value."""
    unit: str = ""
    device_class: str = ""
    state_class: StateClass = "measurement"

    def describe(self, label: str) -> Metric:
        return Metric(self.unit, label, self.device_class, self.state_class)

    def describe_sent(self, label: str) -> Metric:
        return Metric(self.sent_unit, label, "", self.state_class)


def nothing(_raw: int) -> None:
    return None


def _same(raw: int) -> int:
    return raw


def _celsius(fahrenheit: float) -> float:
    return round((fahrenheit - 32) / 1.8, 2)


def _unless(dashed: int, convert: Callable[[int], Value]) -> Convert:
    return lambda raw: None if raw == dashed else convert(raw)


def _temperature(dashed: int, divisor: int, offset: int) -> Quantity:
    return Quantity(
        _unless(dashed, lambda raw: (raw - offset) / divisor),
        _unless(dashed, lambda raw: _celsius((raw - offset) / divisor)),
        "[degF]",
        "Cel",
        "temperature",
    )


def _wind(dashed: int, divisor: int) -> Quantity:
    return Quantity(
        _unless(dashed, lambda raw: raw / divisor),
        _unless(dashed, lambda raw: round(raw / divisor * _M_S_PER_MPH, 2)),
        "[mi_i]/h",
        "m/s",
        "wind_speed",
    )


def _gust(raw: int) -> float | None:
    return None if raw in (_BYTE_DASHED, _WORD_DASHED) else float(raw)


def _gust_in_metres(raw: int) -> float | None:
    gust = _gust(raw)
    return None if gust is None else round(gust * _M_S_PER_MPH, 2)


def _direction(raw: int) -> float | None:
    """North is 360; 0 is no direction."""
    return None if raw in (0, _SIGNED_DASHED, _WORD_DASHED) else float(raw % 360)


def _felt(raw: int) -> float | None:
    # The manual has 255 for dashes; weewx takes whatever ends in FF for them, which costs -1 degF.
    return None if raw & 0xFF == _BYTE_DASHED else float(raw)


def _felt_celsius(raw: int) -> float | None:
    fahrenheit = _felt(raw)
    return None if fahrenheit is None else _celsius(fahrenheit)


def _storm_day(raw: int) -> date | None:
    """Layout: month in bits 12 to 15, day in 7 to 11, year since 2000 in 0 to 6."""
    if raw == _WORD_DASHED:
        return None
    try:
        return date(2000 + (raw & 0x7F), raw >> 12, raw >> 7 & 0x1F)
    except ValueError:
        return None


def _storm_began(raw: int) -> str | None:
    day = _storm_day(raw)
    return None if day is None else day.isoformat()


def _storm_midnight(raw: int) -> int | None:
    """In seconds since 1970, as weewx has it where the time is UTC."""
    day = _storm_day(raw)
    return None if day is None else (day - date(1970, 1, 1)).days * 86_400


def _time_of_day(raw: int) -> str | None:
    """Layout: hours times 100, and minutes."""
    return None if raw == _WORD_DASHED else f"{raw // 100:02}:{raw % 100:02}"


def _forecast(raw: int) -> str | None:
    return ", ".join(word for bit, word in _SKIES.items() if raw & bit) or None


def _evaporation(per_inch: int) -> Quantity:
    return Quantity(
        lambda raw: raw / per_inch,
        lambda raw: round(raw / per_inch * _MM_PER_INCH, 3),
        "[in_i]",
        "mm",
        "precipitation",
        "total_increasing",
    )


_INCHES = {"0.01in": 0.01, "0.2mm": 0.0078740157, "0.1mm": 0.00393700787}
"""Of a click of the bucket, as weewx has them."""
_MILLIMETRES = {"0.01in": 0.254, "0.2mm": 0.2, "0.1mm": 0.1}


def rain(bucket: RainBucket, kind: "Rain") -> Quantity:
    inches, millimetres = _INCHES[bucket], _MILLIMETRES[bucket]
    protocol = _unless(_WORD_DASHED, lambda raw: round(raw * inches, 12))
    readable = _unless(_WORD_DASHED, lambda raw: round(raw * millimetres, 3))
    if kind is RATE:
        return Quantity(protocol, readable, "[in_i]/h", "mm/h", "precipitation_intensity")
    return Quantity(protocol, readable, "[in_i]", "mm", "precipitation", kind.state_class)


class Rain(NamedTuple):
    """Counted in clicks of the bucket, so that the bucket says what it is."""

    state_class: StateClass


SUM = Rain("total_increasing")
WINDOW = Rain("measurement")
"""The last so many minutes: it falls, too."""
RATE = Rain("")

PRESSURE = Quantity(
    lambda raw: raw / 1000 if raw else None,
    lambda raw: round(raw / 1000 * _HPA_PER_INHG, 2) if raw else None,
    "[in_i'Hg]",
    "hPa",
    "atmospheric_pressure",
)
TEMPERATURE = _temperature(_SIGNED_DASHED, 10, 0)
EXTRA_TEMPERATURE = _temperature(_BYTE_DASHED, 1, 90)
FELT_TEMPERATURE = Quantity(_felt, _felt_celsius, "[degF]", "Cel", "temperature")
HUMIDITY = Quantity(_unless(_BYTE_DASHED, float), _unless(_BYTE_DASHED, float), "%", "%", "humidity")
WIND = _wind(_BYTE_DASHED, 1)
WIND_IN_TENTHS = _wind(_WORD_DASHED, 10)
GUST = Quantity(_gust, _gust_in_metres, "[mi_i]/h", "m/s", "wind_speed")
DIRECTION = Quantity(_direction, _direction, "deg", "deg", "wind_direction", "")
UV = Quantity(_unless(_BYTE_DASHED, lambda raw: raw / 10), _unless(_BYTE_DASHED, lambda raw: raw / 10))
RADIATION = Quantity(
    _unless(_SIGNED_DASHED, float), _unless(_SIGNED_DASHED, float), "W/m2", "W/m2", "irradiance"
)
EVAPORATION_DAY = _evaporation(1000)
EVAPORATION = _evaporation(100)
SOIL_MOISTURE = Quantity(
    _unless(_BYTE_DASHED, float), _unless(_BYTE_DASHED, float), "cbar", "kPa", "pressure"
)
LEAF_WETNESS = Quantity(_unless(_BYTE_DASHED, float), _unless(_BYTE_DASHED, float))
VOLTAGE = Quantity(
    lambda raw: (raw * 300 >> 9) / 100, lambda raw: (raw * 300 >> 9) / 100, "V", "V", "voltage"
)
NUMBER = Quantity(_same, _same, state_class="")
SET_UP = Quantity(lambda raw: raw / 1000 if raw else None, nothing, "[in_i'Hg]", state_class="")
"""What the operator entered, or the console worked out from it."""
SET_UP_NUMBER = Quantity(_same, nothing, state_class="")
TREND = Quantity(_same, _TRENDS.get, state_class="")
TREND_1 = Quantity(nothing, _TRENDS.get, state_class="")
FORECAST = Quantity(_same, _forecast, state_class="")
STORM_BEGAN = Quantity(_storm_midnight, _storm_began, "s", state_class="")
TIME_OF_DAY = Quantity(nothing, _time_of_day, state_class="")
