from drivers.testing.contract import ListeningContract


class TestPms(ListeningContract):
    name = "pms"
