from drivers.testing.listening import ListeningContract


class TestNmea0183(ListeningContract):
    name = "nmea0183"
