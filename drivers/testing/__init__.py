"""For those who write a driver: the contract it must pass (`listening`, `asking`), a bad line to try it on
(`instrument`), damaged telegrams (`fuzz`), what work leaves in memory (`memory`).

Needs the extra `testing`.
"""

import pytest

pytest.register_assert_rewrite(*(f"drivers.testing.{name}" for name in ("contract", "listening", "asking")))
