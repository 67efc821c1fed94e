from typing import Any, ClassVar

from drivers.testing.asking import AskingContract
from drivers.testing.listening import ListeningContract


class TestModbusMaster(AskingContract):
    name = "modbus"


class TestModbusListener(ListeningContract):
    name = "modbus"
    options: ClassVar[dict[str, Any]] = {"mode": "listen"}
