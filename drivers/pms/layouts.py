"""What the sensors' frames hold: where, how scaled, and under which names."""

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from drivers.driver import Names
from gateway.model import Value


class Layout(NamedTuple):
    id: str
    """As PyPMS calls the sensor."""
    values: Callable[[bytes], tuple[Value, ...]]
    """From the whole frame."""
    readable: tuple[str, ...]
    protocol: tuple[str, ...]
    """As PyPMS has them."""

    def names(self, wanted: Names) -> tuple[str, ...]:
        return self.readable if wanted == "readable" else self.protocol


_CF1 = ("pm1_cf1", "pm2_5_cf1", "pm10_cf1")
_PM = ("pm1", "pm2_5", "pm10")
_COUNTS = ("particles_0_3", "particles_0_5", "particles_1", "particles_2_5", "particles_5", "particles_10")
_AIR = ("temperature", "humidity")
_CF1_CODES = ("raw01", "raw25", "raw10")
_PM_CODES = ("pm01", "pm25", "pm10")
_COUNT_CODES = ("n0_3", "n0_5", "n1_0", "n2_5", "n5_0", "n10_0")
_AIR_CODES = ("temp", "rhum")

_six_words = Struct(">6H").unpack_from
_twelve_words = Struct(">12H").unpack_from
_with_formaldehyde = Struct(">13H").unpack_from
_with_air = Struct(">10HhH").unpack_from
_with_all = Struct(">13HhH").unpack_from
_nova = Struct("<2H").unpack_from
_two_words = Struct(">2H").unpack_from
_three_words = Struct(">3H").unpack_from
_four_words = Struct(">4H").unpack_from
_mcu680 = Struct(">hHHBHLh").unpack_from


def _pms3003_values(frame: bytes) -> tuple[Value, ...]:
    return _six_words(frame, 4)


# Plantower counts particles in 0.1 L; the values are per cm³.


def _pmsx003_values(frame: bytes) -> tuple[Value, ...]:
    a, b, c, d, e, f, g, h, i, j, k, m = _twelve_words(frame, 4)
    return a, b, c, d, e, f, g / 100, h / 100, i / 100, j / 100, k / 100, m / 100


def _pms5003s_values(frame: bytes) -> tuple[Value, ...]:
    *mass, g, h, i, j, k, m, formaldehyde = _with_formaldehyde(frame, 4)
    return *mass, g / 100, h / 100, i / 100, j / 100, k / 100, m / 100, formaldehyde / 1000


def _pms5003t_values(frame: bytes) -> tuple[Value, ...]:
    a, b, c, d, e, f, g, h, i, j, temperature, humidity = _with_air(frame, 4)
    return a, b, c, d, e, f, g / 100, h / 100, i / 100, j / 100, temperature / 10, humidity / 10


def _pms5003st_values(frame: bytes) -> tuple[Value, ...]:
    *mass, g, h, i, j, k, m, formaldehyde, temperature, humidity = _with_all(frame, 4)
    counts = (g / 100, h / 100, i / 100, j / 100, k / 100, m / 100)
    return *mass, *counts, formaldehyde / 1000, temperature / 10, humidity / 10


def _sds01x_values(frame: bytes) -> tuple[Value, ...]:
    pm2_5, pm10 = _nova(frame, 2)
    return pm2_5 / 10, pm10 / 10


def _mcu680_values(frame: bytes) -> tuple[Value, ...]:
    temperature, humidity, pressure, lowest, quality, gas, altitude = _mcu680(frame, 4)
    pressure = (pressure << 8 | lowest) / 100
    return temperature / 100, humidity / 100, pressure, quality >> 12, quality & 0xFFF, gas / 1000, altitude


def _mcu680_as_pypms(frame: bytes) -> tuple[Value, ...]:
    # It takes the accuracy from the wrong bits.
    *first, _, quality, gas, altitude = _mcu680_values(frame)
    return *first, (frame[11] << 8 | frame[12]) >> 4, quality, gas, altitude


PMS3003 = Layout("PMS3003", _pms3003_values, _CF1 + _PM, _CF1_CODES + _PM_CODES)
"""424D 0014, CF=1 thrice, PM thrice, three words reserved, sum. Source: PMS3003 data manual (2014), appendix I."""

PMSX003 = Layout("PMSx003", _pmsx003_values, _CF1 + _PM + _COUNTS, _CF1_CODES + _PM_CODES + _COUNT_CODES)
"""424D 001C, CF=1 thrice, PM thrice, six counts, version, error, sum. Source: PMS5003 data manual V2.3, appendix I."""

PMS5003S = Layout(
    "PMS5003S", _pms5003s_values, (*PMSX003.readable, "formaldehyde"), (*PMSX003.protocol, "HCHO")
)
"""As PMSx003, with formaldehyde in µg/m³ in the place of version and error."""

PMS5003T = Layout(
    "PMS5003T",
    _pms5003t_values,
    _CF1 + _PM + _COUNTS[:4] + _AIR,
    _CF1_CODES + _PM_CODES + _COUNT_CODES[:4] + _AIR_CODES,
)
"""As PMSx003, with 0.1 °C and 0.1 % in the place of the two coarsest counts."""

PMS5003ST = Layout(
    "PMS5003ST", _pms5003st_values, (*PMS5003S.readable, *_AIR), (*PMS5003S.protocol, *_AIR_CODES)
)
"""424D 0024, as PMS5003S, then 0.1 °C, 0.1 %, a word reserved, version, error, sum."""

SDS01X = Layout("SDS01x", _sds01x_values, _PM[1:], _PM_CODES[1:])
"""AAC0, PM2.5 and PM10 in 0.1 µg/m³ little endian, id, sum, AB. Source: SDS011 protocol V1.3."""

SDS198 = Layout("SDS198", lambda frame: _nova(frame, 2)[1:], ("pm100",), ("pm100",))
"""AACF, a word, PM100 in µg/m³ little endian, id, sum, AB."""

HPMA115S0 = Layout("HPMA115S0", lambda frame: _two_words(frame, 3), _PM[1:], _PM_CODES[1:])
"""400504, PM2.5, PM10, sum to zero. Source: Honeywell 32322550, table 4."""

HPMA115S0_BY_ITSELF = Layout("HPMA115S0", lambda frame: _two_words(frame, 6), _PM[1:], _PM_CODES[1:])
"""In Plantower's frame of 32 bytes: the second and third word, the others zero. Source: the same, table 5."""

HPMA115C0 = Layout(
    "HPMA115C0",
    lambda frame: _four_words(frame, 3),
    ("pm1", "pm2_5", "pm4", "pm10"),
    ("pm01", "pm25", "pm04", "pm10"),
)
"""400D04, PM1, PM2.5, PM4, PM10, four bytes reserved, sum to zero."""

_BME680 = ("temperature", "humidity", "pressure", "iaq_accuracy", "iaq", "gas_resistance", "altitude")
_BME680_CODES = ("temp", "rhum", "pres", "IAQ_acc", "IAQ", "gas", "alt")
MCU680 = Layout("MCU680", _mcu680_values, _BME680, _BME680_CODES)
"""5A5A 3F 0F, 0.01 °C, 0.01 %, Pa in 3 bytes, accuracy in 4 and IAQ in 12 bits, Ohm in 4 bytes, m, sum."""

MCU680_AS_PYPMS = MCU680._replace(values=_mcu680_as_pypms)

ZH0XX = Layout(
    "ZH0xx", lambda frame: _three_words(frame, 2), ("pm2_5", "pm10", "pm1"), ("pm25", "pm10", "pm01")
)
"""FF86, PM2.5, PM10, PM1, checksum: asked. Source: Winsen ZH03B manual V2.1."""

ZH0XX_BY_ITSELF = Layout("ZH0xx", lambda frame: _three_words(frame, 10), _PM, _PM_CODES)
"""424D 0014, three words reserved, PM1, PM2.5, PM10, three words reserved, sum. Source: the same."""

MHZ19B = Layout("MHZ19B", lambda frame: (frame[2] << 8 | frame[3],), ("co2",), ("CO2",))
"""FF86, ppm; drivers/mhz19."""

NOTHING = Layout("answer", lambda _: (), (), ())
"""An answer to a command."""
