"""Sallyport's daemon: readings from drivers to the bus, and from there to MQTT."""

from importlib.metadata import version

__version__ = version("sallyport")
