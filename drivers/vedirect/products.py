"""Which model a product id is.

Source: VE.Direct protocol (text) 3.33, field PID.
"""

from collections.abc import Iterator

_BATTERY_MONITORS = {
    0x0203: "BMV-700",
    0x0204: "BMV-702",
    0x0205: "BMV-700H",
    0xA381: "BMV-712 Smart",
    0xA382: "BMV-710H Smart",
    0xA383: "BMV-712 Smart",
    0xA389: "SmartShunt 500A",
    0xA38A: "SmartShunt 1000A",
    0xA38B: "SmartShunt 2000A",
}

_SOLAR_CHARGERS = {
    0x0300: "BlueSolar MPPT 70/15",
    0xA074: "SmartSolar MPPT 75/10",
    0xA075: "SmartSolar MPPT 75/15",
    0xA076: "BlueSolar MPPT 100/30",
    0xA077: "BlueSolar MPPT 100/50",
    0xA078: "BlueSolar MPPT 150/35",
    0xA079: "BlueSolar MPPT 75/10",
    0xA07A: "BlueSolar MPPT 75/15",
    0xA07B: "BlueSolar MPPT 100/15",
}

_IN_ROWS = {
    (0xA040, "BlueSolar MPPT"): "75/50 150/35 75/15 100/15 100/30 100/50 150/70 150/100",
    (0xA049, "BlueSolar MPPT"): "100/50 100/30 150/35 75/10 150/45 150/60 150/85",
    (0xA050, "SmartSolar MPPT"): (
        "250/100 150/100 150/85 75/15 75/10 100/15 100/30 100/50 150/35 150/100 150/85 250/70 250/85 250/60 250/45 "
        "100/20 100/20 150/45 150/60 150/70 250/85 250/100"
    ),
    (0xA066, "BlueSolar MPPT"): "100/20 100/20",
    (0xA068, "SmartSolar MPPT"): "250/60 250/70 150/45 150/60 150/70 150/85 150/100",
    (0xA06F, "BlueSolar MPPT"): "150/45 150/60 150/70 150/45",
    (0xA073, "SmartSolar MPPT"): "150/45",
    (0xA102, "SmartSolar MPPT VE.Can"): (
        "150/70 150/45 150/60 150/85 150/100 250/45 250/60 250/70 250/85 250/100 150/70 150/85 150/100"
    ),
    (0xA10F, "BlueSolar MPPT VE.Can"): "150/100",
    (0xA112, "BlueSolar MPPT VE.Can"): "250/70 250/100",
    (0xA114, "SmartSolar MPPT VE.Can"): "250/70 250/100 250/85",
    (0xA117, "BlueSolar MPPT VE.Can"): "150/100",
    (0xA340, "Phoenix Smart IP43 Charger"): (
        "12/50(1+1) 12/50(3) 24/25(1+1) 24/25(3) 12/30(1+1) 12/30(3) 24/16(1+1) 24/16(3)"
    ),
}
"""Models with ids one after the other, and the id of the first."""

_INVERTERS = {
    0x3: 250,
    0x4: 375,
    0x5: 500,
    0x6: 800,
    0x7: 1200,
    0x8: 1600,
    0x9: 2000,
    0xA: 3000,
    0xB: 5000,
    0xE: 800,
    0xF: 1200,
}
"""VA by the second digit of an id behind A2."""

_INVERTER_VOLTAGES = {
    0x1: "12/{} 230V",
    0x2: "24/{} 230V",
    0x4: "48/{} 230V",
    0x9: "12/{} 120V",
    0xA: "24/{} 120V",
    0xC: "48/{} 120V",
}
"""By the last digit."""


def _products() -> Iterator[tuple[int, str]]:
    yield from _BATTERY_MONITORS.items()
    yield from _SOLAR_CHARGERS.items()
    for (first, family), models in _IN_ROWS.items():
        for product, model in enumerate(models.split(), first):
            yield product, f"{family} {model}"
    for power, rating in _INVERTERS.items():
        for voltage, text in _INVERTER_VOLTAGES.items():
            yield 0xA200 | power << 4 | voltage, f"Phoenix Inverter {text.format(rating)}"


PRODUCTS = {f"0x{product:X}": model for product, model in _products()}
"""By product id as text blocks have it."""
