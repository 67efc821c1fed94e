from typing import Any, ClassVar

from drivers.testing.contract import AskingContract, ListeningContract


class TestModbusMaster(AskingContract):
    name = "modbus"


class TestModbusListener(ListeningContract):
    name = "modbus"
    options: ClassVar[dict[str, Any]] = {"mode": "listen"}
