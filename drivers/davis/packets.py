"""What LOOP and LOOP2 packets hold, byte by byte.

Source: Davis Vantage Serial Communication Reference Manual 2.6.1, sections X.1 and X.2; weewx's names.
"""

from typing import NamedTuple

from drivers.davis import quantities as q


class Field(NamedTuple):
    offset: int
    code: str
    """As struct has it: B H unsigned, b h signed, little endian."""
    protocol: str
    readable: str
    quantity: q.Quantity | q.Rain
    label: str


def _several(count: int, first: Field) -> tuple[Field, ...]:
    """So many of them, a byte each, numbered from 1."""
    return tuple(
        first._replace(
            offset=first.offset + number,
            protocol=f"{first.protocol}{number + 1}",
            readable=f"{first.readable}_{number + 1}",
            label=f"{first.label} {number + 1}",
        )
        for number in range(count)
    )


_BOTH = (
    Field(7, "H", "barometer", "barometer", q.PRESSURE, "Barometer, reduced to sea level"),
    Field(9, "h", "inTemp", "indoor_temperature", q.TEMPERATURE, "Indoor temperature"),
    Field(11, "B", "inHumidity", "indoor_humidity", q.HUMIDITY, "Indoor humidity"),
    Field(12, "h", "outTemp", "temperature", q.TEMPERATURE, "Temperature"),
    Field(14, "B", "windSpeed", "wind_speed", q.WIND, "Wind speed"),
    Field(16, "H", "windDir", "wind_direction", q.DIRECTION, "Wind direction"),
    Field(33, "B", "outHumidity", "humidity", q.HUMIDITY, "Humidity"),
    Field(41, "H", "rainRate", "rain_rate", q.RATE, "Rain rate"),
    Field(43, "B", "UV", "uv_index", q.UV, "UV index"),
    Field(44, "H", "radiation", "solar_radiation", q.RADIATION, "Solar radiation"),
    Field(46, "H", "stormRain", "rain_storm", q.SUM, "Rain of this storm"),
    Field(48, "H", "stormStart", "storm_began", q.STORM_BEGAN, "Day this storm began"),
    Field(50, "H", "dayRain", "rain_day", q.SUM, "Rain today"),
    Field(56, "H", "dayET", "evapotranspiration_day", q.EVAPORATION_DAY, "Evapotranspiration today"),
)

LOOP = (
    *_BOTH,
    # Consoles from before May 2002 have a P there, and no trend.
    Field(3, "b", "", "barometer_trend", q.TREND_1, "Barometer's trend in three hours"),
    Field(15, "B", "windSpeed10", "wind_speed_10min", q.WIND, "Wind speed, mean of ten minutes"),
    *_several(7, Field(18, "B", "extraTemp", "extra_temperature", q.EXTRA_TEMPERATURE, "Extra temperature")),
    *_several(4, Field(25, "B", "soilTemp", "soil_temperature", q.EXTRA_TEMPERATURE, "Soil temperature")),
    *_several(4, Field(29, "B", "leafTemp", "leaf_temperature", q.EXTRA_TEMPERATURE, "Leaf temperature")),
    *_several(7, Field(34, "B", "extraHumid", "extra_humidity", q.HUMIDITY, "Extra humidity")),
    Field(52, "H", "monthRain", "rain_month", q.SUM, "Rain this month"),
    Field(54, "H", "yearRain", "rain_year", q.SUM, "Rain this year"),
    Field(58, "H", "monthET", "evapotranspiration_month", q.EVAPORATION, "Evapotranspiration this month"),
    Field(60, "H", "yearET", "evapotranspiration_year", q.EVAPORATION, "Evapotranspiration this year"),
    *_several(4, Field(62, "B", "soilMoist", "soil_moisture", q.SOIL_MOISTURE, "Soil moisture tension")),
    # From 0 to 15. Places for four, but the station knows two.
    *_several(2, Field(66, "B", "leafWet", "leaf_wetness", q.LEAF_WETNESS, "Leaf wetness")),
    Field(
        86,
        "B",
        "txBatteryStatus",
        "transmitter_batteries",
        q.NUMBER,
        "Transmitters with a low battery, a bit each",
    ),
    Field(
        87,
        "H",
        "consBatteryVoltage",
        "console_battery_voltage",
        q.VOLTAGE,
        "Voltage of the console's batteries",
    ),
    Field(89, "B", "forecastIcon", "forecast", q.FORECAST, "Forecast"),
    Field(90, "B", "forecastRule", "forecast_rule", q.NUMBER, "Number of the forecast's text"),
    Field(91, "H", "", "sunrise", q.TIME_OF_DAY, "Sunrise, in the console's time"),
    Field(93, "H", "", "sunset", q.TIME_OF_DAY, "Sunset, in the console's time"),
)

LOOP2 = (
    *_BOTH,
    Field(3, "b", "trendIcon", "barometer_trend", q.TREND, "Barometer's trend in three hours"),
    Field(18, "H", "windSpeed10", "wind_speed_10min", q.WIND_IN_TENTHS, "Wind speed, mean of ten minutes"),
    Field(20, "H", "windSpeed2", "wind_speed_2min", q.WIND_IN_TENTHS, "Wind speed, mean of two minutes"),
    Field(22, "H", "windGust10", "wind_gust_10min", q.GUST, "Wind gust within ten minutes"),
    Field(24, "H", "windGustDir10", "wind_gust_direction_10min", q.DIRECTION, "Direction of that gust"),
    Field(30, "h", "dewpoint", "dew_point", q.FELT_TEMPERATURE, "Dew point"),
    Field(35, "h", "heatindex", "heat_index", q.FELT_TEMPERATURE, "Heat index"),
    Field(37, "h", "windchill", "wind_chill", q.FELT_TEMPERATURE, "Wind chill"),
    Field(39, "h", "THSW", "thsw_index", q.FELT_TEMPERATURE, "Temperature felt in sun and wind (THSW)"),
    Field(52, "H", "rain15", "rain_15min", q.WINDOW, "Rain within fifteen minutes"),
    Field(54, "H", "hourRain", "rain_hour", q.WINDOW, "Rain within an hour"),
    Field(58, "H", "rain24", "rain_24h", q.WINDOW, "Rain within a day"),
    Field(60, "B", "bar_reduction", "", q.SET_UP_NUMBER, "How the barometer is reduced"),
    Field(61, "h", "bar_offset", "", q.SET_UP, "Offset of the barometer"),
    Field(63, "h", "bar_calibration", "", q.SET_UP, "Calibration of the barometer"),
    Field(65, "H", "pressure_raw", "pressure_raw", q.PRESSURE, "Pressure as the sensor has it"),
    Field(67, "H", "pressure", "pressure", q.PRESSURE, "Pressure at the station"),
    Field(69, "H", "altimeter", "altimeter", q.PRESSURE, "Altimeter setting"),
)

ALARM_BYTES = {
    70: "insideAlarm", 71: "rainAlarm", 72: "outsideAlarm1", 73: "outsideAlarm2",
    **{74 + number: f"extraAlarm{number + 1}" for number in range(8)},
    **{82 + number: f"soilLeafAlarm{number + 1}" for number in range(4)},
}  # fmt: skip
"""By offset in LOOP: weewx's names. The first of the eight extra ones is the outdoor humidity's."""

_EXTRA = ("{}temperature low", "{}temperature high", "{}humidity low", "{}humidity high")
_SOIL_AND_LEAF = (
    "leaf wetness {0} low", "leaf wetness {0} high", "soil moisture {0} low", "soil moisture {0} high",
    "leaf temperature {0} low", "leaf temperature {0} high", "soil temperature {0} low", "soil temperature {0} high",
)  # fmt: skip
ALARMS: dict[int, tuple[str, ...]] = {
    70: (
        "barometer falling", "barometer rising", "indoor temperature low", "indoor temperature high",
        "indoor humidity low", "indoor humidity high", "time",
    ),
    71: ("rain rate", "rain in 15 minutes", "rain in 24 hours", "storm rain", "evapotranspiration"),
    72: (
        "temperature low", "temperature high", "wind speed", "wind speed of ten minutes", "dew point low",
        "dew point high", "heat index", "wind chill",
    ),
    73: ("THSW index", "solar radiation", "UV index", "UV dose"),
    74: ("", "", "humidity low", "humidity high"),
    **{74 + number: tuple(each.format(f"extra {number} ") for each in _EXTRA) for number in range(1, 8)},
    **{82 + number: tuple(each.format(number + 1) for each in _SOIL_AND_LEAF) for number in range(4)},
}  # fmt: skip
"""By offset in LOOP: what its bits say, the lowest first."""
