from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.testing.asking import AskingContract


class TestDavis(AskingContract):
    name = "davis"


class TestDavisOfEveryAge(AskingContract):
    name = "davis"
    options: ClassVar[Mapping[str, Any]] = {**AskingContract.options, "packets": "loop", "names": "protocol"}
