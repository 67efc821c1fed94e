"""A page → frozen pydantic Config."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic.fields import FieldInfo

import drivers
from drivers.asking import AskingOptions
from drivers.driver import DriverOptions
from drivers.line import LINE_SETTINGS
from drivers.port import place
from drivers.power import Power
from gateway.config import complaints
from gateway.config.catalogue import may_come
from gateway.config.complaints import Model, Problem, Section
from gateway.config.control import ControlOptions
from gateway.config.files import may_be_changed_by_all, may_be_read_by_all
from gateway.config.locator import KeyPath
from gateway.config.notify import NotifyOptions
from gateway.config.options import (
    MAIN_BROKER,
    Config,
    DeviceName,
    GatewayOptions,
    HomeAssistantOptions,
    JournalOptions,
    LiveOptions,
    MqttOptions,
    Site,
    TlsOptions,
)
from gateway.config.page import Page, as_key, dotted, validated, value_of
from gateway.config.rulebook import rulebook
from gateway.config.rules import BUILT_IN, RuleName, RuleOptions
from gateway.config.secret import WAYS
from gateway.config.web import WebOptions
from gateway.errors import ConfigError
from gateway.filters.filter import Names
from gateway.filters.naming import names_behind
from gateway.rules.names import did_you_mean
from gateway.rules.rulebook import Mistake
from gateway.units import written_duration

_EVERYWHERE: Mapping[str, type[BaseModel]] = {
    "[gateway]": GatewayOptions,
    "[mqtt]": MqttOptions,
    "[mqtt.tls]": TlsOptions,
    "[journal]": JournalOptions,
    "[control]": ControlOptions,
    "[live]": LiveOptions,
    "[homeassistant]": HomeAssistantOptions,
    "[web]": WebOptions,
    "[devices.<name>]": DriverOptions,
    "[rules.<name>]": RuleOptions,
    "[notify.<name>]": NotifyOptions,
}


_Kept = tuple[KeyPath, str | dict[str, str]]
"""Where a secret is written, and what stands there: itself, or where it is kept."""


class _Document(Site):
    """The file's shape; what is in a table with a name is judged by itself."""

    devices: Mapping[DeviceName, dict[str, Any]] = Field(default_factory=dict)
    rules: Mapping[RuleName, dict[str, Any]] = Field(default_factory=dict)
    notify: Mapping[RuleName, dict[str, Any]] = Field(default_factory=dict)


def load(path: Path, *, knows_service: Callable[[str], bool] | None = None) -> Config:
    """Read it whole.

    Args:
        path: the file.
        knows_service: whether such a URL, that is no webhook's, will do; None: that is not looked into.

    Raises: ConfigError, with every problem of the file in the order of their places.
    """
    page = Page.read(path)
    document = _with_built_in_rules(page.table)
    further = dict(_further_brokers(document))
    found = [*_shared_ports(document), *_url_and_urls(document)]
    site = _validated(Section((), _without(document, further), _Document), path.parent, found)
    found += _missing_packages(site)
    brokers = {name: _broker(name, table, path.parent, found) for name, table in further.items()}
    unclear = [name for name, _ in _tables(document, "devices")]
    devices = {}
    for name, table in _tables(document, "devices"):
        if (options := _device(name, table, path.parent, found)) is not None:
            devices[name] = options
    notify = {
        name: _validated(Section(("notify", name), table, NotifyOptions), path.parent, found)
        for name, table in _tables(document, "notify")
    }
    rules = {
        name: _validated(Section(("rules", name), table, RuleOptions), path.parent, found)
        for name, table in _tables(document, "rules")
    }
    if knows_service is not None:
        found += _unknown_services(notify, knows_service)
    known = {**dict.fromkeys(unclear), **devices}
    found += _unknown_names(rules, notify, known)
    if site is not None:
        found += (Problem(("control", *at), text) for at, text in site.control.mistakes(known))
    good = {name: rule for name, rule in rules.items() if rule is not None}
    zone = UTC if site is None else site.gateway.zone
    book = rulebook(good, devices, zone, unclear=unclear)
    found += map(_of_rule, book.mistakes)
    if site is None or found:
        raise ConfigError(*page.lines(found))
    config = Config(
        gateway=site.gateway,
        mqtt=site.mqtt,
        further_brokers={name: broker for name, broker in brokers.items() if broker is not None},
        journal=site.journal,
        control=site.control,
        live=site.live,
        homeassistant=site.homeassistant,
        web=site.web,
        rules=good,
        notify={name: options for name, options in notify.items() if options is not None},
        devices=devices,
    )
    if found := [*_shared_clients(config), *_unknown_brokers(config)]:
        raise ConfigError(*page.lines(found))
    doubts = [*_doubts(config, document, path), *map(_of_rule, book.doubts)]
    return config.model_copy(update={"warnings": page.lines(doubts)})


def driver_options(name: str, pairs: Mapping[str, str]) -> DriverOptions:
    """A driver's options from the texts of a command line; a capture needs no port.

    Raises: ConfigError.
    """
    driver = drivers.find(name)
    texts = {**driver.capture_options, **pairs}
    table = {"driver": name, "port": "/dev/null", **{key: value_of(text) for key, text in texts.items()}}
    found: list[Problem] = []
    options = _validated(Section((), table, driver.options), Path(), found)
    if options is None:
        raise ConfigError(*(f"{dotted(problem.at) or name}: {problem.text}" for problem in found))
    return options


def port_options(port: str, line: Mapping[str, Any]) -> DriverOptions:
    """Those of a port and its line alone, whoever reads it. Raises: ConfigError."""
    found: list[Problem] = []
    options = _validated(Section((), {"driver": "", "port": port, **line}, DriverOptions), Path(), found)
    if options is None:
        raise ConfigError(*(f"{dotted(problem.at)}: {problem.text}" for problem in found))
    return options


def device_options(path: Path, device: str, pairs: Mapping[str, str]) -> DriverOptions:
    """The options of one device of a file, with the texts of a command line over them; the rest is not looked at.

    Args:
        path: the file.
        device: its name there; "" for the only one.
        pairs: as for driver_options.

    Raises: ConfigError, with what is wrong in that table by its place.
    """
    page = Page.read(path)
    tables = dict(_tables(page.table, "devices"))
    if not device and len(tables) == 1:
        [device] = tables
    if device not in tables:
        found_none = f"there is no [devices.{as_key(device)}]" if device else "there is not one device alone"
        raise ConfigError(f"{path}: {found_none}; its devices: {complaints.listed([*tables]) or 'none'}")
    table = {"port": "/dev/null", **tables[device], **{key: value_of(text) for key, text in pairs.items()}}
    found: list[Problem] = []
    options = _device(device, table, path.parent, found)
    if options is None:
        raise ConfigError(*page.lines(found))
    return options


def written(field: FieldInfo) -> str:
    """An option's default as TOML; empty where it has none."""
    if field.is_required():
        return ""
    default = complaints.writer(field)(field.get_default(call_default_factory=True))
    return "" if default is None else json.dumps(default, ensure_ascii=False)


def _validated(
    section: Section[Model], folder: Path, found: list[Problem], extra: Literal["ignore"] | None = None
) -> Model | None:
    return validated(section, folder, found, _EVERYWHERE, extra)


def _with_built_in_rules(document: dict[str, Any]) -> dict[str, Any]:
    written = document.get("rules", {})
    if not isinstance(written, dict):
        return document
    rules: dict[str, Any] = dict(BUILT_IN)
    for name, table in written.items():
        rules[name] = {**BUILT_IN.get(name, {}), **table} if isinstance(table, dict) else table
    return {**document, "rules": rules}


def _of_rule(mistake: Mistake) -> Problem:
    return Problem(("rules", mistake.rule, mistake.key), mistake.text, mistake.column)


def _unknown_names(
    rules: Mapping[str, RuleOptions | None],
    receivers: Mapping[str, NotifyOptions | None],
    devices: Mapping[str, DriverOptions | None],
) -> Iterator[Problem]:
    for name, rule in rules.items():
        if rule is None:
            continue
        at = ("rules", name)
        for index, receiver in enumerate(rule.notify):
            if receiver not in receivers:
                text = f"there is no [notify.{as_key(receiver)}]{did_you_mean(receiver, receivers)}"
                yield Problem((*at, "notify", index), text)
        for index, other in enumerate(rule.inhibited_by):
            if other not in rules:
                text = f'there is no rule "{other}"{did_you_mean(other, rules)}'
                yield Problem((*at, "inhibited_by", index), text)
        each = None if rule.each is None else [device for device in devices if device in Names(rule.each)]
        for index, action in enumerate(rule.do):
            for key, text in action.problems(devices, each):
                yield Problem((*at, "do", index, *key), text)


def _further_brokers(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each `[mqtt.<name>]`; what looks like a misspelt table of [mqtt] itself is left to that."""
    mqtt = document.get("mqtt")
    if isinstance(mqtt, dict):
        known = [*MqttOptions.model_fields]
        yield from (
            (name, table)
            for name, table in mqtt.items()
            if isinstance(table, dict)
            and name not in known
            and (table.keys() & {"url", "urls"} or complaints.closest(name, known) is None)
        )


def _without(document: Mapping[str, Any], further: Mapping[str, Any]) -> Mapping[str, Any]:
    if not further:
        return document
    return {**document, "mqtt": {key: each for key, each in document["mqtt"].items() if key not in further}}


def _broker(name: str, table: Mapping[str, Any], folder: Path, found: list[Problem]) -> MqttOptions | None:
    at = ("mqtt", name)
    if name == MAIN_BROKER:
        found.append(Problem(at, "is taken: that is the name of the broker in [mqtt] itself"))
    elif not name.strip() or not name.isprintable():
        found.append(Problem(at, "must be a name: not empty, without control characters"))
    if not table.keys() & {"url", "urls"}:
        found.append(Problem((*at, "url"), f"missing. {MqttOptions.model_fields['url'].description}"))
    return _validated(Section(at, table, MqttOptions), folder, found)


def _url_and_urls(document: Mapping[str, Any]) -> Iterator[Problem]:
    mqtt = document.get("mqtt")
    if isinstance(mqtt, dict) and {"url", "urls"} <= mqtt.keys():
        yield Problem(("mqtt", "urls"), "takes the place of url: write one of the two")
    for name, table in _further_brokers(document):
        if {"url", "urls"} <= table.keys():
            yield Problem(("mqtt", name, "urls"), "takes the place of url: write one of the two")


def _shared_clients(config: Config) -> Iterator[Problem]:
    owners: dict[tuple[str, int, str], str] = {}
    for name, mqtt in config.brokers.items():
        client_id = config.client_id(name)
        for way in mqtt.ways:
            place = ("", mqtt.embedded_port) if way.embedded else (way.host, way.port)
            if (owner := owners.setdefault((*place, client_id), name)) != name:
                yield Problem(
                    (*_table(name), "client_id"),
                    f'[{dotted(_table(owner))}] is "{client_id}" at {way} too, and the broker would throw one out'
                    " for the other: give one of them another client_id",
                )
                break


def _unknown_brokers(config: Config) -> Iterator[Problem]:
    if config.homeassistant is None:
        return
    for index, name in enumerate(config.homeassistant.brokers):
        if name not in config.brokers:
            yield Problem(
                ("homeassistant", "brokers", index),
                f"there is no [mqtt.{as_key(name)}]{did_you_mean(name, config.brokers)}",
            )


def _table(broker: str) -> KeyPath:
    return ("mqtt",) if broker == MAIN_BROKER else ("mqtt", broker)


def _tables(document: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those that are tables; the others are complained about with the file's shape."""
    named = document.get(key)
    if isinstance(named, dict):
        yield from ((name, table) for name, table in named.items() if isinstance(table, dict))


def _device(name: str, table: Mapping[str, Any], folder: Path, found: list[Problem]) -> DriverOptions | None:
    at = ("devices", name)
    driver = table.get("driver")
    if driver in drivers.names():
        try:
            model = drivers.find(driver).options
        except (ImportError, AttributeError, TypeError) as error:
            problem = f'"{driver}" is installed but cannot be loaded: {error}'
        else:
            return _validated(Section(at, table, model), folder, found)
    else:
        problem = _no_driver(driver)
    found.append(Problem((*at, "driver"), problem))
    # What all devices have in common can be judged without the driver.
    _validated(Section(at, {**table, "driver": ""}, DriverOptions), folder, found, extra="ignore")
    return None


def _no_driver(name: object) -> str:
    names = [*drivers.names()]
    installed = complaints.listed(names)
    if name is None:
        return f"missing. Which driver reads the instrument: {installed}"
    if not isinstance(name, str):
        return f"must be the name of a driver in quotes: {installed}"
    meant = complaints.closest(name, names)
    hint = f': did you mean "{meant}"?' if meant else ""
    return f'there is no driver "{name}"; installed are {installed}{hint}'


def _shared_ports(document: Mapping[str, Any]) -> Iterator[Problem]:
    owners: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, table in _tables(document, "devices"):
        port = table.get("port")
        if not isinstance(port, str):
            continue
        owner, first = owners.setdefault(place(port), (name, table))
        if owner == name:
            continue
        other = dotted(("devices", owner))
        driver = table.get("driver")
        if driver != first.get("driver") or not _is_bus(driver):
            yield Problem(
                ("devices", name, "port"),
                f"{other} has the same port, and a port can serve one device only, unless both are on a bus"
                f" and have the same driver, one of {_buses()}",
            )
            continue
        for key in (*LINE_SETTINGS, "power_cycle"):
            if table.get(key) != first.get(key):
                yield Problem(
                    ("devices", name, key if key in table else "port"),
                    f"{other} is on the same line and has another {key}: write the same for both",
                )


def _is_bus(driver: object) -> bool:
    return driver in drivers.DRIVERS and drivers.find(str(driver)).shares_port


def _buses() -> str:
    return complaints.listed([name for name in drivers.DRIVERS if _is_bus(name)])


def _unknown_services(
    notify: Mapping[str, NotifyOptions | None], known: Callable[[str], bool]
) -> Iterator[Problem]:
    for name, options in notify.items():
        if options is not None and not options.webhook and not known(options.url.get_secret_value()):
            yield Problem(("notify", name, "url"), "is none that Apprise can use: see its list of services")


def _missing_packages(site: Site | None) -> Iterator[Problem]:
    if site is None or site.web.listen is None:
        return
    missing = [name for name in ("aiohttp", "prometheus_client") if find_spec(name) is None]
    if missing:
        yield Problem(
            ("web", "listen"),
            f"needs {complaints.listed(missing)}, not installed here: pip install 'sallyport[web]'",
        )


def _doubts(config: Config, document: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    secrets = [*_secrets(config, document, ())]
    for name, mqtt in config.brokers.items():
        at = _table(name)
        if name != MAIN_BROKER:
            secrets += _secrets(mqtt, document["mqtt"][name], at)
        if mqtt.tls.insecure:
            yield Problem(
                (*at, "tls", "insecure"), "whoever answers is taken for the broker, and told the password"
            )
    for name, notify in config.notify.items():
        if not notify.webhook and find_spec("apprise") is None:
            yield Problem(
                ("notify", name, "url"),
                "needs Apprise, which is not installed: pip install 'sallyport[notify]'",
            )
        elif (
            notify.webhook
        ):  # many of their addresses hold no secret, and docs/notifications.md says what to do if one does
            secrets = [
                (at, kept) for at, kept in secrets if at != ("notify", name, "url") or isinstance(kept, dict)
            ]
    yield from _exposed(config, secrets, path)
    yield from (Problem(("control", *at), text) for at, text in config.control.doubts(config.devices))
    for name, device in config.devices.items():
        yield from _doubts_of_device(name, device)
    if not config.devices:
        yield Problem(
            ("devices",),
            "there are none, so nothing will be read: `sallyport ports` lists what is plugged in, and"
            " `sallyport sniff PORT` prints the table [devices.<name>] for it",
        )


def _exposed(config: Config, secrets: list[_Kept], path: Path) -> Iterator[Problem]:
    """What others on this machine, or whoever sees the file, may learn or change."""
    for at, kept in secrets:
        if isinstance(kept, str):
            yield Problem(at, f"stands here for all to read; better say where it is kept: {WAYS}")
        elif "file" in kept and may_be_read_by_all(file := path.parent / kept["file"]):
            yield Problem(at, f"every user of this machine may read it in {file}: chmod o-rwx {file}")
    if any(isinstance(kept, str) for _, kept in secrets) and may_be_read_by_all(path):
        yield Problem((), f"holds secrets, and every user of this machine may read it: chmod o-rwx {path}")
    if may_be_changed_by_all(path):
        yield Problem((), f"every user of this machine may change what is configured: chmod o-w {path}")
    if not config.journal.in_memory and may_be_changed_by_all(folder := config.journal.path.parent):
        yield Problem(
            ("journal", "path"),
            f"every user of this machine may write to {folder}: keep the journal in a folder of its own",
        )


def _doubts_of_device(name: str, device: DriverOptions) -> Iterator[Problem]:
    # No error: a hub comes and goes as its instruments do, and the gateway is to read the others meanwhile.
    if device.power_cycle is not None and (problem := Power(device.power_cycle).problem()):
        yield Problem(("devices", name, "power_cycle"), f"it cannot be switched now: {problem}")
    for metric in device.metrics:
        if not may_come(device, metric):
            known = names_behind(device.filters, drivers.find(device.driver).describe(device))
            yield Problem(
                ("devices", name, "metrics", metric),
                f"means nothing: no metric of this name is published{did_you_mean(metric, known)}",
            )
    every_s = device.asked_every if isinstance(device, AskingOptions) else 0
    if device.stale_after is not None and device.stale_after <= every_s:
        yield Problem(
            ("devices", name, "stale_after"),
            f"it is asked every {written_duration(every_s)} and stale after"
            f" {written_duration(device.stale_after)}: it will be announced as stale between two answers",
        )


def _secrets(value: object, written: Any, at: KeyPath) -> Iterator[_Kept]:
    match value, written:
        case SecretStr(), str() | dict():
            yield at, written
        case BaseModel(), dict():
            for name, field in type(value).model_fields.items():
                key = complaints.key_of(name, field)
                yield from _secrets(getattr(value, name), written.get(key), (*at, key))
        case dict(), dict():
            # Keys may have been made something else: the bits of a Modbus register are numbers, and texts in the file.
            for key, each in written.items():
                yield from _secrets(value.get(key), each, (*at, key))
