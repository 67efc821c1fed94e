from drivers.testing.listening import ListeningContract


class TestPms(ListeningContract):
    name = "pms"
