from drivers.nmea0183 import simulator
from tests.contracts.driver import DriverContract


class TestNmea0183(DriverContract):
    name = "nmea0183"
    telegrams = staticmethod(simulator.telegrams)
