from drivers.testing.contract import ListeningContract


class TestFrame(ListeningContract):
    name = "frame"
