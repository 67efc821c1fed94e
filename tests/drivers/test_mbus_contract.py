from drivers.testing.asking import AskingContract


class TestMbus(AskingContract):
    name = "mbus"
