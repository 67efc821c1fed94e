import asyncio

from gateway.bus import EventBus, Overflow
from gateway.model import Alert, Observation, Reading, Stamp
from gateway.rules.desk import Desk
from gateway.rules.judge import Judge
from gateway.rules.names import Instrument, Site
from gateway.rules.rule import Rule
from gateway.rules.rulebook import Rulebook, Statute
from tests.gateway.rules.stage import at_once, stamp


async def test_request_waits_its_turn_behind_what_has_been_read() -> None:
    now = 0.0

    def clock() -> Stamp:
        return stamp(now)

    def read(value: float) -> None:
        bus.put(Reading(at=clock(), device="boiler", values={"t": value}))

    book = Rulebook(
        [Statute(rule=Rule(name="hot", for_s=10), when="boiler.t > 80")], Site({"boiler": Instrument()})
    )
    bus, given_out = EventBus(), list[Alert]()
    judge = Judge(book, bus, clock, changed=lambda: None, given_out=given_out)
    desk = Desk(judge.engine, judge.now, judge.put, at_once)
    mail = bus.subscribe(Observation, name="rules", capacity=64, overflow=Overflow.WAIT)
    async with asyncio.TaskGroup() as group:
        group.create_task(judge.run(mail))
        read(85)
        await asyncio.sleep(0)
        now = 9.0
        pending = await desk.verbs["alert/list"]({})
        read(20)
        now = 11.0  # and the judge has not had its turn
        assert await desk.verbs["alert/list"]({}) == {"alerts": [], "silences": []}
        read(85)
        now = 20.5
        await desk.verbs["alert/list"]({})
        assert given_out == []
        now = 21.0
        await desk.verbs["alert/list"]({})
        mail.end()
    assert [each["state"] for each in pending["alerts"]] == ["pending"]
    assert [each.at.mono for each in given_out] == [21.0]
