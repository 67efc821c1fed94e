"""`sallyport status`: whether all is well, for people and for scripts."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway import intercom
from gateway.commands import picture
from gateway.commands.listing import plain, span, table
from gateway.errors import Refused, Unreachable

WRONG = 1
NOT_RUNNING = 3


def run(gateway: str | None, *, as_json: bool, short: bool) -> int:
    """Exit status 0, `WRONG` or `NOT_RUNNING`.

    Raises: UsageError, when several run and none is named.
    """
    try:
        overview, listed = asyncio.run(_asked(intercom.place(gateway)))
    except Unreachable as error:
        return _say("down", error, NOT_RUNNING, as_json=as_json)
    except Refused as error:  # it runs, and has just no answer, such as while it is being stopped
        return _say("wrong", error, WRONG, as_json=as_json)
    problems = [*picture.problems(overview, listed["alerts"])]
    if as_json:
        state = "wrong" if problems else "ok"
        print(json.dumps({"state": state, "problems": problems, **overview, **listed}))
    else:
        print(_summary(overview, problems))
        if not short:
            _show(overview, listed, problems)
    return WRONG if problems else 0


def _say(state: str, why: Exception, status: int, *, as_json: bool) -> int:
    """Nothing is to be seen but this."""
    print(json.dumps({"state": state, "problems": [str(why)]}) if as_json else f"{state.upper()}: {why}")
    return status


async def _asked(place: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to be seen, and the alerts."""
    overview = await intercom.put(place, "overview", patience_s=intercom.SOON_S)
    return overview, await intercom.put(place, "alert/list", patience_s=intercom.SOON_S)


def _summary(overview: Mapping[str, Any], problems: list[str]) -> str:
    name = plain(overview["gateway"])
    if not problems:
        devices, brokers = len(overview["devices"]), len(overview["brokers"])
        heard = "1 device online" if devices == 1 else f"{devices} devices online"
        return f"OK: {name}: {heard}, {'broker' if brokers == 1 else 'all brokers'} connected"
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"WRONG: {name}: {problems[0]}{more}"


def _show(overview: Mapping[str, Any], listed: Mapping[str, Any], problems: list[str]) -> None:
    clock = "; the clock is not set" if "clock" in overview else ""
    print(f"Sallyport {overview['version']}, up {span(overview['up_s'])}{clock}")
    if len(problems) > 1:
        print(*(f"  {each}" for each in problems), sep="\n")
    print()
    print(*(f"broker   {picture.broker(each)}" for each in overview["brokers"]), sep="\n")
    print(f"journal  {picture.journal(overview['journal'])}")
    if overview["devices"]:
        print()
        table(
            ("device", "state", "rate", "age", "broken", "values, or why there are none"),
            [
                (
                    plain(each["name"]), plain(each["state"]), picture.rate(each), picture.age(each),
                    str(picture.broken(each)), picture.reason(each) or picture.values(each),
                )
                for each in overview["devices"]
            ],
        )  # fmt: skip
    if listed["alerts"]:
        print()
        table(
            ("alert", "severity", "state", "for", "quiet", "message"),
            [
                (
                    picture.alert_name(each), plain(each["severity"]), each["state"], span(each["since_s"]),
                    picture.quiet(each), plain(each["message"]),
                )
                for each in listed["alerts"]
            ],
        )  # fmt: skip
