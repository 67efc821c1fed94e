"""What docs/testing-rules.md shows is so, and the samples of tests of rules pass."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.commands.rules import test as rule_test
from gateway.config.rule_tests import (
    AvailabilityOptions,
    CaptureOptions,
    CaseOptions,
    ExpectOptions,
    ReadingOptions,
    SeriesOptions,
)

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "testing-rules.md").read_text()
SITE, *TESTS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
SAMPLES = sorted((ROOT / "config" / "examples" / "tests").glob("*.toml"))


def test_configuration_and_tests_in_the_document_on_testing_rules_are_good_and_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    files = []
    for number, text in enumerate(TESTS):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(text)
    status, said = rule_test.run(files, timeline=False), capsys.readouterr().out
    assert status == 0, said
    assert said.endswith(f"{len(TESTS)} passed, 0 failed\n")


def test_difference_and_time_line_that_the_document_on_testing_rules_shows_look_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"^    FAILED .*\n(?:    .*\n)+", TEXT, re.MULTILINE)
    assert found
    monkeypatch.chdir(tmp_path)
    Path("site.toml").write_text(SITE)
    firing = '{ rule = "overheat", message = "at 95 °C" }'
    wrong = TESTS[0].replace('firing = ["overheat"]\ndid', f"firing = [{firing}]\ndid")
    Path("boiler.toml").write_text(wrong)
    assert rule_test.run([Path("boiler.toml")], timeline=False) == 1
    shown = re.sub("^    ", "", found[0], flags=re.MULTILINE)
    said = capsys.readouterr().out.removesuffix("0 passed, 1 failed\n")
    assert re.sub(r":\d+:", ":", said) == re.sub(r":\d+:", ":", shown)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_of_tests_of_rules_passes(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rule_test.run([sample], timeline=False) == 0, capsys.readouterr().out


def test_there_are_samples_of_tests_of_rules() -> None:
    assert SAMPLES


def test_document_on_testing_rules_names_every_key_of_a_test() -> None:
    models: list[type[BaseModel]] = [
        CaseOptions,
        SeriesOptions,
        ReadingOptions,
        AvailabilityOptions,
        CaptureOptions,
        ExpectOptions,
    ]
    keys = {name for model in models for name in model.model_fields}
    assert {key for key in keys if f"`{key}`" not in TEXT and f"[[test.{key}]]" not in TEXT} == set()
