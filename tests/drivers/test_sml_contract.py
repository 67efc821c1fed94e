from drivers.testing.contract import ListeningContract


class TestSml(ListeningContract):
    name = "sml"
