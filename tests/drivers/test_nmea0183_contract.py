from drivers.testing.contract import ListeningContract


class TestNmea0183(ListeningContract):
    name = "nmea0183"
