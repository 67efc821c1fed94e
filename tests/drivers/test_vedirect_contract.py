from drivers.testing.listening import ListeningContract


class TestVedirect(ListeningContract):
    name = "vedirect"
