from drivers.testing.contract import ListeningContract


class TestVedirect(ListeningContract):
    name = "vedirect"
