"""DLMS units by their numbers, as displays write them, and names of codes whose last part is no past period.

Source: DLMS UA Blue Book, "Enumerated values for physical units"; FNN specification of the EDL40, list of OBIS codes.
"""

from drivers.driver import Metric

UNITS = {
    1: "a",
    2: "mo",
    3: "wk",
    4: "d",
    5: "h",
    6: "min",
    7: "s",
    8: "deg",
    9: "°C",
    11: "m",
    12: "m/s",
    13: "m3",
    14: "m3",
    15: "m3/h",
    16: "m3/h",
    17: "m3/d",
    18: "m3/d",
    19: "l",
    20: "kg",
    21: "N",
    22: "Nm",
    23: "Pa",
    24: "bar",
    25: "J",
    26: "J/h",
    27: "W",
    28: "VA",
    29: "var",
    30: "Wh",
    31: "VAh",
    32: "varh",
    33: "A",
    34: "C",
    35: "V",
    36: "V/m",
    37: "F",
    38: "Ohm",
    40: "Wb",
    41: "T",
    42: "A/m",
    43: "H",
    44: "Hz",
    50: "kg/s",
    51: "S",
    52: "K",
    56: "%",
    57: "Ah",
    60: "Wh/m3",
    61: "J/m3",
    63: "g/m3",
    70: "dBm",
    72: "dB",
}

NAMES = {
    "1-0:96.50.1*1": "manufacturer",
    "1-0:0.2.0*0": "firmware",
    "1-0:96.90.2*1": "firmware_checksum",
    "1-0:96.5.0": "meter_status",
    "1-0:96.5.5": "meter_status",
    "1-0:96.50.0*2": "chip_temperature",
    "1-0:96.50.0*3": "chip_temperature_min",
    "1-0:96.50.0*4": "chip_temperature_max",
    "1-0:96.50.0*5": "chip_temperature_average",
    "1-0:96.50.3*3": "voltage_min",
    "1-0:96.50.3*4": "voltage_max",
}
"""By code: those that only these meters have, and whose last part is no past period."""

METRICS = {
    "firmware_checksum": Metric("", "Checksum of the firmware"),
    "meter_status": Metric("", "Status of the meter"),
    "chip_temperature": Metric("Cel", "Temperature of the chip", "temperature", "measurement"),
    "chip_temperature_min": Metric("Cel", "Temperature of the chip, lowest", "temperature", "measurement"),
    "chip_temperature_max": Metric("Cel", "Temperature of the chip, highest", "temperature", "measurement"),
    "chip_temperature_average": Metric(
        "Cel", "Temperature of the chip, average", "temperature", "measurement"
    ),
    "voltage_min": Metric("V", "Voltage, lowest", "voltage", "measurement"),
    "voltage_max": Metric("V", "Voltage, highest", "voltage", "measurement"),
    "status": Metric("", "Status word that the meter sends with a value"),
    "meter_seconds": Metric("s", "Seconds the meter has counted", "duration", "total_increasing"),
}
"""Those besides drivers/obis.py's, by readable name."""
