"""The configuration: TOML → frozen pydantic models, and what is wrong with it in a field engineer's words."""

from gateway.config.complaints import key_of, tables
from gateway.config.control import ControlOptions
from gateway.config.document import device_options, driver_options, load, port_options, written
from gateway.config.notify import NotifyOptions
from gateway.config.options import (
    MAIN_BROKER,
    Config,
    GatewayOptions,
    HomeAssistantOptions,
    JournalOptions,
    LiveOptions,
    MqttOptions,
    TlsOptions,
)
from gateway.config.rulebook import rulebook
from gateway.config.rules import RuleOptions
from gateway.config.web import WebOptions

__all__ = [
    "MAIN_BROKER",
    "Config",
    "ControlOptions",
    "GatewayOptions",
    "HomeAssistantOptions",
    "JournalOptions",
    "LiveOptions",
    "MqttOptions",
    "NotifyOptions",
    "RuleOptions",
    "TlsOptions",
    "WebOptions",
    "device_options",
    "driver_options",
    "key_of",
    "load",
    "port_options",
    "rulebook",
    "tables",
    "written",
]
