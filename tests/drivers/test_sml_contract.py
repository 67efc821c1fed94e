from drivers.testing.listening import ListeningContract


class TestSml(ListeningContract):
    name = "sml"
