from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.testing.asking import AskingContract
from drivers.testing.listening import ListeningContract


class TestD0(AskingContract):
    name = "d0"


class TestD0OfModeD(ListeningContract):
    name = "d0"
    options: ClassVar[Mapping[str, Any]] = {"mode": "D", "baudrate": 2400, "names": "protocol"}
