"""Home Assistant itself, with its MQTT integration and nothing else: a script of its own, for the Python that has it.

    python home_assistant_itself.py FOLDER PORT

Each line that it reads is a JSON object, and each is answered by one: `{"look": true}` for all that it knows now,
`{"tables": true}` for what it takes, `{"call": [domain, service, data]}` for what a person does.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.sensor import const
from homeassistant.config_entries import ConfigEntries
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry

ENTRY: dict[str, Any] = {
    "created_at": "2026-01-01T00:00:00+00:00", "modified_at": "2026-01-01T00:00:00+00:00", "disabled_by": None,
    "discovery_keys": {}, "domain": "mqtt", "entry_id": "0123456789abcdef0123456789abcdef", "minor_version": 2,
    "options": {}, "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user",
    "subentries": [], "title": "mqtt", "unique_id": None, "version": 1,
}  # fmt: skip
PRETENDED = {"homeassistant", "file_upload", "http", "persistent_notification"}
"""Components that MQTT wants to be there and that nothing of it is needed of here."""
OUR_OWN_DOING = "async_forward_entry_setups"
"""A line of its log about how it is set up here."""


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname} {record.name}: {record.getMessage()}"
        if OUR_OWN_DOING not in line:
            self.lines.append(f"{line} {record.exc_info[1]!r}" if record.exc_info else line)


def prepare(folder: Path, port: int) -> None:
    (folder / ".storage").mkdir(parents=True)
    (folder / "configuration.yaml").write_text("")
    entries = [{**ENTRY, "data": {"broker": "127.0.0.1", "port": port}}]
    stored = {"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": entries}}
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))


def look(hass: Any, log: Log) -> dict[str, Any]:
    devices = device_registry.async_get(hass).devices.values()
    names = {device.id: device.name for device in devices}
    return {
        "states": {
            each.entity_id: {"state": each.state, **{key: str(value) for key, value in each.attributes.items()}}
            for each in hass.states.async_all()
        },
        "devices": {
            each.name: {
                "maker": each.manufacturer, "model": each.model, "version": each.sw_version,
                "via": names.get(each.via_device_id),
            }
            for each in devices
        },
        "log": log.lines,
    }  # fmt: skip


def tables() -> dict[str, Any]:
    units = {
        str(name): ["" if unit is None else str(unit) for unit in units]
        for name, units in const.DEVICE_CLASS_UNITS.items()
    }
    states = {str(name): [*map(str, states)] for name, states in const.DEVICE_CLASS_STATE_CLASSES.items()}
    return {
        "version": __version__,
        "units": units,
        "states": states,
        "binary": [*map(str, BinarySensorDeviceClass)],
    }


async def main(folder: Path, port: int) -> None:
    log = Log()
    logging.getLogger().addHandler(log)
    prepare(folder, port)
    hass = HomeAssistant(str(folder))
    hass.config.skip_pip = True
    hass.config_entries = ConfigEntries(hass, {})
    loader.async_setup(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.config.components.update(PRETENDED)
    [entry] = hass.config_entries.async_entries("mqtt")
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_start()
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer: dict[str, Any] = {}
        match json.loads(line):
            case {"look": True}:
                answer = look(hass, log)
            case {"tables": True}:
                answer = tables()
            case {"call": [domain, service, data]}:
                await hass.services.async_call(domain, service, data, blocking=True)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    await hass.async_stop(force=True)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
