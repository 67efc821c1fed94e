"""What the values mean, under their readable names; text fields and registers share them."""

from drivers.driver import Metric, Settable
from drivers.vedirect.codes import LOAD_MODES, MODES


def _voltage(label: str, settable: Settable | None = None) -> Metric:
    return Metric("V", label, "voltage", "measurement", settable)


def _current(label: str, settable: Settable | None = None) -> Metric:
    return Metric("A", label, "current", "measurement", settable)


def _power(label: str) -> Metric:
    return Metric("W", label, "power", "measurement")


def _apparent(label: str) -> Metric:
    return Metric("V.A", label, "apparent_power", "measurement")


def _temperature(label: str, settable: Settable | None = None) -> Metric:
    return Metric("Cel", label, "temperature", "measurement", settable)


def _energy(label: str) -> Metric:
    return Metric("kW.h", label, "energy", "total_increasing")


def _charge(label: str) -> Metric:
    return Metric("A.h", label, "", "measurement")


def _count(label: str) -> Metric:
    return Metric("", label, "", "total_increasing")


def _duration(unit: str, label: str) -> Metric:
    return Metric(unit, label, "duration", "measurement")


def _text(label: str) -> Metric:
    return Metric("", label)


_BATTERY_BANK = Settable(minimum=0, maximum=80)
_ON_OFF = Settable(choices=(True, False))

METRICS = {
    # Who it is
    "product_id": _text("Product id"),
    "model": _text("Model"),
    "firmware": _text("Version of the firmware"),
    "serial_number": _text("Serial number"),
    "description": _text("Name given by the owner"),
    "group_id": Metric("", "Group id"),
    "product_revision": Metric("", "Revision of the hardware"),
    "app_version": Metric("", "Version of the firmware, as a number"),
    "bluetooth": _text("Bluetooth capabilities, bits"),
    "uptime": _duration("s", "Time since start"),
    # Battery
    "battery_voltage": _voltage("Battery voltage"),
    "battery_2_voltage": _voltage("Battery voltage, channel 2"),
    "battery_3_voltage": _voltage("Battery voltage, channel 3"),
    "battery_current": _current("Battery current, discharge negative"),
    "battery_2_current": _current("Battery current, channel 2"),
    "battery_3_current": _current("Battery current, channel 3"),
    "battery_power": _power("Battery power, discharge negative"),
    "battery_temperature": _temperature("Battery temperature"),
    "starter_voltage": _voltage("Starter battery voltage"),
    "midpoint_voltage": _voltage("Voltage in the middle of the battery bank"),
    "midpoint_deviation": Metric("%", "Deviation of the voltage in the middle", "", "measurement"),
    "consumed_charge": _charge("Charge drawn since full, negative"),
    "state_of_charge": Metric(
        "%", "State of charge", "battery", "measurement", Settable(minimum=0, maximum=100)
    ),
    "time_to_go": _duration("min", "Time until the battery is empty"),
    "synchronised": Metric("", "Whether the state of charge can be believed"),
    # What it does, and what is wrong
    "charge_state": _text("State of the charger or inverter"),
    "error": _text("Error"),
    "device_mode": Metric("", "Mode that was chosen", settable=Settable(choices=tuple(MODES.values()))),
    "tracker_mode": _text("Mode of the MPP tracker"),
    "monitor_mode": _text("What the shunt measures"),
    "off_reason": _text("Why it is off"),
    "alarm": Metric("", "Alarm"),
    "alarm_reason": _text("Why there is an alarm"),
    "warning": _text("Warning"),
    "relay": Metric("", "Relay closed", settable=_ON_OFF),
    "load": Metric("", "Load output on"),
    "load_mode": Metric(
        "", "What switches the load output", settable=Settable(choices=tuple(LOAD_MODES.values()))
    ),
    "load_current": _current("Load current"),
    "load_voltage": _voltage("Voltage of the load output"),
    # Panels and yield
    "panel_voltage": _voltage("Panel voltage"),
    "panel_current": _current("Panel current"),
    "panel_power": _power("Panel power"),
    "panel_voltage_max": _voltage("Highest panel voltage"),
    "yield_total": _energy("Yield since the owner's last reset"),
    "yield_lifetime": _energy("Yield since the device was made"),
    "yield_today": _energy("Yield today"),
    "yield_yesterday": Metric("kW.h", "Yield yesterday", "energy", "total"),
    "power_max_today": _power("Highest power today"),
    "power_max_yesterday": _power("Highest power yesterday"),
    "day_number": Metric("", "Day of the history, 0 to 364"),
    # Charger
    "charger_current": _current("Charge current"),
    "charger_current_max": _current("Highest charge current of the device"),
    "charger_temperature": _temperature("Temperature inside the charger"),
    # AC and DC sides of inverters and chargers
    "ac_output_voltage": _voltage("AC output voltage"),
    "ac_output_current": _current("AC output current"),
    "ac_output_power": _power("AC output power"),
    "ac_output_apparent_power": _apparent("AC output, apparent power"),
    "ac_output_power_rated": _apparent("AC output, rated power"),
    "ac_output_voltage_nominal": _voltage("AC output, nominal voltage"),
    "dc_input_voltage": _voltage("DC input voltage"),
    "dc_input_current": _current("DC input current"),
    "dc_input_power": _power("DC input power"),
    "inverter_current": _current("Current of the inverter's bridge"),
    "operating_time": Metric("s", "Time in operation", "duration", "total_increasing"),
    "energy_drawn": Metric("kV.A.h", "Apparent energy drawn from the AC output", "", "total_increasing"),
    # History of a battery monitor
    "deepest_discharge": _charge("Deepest discharge, negative"),
    "last_discharge": _charge("Last discharge, negative"),
    "average_discharge": _charge("Average discharge, negative"),
    "charge_cycles": _count("Charge cycles"),
    "full_discharges": _count("Full discharges"),
    "charge_drawn": Metric("A.h", "Charge drawn, all discharges, negative", "", "total"),
    "battery_voltage_min": _voltage("Lowest battery voltage"),
    "battery_voltage_max": _voltage("Highest battery voltage"),
    "time_since_full_charge": _duration("s", "Time since the last full charge"),
    "synchronisations": _count("Automatic synchronisations"),
    "low_voltage_alarms": _count("Alarms for low voltage"),
    "high_voltage_alarms": _count("Alarms for high voltage"),
    "low_starter_voltage_alarms": _count("Alarms for low starter voltage"),
    "high_starter_voltage_alarms": _count("Alarms for high starter voltage"),
    "starter_voltage_min": _voltage("Lowest starter voltage"),
    "starter_voltage_max": _voltage("Highest starter voltage"),
    "energy_discharged": _energy("Energy drawn from the battery"),
    "energy_charged": _energy("Energy charged into the battery"),
    # Settings of chargers; what can be set is kept in a memory that wears out
    "absorption_voltage": _voltage("Setting: absorption voltage", _BATTERY_BANK),
    "float_voltage": _voltage("Setting: float voltage", _BATTERY_BANK),
    "equalisation_voltage": _voltage("Setting: equalisation voltage", _BATTERY_BANK),
    "battery_current_max": _current("Setting: highest charge current", Settable(minimum=0, maximum=450)),
    "absorption_time_max": _duration("h", "Setting: longest absorption"),
    "equalisation_time_max": _duration("h", "Setting: longest equalisation"),
    "equalisation_current_level": Metric("%", "Setting: equalisation current of the highest"),
    "equalisation_interval": Metric("d", "Setting: days between equalisations, 0: never"),
    "equalisation_stops_on_voltage": Metric("", "Setting: equalisation ends at its voltage"),
    "adaptive_absorption": Metric("", "Setting: absorption time adapts"),
    "temperature_compensation": Metric("mV/K", "Setting: temperature compensation"),
    "battery_type": Metric("", "Setting: type of the battery, by its place on the rotary switch"),
    "battery_voltage_setting": Metric("V", "Setting: voltage of the battery bank, 0: found out"),
    "battery_voltage_nominal": _voltage("Voltage of the battery bank"),
    "bms_present": Metric("", "Setting: a BMS is there"),
    "tail_current": _current("Setting: current at which absorption ends"),
    "low_temperature_current": _current("Setting: charge current below the low temperature"),
    "low_temperature": _temperature("Setting: low temperature"),
    "rebulk_offset": _voltage("Setting: below float by this, bulk begins again"),
    # What others in the network tell a charger; forgotten after a minute
    "network_mode": Metric(
        "",
        "Network mode, bits: 1 charge, 4 BMS, 8 external control",
        settable=Settable(minimum=0, maximum=255),
    ),
    "network_voltage_setpoint": _voltage("Network: charge voltage", _BATTERY_BANK),
    "network_battery_voltage": _voltage("Network: battery voltage", _BATTERY_BANK),
    "network_battery_temperature": _temperature(
        "Network: battery temperature", Settable(minimum=-40, maximum=100)
    ),
    "network_current_limit": _current("Network: charge current limit", Settable(minimum=0, maximum=6553)),
    "network_total_current": _current(
        "Network: current of all chargers", Settable(minimum=-2000, maximum=2000)
    ),
    "network_state": _text("Network: state of the charger"),
    # Settings of inverters
    "ac_voltage_setpoint": _voltage("Setting: AC output voltage", Settable(minimum=80, maximum=260)),
    "ac_voltage_setpoint_min": _voltage("Lowest AC output voltage that can be set"),
    "ac_voltage_setpoint_max": _voltage("Highest AC output voltage that can be set"),
    "low_battery_shutdown": _voltage("Setting: low battery, shut down", _BATTERY_BANK),
    "low_battery_alarm": _voltage("Setting: low battery, alarm", _BATTERY_BANK),
    "low_battery_alarm_clear": _voltage("Setting: low battery, alarm ends", _BATTERY_BANK),
    "battery_voltage_range_min": _voltage("Lowest battery voltage that can be set"),
    "battery_voltage_range_max": _voltage("Highest battery voltage that can be set"),
    "eco_current_min": _current("Setting: eco mode wakes above this current"),
    "eco_retry_time": _duration("s", "Setting: eco mode looks for a load this often"),
    # What has no name here
    "field.*": Metric("", "Text field that has no name here, as it is sent"),
    "register.*": Metric("", "Register that has no name here: unsigned, or its bytes in hex"),
}
"""By name; `*` is the protocol's own name for it."""
