from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.testing.listening import ListeningContract


class TestUbx(ListeningContract):
    name = "ubx"


class TestUbxWithSentences(ListeningContract):
    name = "ubx"
    options: ClassVar[Mapping[str, Any]] = {"nmea": True, "also": ["NAV-SAT"]}


class TestUbxInItsOwnNames(ListeningContract):
    name = "ubx"
    options: ClassVar[Mapping[str, Any]] = {"names": "protocol"}
