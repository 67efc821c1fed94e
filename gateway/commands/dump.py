"""`sallyport dump`: what every task and thread of the running gateway is doing, and what waits where."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from gateway import intercom
from gateway.commands.listing import plain
from gateway.errors import Unreachable


def run(gateway: str | None, *, as_json: bool) -> int:
    """`gateway`: its name, where several run. Raises: Refused; Unreachable."""
    answer = asyncio.run(_answer(gateway))
    if as_json:
        print(json.dumps(answer))
        return 0
    for kind in ("tasks", "threads"):
        for group in answer[kind]:
            more = group["total"] - len(group["names"])
            names = ", ".join(group["names"]) + (f" and {more} more" if more else "")
            print(f"{kind} {plain(names)}:")
            print(*(f"  {plain(place)}" for place in group["stack"]), "", sep="\n")
    if answer["left_out"]:
        print(f"{answer['left_out']} more were left out\n")
    print("queues:")
    print(*(f"  {plain(line)}" for line in _lines(answer["queues"])), sep="\n")
    return 0


async def _answer(gateway: str | None) -> dict[str, Any]:
    """Raises: Refused; Unreachable."""
    place = intercom.place(gateway)
    try:
        async with asyncio.timeout(intercom.SOON_S):
            return await intercom.put(place, "dump")
    except TimeoutError:
        raise Unreachable(
            f"{place}: the gateway has not answered for {intercom.SOON_S:.0f} s: its event loop may stand still. It"
            " writes the same to its log when it gets SIGUSR1: sudo systemctl kill --signal=USR1 sallyport"
        ) from None


def _lines(depths: Mapping[str, Any], above: str = "") -> list[str]:
    lines = []
    for name, depth in depths.items():
        if isinstance(depth, dict):
            lines += _lines(depth, f"{above}{name}: ")
        else:
            lines.append(f"{above}{name}: {depth}")
    return lines
