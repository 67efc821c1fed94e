"""For those who write a driver: the contract it must pass (`contract`) and a bad line to try it on (`instrument`).

Needs the extra `testing`.
"""

import pytest

pytest.register_assert_rewrite("drivers.testing.contract")
