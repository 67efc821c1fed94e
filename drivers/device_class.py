"""What kind of quantity a metric is, in the words of Home Assistant."""

from typing import Literal

DeviceClass = Literal[
    "", "apparent_power", "aqi", "area", "atmospheric_pressure", "battery", "battery_charging",
    "blood_glucose_concentration", "carbon_dioxide", "carbon_monoxide", "cold", "conductivity",
    "connectivity", "current", "data_rate", "data_size", "date", "distance", "door", "duration",
    "energy", "energy_distance", "energy_storage", "enum", "frequency", "garage_door", "gas", "heat",
    "humidity", "illuminance", "irradiance", "light", "lock", "moisture", "monetary", "motion",
    "moving", "nitrogen_dioxide", "nitrogen_monoxide", "nitrous_oxide", "occupancy", "opening", "ozone",
    "ph", "plug", "pm1", "pm10", "pm25", "pm4", "power", "power_factor", "precipitation",
    "precipitation_intensity", "presence", "pressure", "problem", "reactive_energy", "reactive_power",
    "running", "safety", "signal_strength", "smoke", "sound", "sound_pressure", "speed",
    "sulphur_dioxide", "tamper", "temperature", "temperature_delta", "timestamp", "update", "vibration",
    "volatile_organic_compounds", "volatile_organic_compounds_parts", "voltage", "volume",
    "volume_flow_rate", "volume_storage", "water", "weight", "wind_direction", "wind_speed", "window",
]  # fmt: skip
"""Of its sensors and binary sensors; `""`: none fits."""
