"""The numbers of the MySensors serial API 2.x (1.4 and 1.5 are a part of it), and what they mean.

Source: mysensors.org, "Serial Protocol - 2.x"; MyMessage.h of the library 2.3.
"""

from typing import Literal, NamedTuple

from drivers.driver import Metric

COMMANDS = ("presentation", "set", "req", "internal", "stream")

Kind = Literal["number", "boolean", "text"]


class Type(NamedTuple):
    """Of a value that a node sets."""

    code: str
    readable: str
    metric: Metric
    kind: Kind = "number"
    """As it is read; what cannot be read so stays a text."""


def _number(
    code: str, readable: str, unit: str, label: str, device_class: str = "", *, total: bool = False
) -> Type:
    return Type(
        code, readable, Metric(unit, label, device_class, "total_increasing" if total else "measurement")
    )


def _boolean(code: str, readable: str, label: str) -> Type:
    return Type(code, readable, Metric("", label), "boolean")


def _text(code: str, readable: str, label: str) -> Type:
    return Type(code, readable, Metric("", label), "text")


SET = dict(
    enumerate(
        (
            _number("V_TEMP", "temperature", "Cel", "Temperature", "temperature"),
            _number("V_HUM", "humidity", "%", "Humidity", "humidity"),
            _boolean("V_STATUS", "status", "Switched on"),
            _number("V_PERCENTAGE", "percentage", "%", "Dimmer or cover"),
            _number("V_PRESSURE", "pressure", "hPa", "Air pressure", "atmospheric_pressure"),
            _text("V_FORECAST", "forecast", "Weather forecast"),
            _number("V_RAIN", "rain", "mm", "Rain", "precipitation", total=True),
            _number("V_RAINRATE", "rain_rate", "mm/h", "Rate of rain", "precipitation_intensity"),
            _number("V_WIND", "wind_speed", "m/s", "Wind speed", "wind_speed"),
            _number("V_GUST", "wind_gust", "m/s", "Gust", "wind_speed"),
            _number("V_DIRECTION", "wind_direction", "deg", "Wind direction"),
            _number("V_UV", "uv", "", "UV index"),
            _number("V_WEIGHT", "weight", "kg", "Weight", "weight"),
            _number("V_DISTANCE", "distance", "m", "Distance", "distance"),
            _number("V_IMPEDANCE", "impedance", "Ohm", "Impedance"),
            _boolean("V_ARMED", "armed", "Armed"),
            _boolean("V_TRIPPED", "tripped", "Tripped"),
            _number("V_WATT", "power", "W", "Power", "power"),
            _number("V_KWH", "energy", "kW.h", "Energy", "energy", total=True),
            _text("V_SCENE_ON", "scene_on", "Scene switched on"),
            _text("V_SCENE_OFF", "scene_off", "Scene switched off"),
            _text("V_HVAC_FLOW_STATE", "hvac_flow_state", "Heating or cooling"),
            _text("V_HVAC_SPEED", "hvac_speed", "Fan speed"),
            _number("V_LIGHT_LEVEL", "light_level", "%", "Light, not calibrated"),
            *(
                _number(f"V_VAR{number}", f"var{number}", "", f"Value of one's own {number}")
                for number in range(1, 6)
            ),
            _text("V_UP", "up", "Cover moves up"),
            _text("V_DOWN", "down", "Cover moves down"),
            _text("V_STOP", "stop", "Cover stops"),
            _text("V_IR_SEND", "ir_send", "Infrared code to send"),
            _text("V_IR_RECEIVE", "ir_receive", "Infrared code received"),
            _number("V_FLOW", "flow", "m3/h", "Flow"),
            _number("V_VOLUME", "volume", "m3", "Volume", "volume", total=True),
            _boolean("V_LOCK_STATUS", "lock_status", "Locked"),
            _number(
                "V_LEVEL", "level", "", "Level: of dust in ug/m3, sound in dB, light in lx, vibration in Hz"
            ),
            _number("V_VOLTAGE", "voltage", "V", "Voltage", "voltage"),
            _number("V_CURRENT", "current", "A", "Current", "current"),
            _text("V_RGB", "rgb", "Colour, RRGGBB"),
            _text("V_RGBW", "rgbw", "Colour, RRGGBBWW"),
            _text("V_ID", "id", "Number of the sensor"),
            _text("V_UNIT_PREFIX", "unit_prefix", "Unit that the node says"),
            _number("V_HVAC_SETPOINT_COOL", "hvac_setpoint_cool", "Cel", "Cooling set point", "temperature"),
            _number("V_HVAC_SETPOINT_HEAT", "hvac_setpoint_heat", "Cel", "Heating set point", "temperature"),
            _text("V_HVAC_FLOW_MODE", "hvac_flow_mode", "Mode of the fan"),
            _text("V_TEXT", "text", "Text"),
            _number("V_CUSTOM", "custom", "", "Value of one's own"),
            _text("V_POSITION", "position", "Latitude, longitude, altitude"),
            _text("V_IR_RECORD", "ir_record", "Infrared code to record"),
            _number("V_PH", "ph", "[pH]", "Acidity", "ph"),
            _number("V_ORP", "orp", "mV", "Redox potential"),
            _number("V_EC", "conductivity", "uS/cm", "Conductivity"),
            _number("V_VAR", "reactive_power", "var", "Reactive power", "reactive_power"),
            _number("V_VA", "apparent_power", "V.A", "Apparent power", "apparent_power"),
            _number("V_POWER_FACTOR", "power_factor", "", "Power factor", "power_factor"),
            _text("V_MULTI_MESSAGE", "multi_message", "Several values in one, as they are"),
            _number("V_TILT", "tilt", "%", "Tilt of a cover"),
            _number("V_FACTOR", "factor", "", "Factor, such as pulses per kWh"),
        )
    )
)

INTERNAL = {
    0: _number("I_BATTERY_LEVEL", "battery_level", "%", "Battery", "battery"),
    2: _text("I_VERSION", "library_version", "Version of the MySensors library"),
    11: _text("I_SKETCH_NAME", "sketch_name", "Program of the node"),
    12: _text("I_SKETCH_VERSION", "sketch_version", "Version of the node's program"),
}
"""What nodes say of themselves. The other types are requests, answers and logs of the network."""

METRICS = {
    **{f"*.*.{kind.readable}": kind.metric for kind in SET.values()},
    **{f"*.{kind.readable}": kind.metric for kind in INTERNAL.values()},
}
