"""What cannot be meant is refused before anybody is asked."""

import re

import pytest

from gateway.commands import telling
from gateway.errors import UsageError


@pytest.mark.parametrize("written", ["voltage_limit", "=5", "voltage_limit:5"])
def test_setting_is_a_metric_and_a_value(written: str) -> None:
    with pytest.raises(UsageError, match=f"^{written}: must be METRIC=VALUE$"):
        telling.set_(None, "supply", [written])


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ("[]", r"must be a JSON object, such as {}"),
        ("{", r"is no JSON: .*"),
        ('{"for": NaN}', r"is no JSON: .*"),
        ('{"by": "\udcff"}', r"is no JSON: .*"),
    ],
)
def test_request_is_a_json_object(request_: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(request_)}: {why}$"):
        telling.ask(None, "ping", request_)
