from drivers.testing.listening import ListeningContract


class TestDsmr(ListeningContract):
    name = "dsmr"


class TestDsmrByCodes(ListeningContract):
    name = "dsmr"
    options = {"names": "protocol"}  # noqa: RUF012 - the contract's own
