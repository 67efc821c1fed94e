from drivers.testing.contract import AskingContract


class TestMbus(AskingContract):
    name = "mbus"
