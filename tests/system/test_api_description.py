"""What /api/openapi.json says of the API, tried by a program that believes it: schemathesis, in a venv of its own."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.gateway_process import PATIENCE_S
from tests.support.page_site import heard, page_site

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

LOCK = Path(__file__).parents[2] / "requirements-api.lock"
HOT = '[rules.hot]\nwhen = "board.t > 80"\nkeep_for = "1d"\n'
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404"]  # a rule that does not fire, a device that is not there

[[operations]]
include-path = "/api/devices"
checks.negative_data_rejection.enabled = false  # in a query everything is a text, and what is one a list of one
"""


async def _done(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.timeout(600)
async def test_api_is_as_it_is_described(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    await _done(sys.executable, "-m", "venv", str(venv), cwd=tmp_path)
    await _done(
        str(venv / "bin" / "pip"), "install", "--quiet", "--require-hashes", "-r", str(LOCK), cwd=tmp_path
    )
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    async with page_site(tmp_path, more=HOT) as site, site.at_work() as (gateway, board):
        async with site.watching() as told:
            await board.say(b'{"t":81,"mode":"heat"}\n')
            await heard(told, '"state":"firing"')
        said = await _done(
            str(venv / "bin" / "schemathesis"), "run", f"{site.url}/api/openapi.json", "--url", site.url,
            "--checks", "all", "--exclude-path", "/api/events", "--phases", "examples,coverage,fuzzing",
            "--max-examples", "100", cwd=tmp_path,
        )  # fmt: skip
        assert "Tested: 12" in said
        assert not [line for line in gateway.log if "Traceback" in line]
        async with asyncio.timeout(PATIENCE_S):
            assert (await site.get("/healthz"))[0] == 200
    shutil.rmtree(venv)
