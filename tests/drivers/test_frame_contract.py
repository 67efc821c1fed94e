from drivers.testing.listening import ListeningContract


class TestFrame(ListeningContract):
    name = "frame"
