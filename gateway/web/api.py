"""What programs ask the gateway for, and the page with them; `description.py` says what."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from gateway.config import Config
from gateway.errors import Refused
from gateway.overview import MOST_DEVICES
from gateway.request import carried_out, failed, parsed
from gateway.web.description import DESCRIPTION
from gateway.web.guard import STREAM, refused
from gateway.web.history import History
from gateway.web.scene import line_of, rules_of
from gateway.web.sight import Sight
from gateway.web.stream import Stream

STALLED_S = 30.0
"""Who has taken nothing for so long is left."""

VERBS = ("alert/ack", "alert/silence", "alert/unsilence")


class Api:
    def __init__(self, sight: Sight, stream: Stream, history: History) -> None:
        self._sight = sight
        self._stream = stream
        self._history = history
        self._config: Config | None = None
        self._configured = b""
        """That one, encoded."""
        get = partial(web.get, allow_head=False)
        self.routes = [
            get("/api/gateway", self._gateway),
            get("/api/devices", self._devices),
            get("/api/devices/{name}", self._device),
            get("/api/brokers", self._brokers),
            get("/api/journal", self._journal),
            get("/api/alerts", self._alerts),
            get("/api/rules", self._rules),
            get("/api/log", self._log),
            get("/api/configuration", self._configuration),
            get(STREAM, self._events),
            get("/api/openapi.json", self._description),
            *(web.post(path_of(verb), partial(self._carry_out, verb)) for verb in VERBS),
        ]

    async def _gateway(self, _request: web.Request) -> web.Response:
        return _json({**self._sight.overview.gateway(), "unready": self._sight.health.unready})

    async def _devices(self, request: web.Request) -> web.Response:
        wanted = request.query.getall("name", [])
        with_history = "history" in request.query
        if with_history and not 0 < len(wanted) <= MOST_DEVICES:
            return _json(
                failed(f"with history, name 1 to {MOST_DEVICES} devices: ?history&name=…"), status=400
            )
        overview = self._sight.overview
        sources = [each for each in overview.changed() if not wanted or each.name in wanted]
        devices = []
        for source in sources:
            devices.append(overview.device(source, history=with_history))
            await asyncio.sleep(0)  # readings are to come between them
        return _json({"sampled": overview.sampled, "devices": devices})

    async def _device(self, request: web.Request) -> web.Response:
        overview, name = self._sight.overview, request.match_info["name"]
        source = next((each for each in overview.changed() if each.name == name), None)
        if source is None:
            return _json(failed("there is no such device"), status=404)
        return _json(overview.device(source, history=True))

    async def _brokers(self, _request: web.Request) -> web.Response:
        return _json({"brokers": self._sight.overview.brokers()})

    async def _journal(self, _request: web.Request) -> web.Response:
        return _json(self._sight.overview.journal())

    async def _alerts(self, _request: web.Request) -> web.Response:
        listed = await carried_out(self._sight.verbs, "alert/list", {}, asked="status page")
        del listed["status"]
        return _json({**listed, "history": [*self._history.after()]})

    async def _rules(self, _request: web.Request) -> web.Response:
        return _json({"rules": rules_of(self._sight.config())})

    async def _log(self, _request: web.Request) -> web.Response:
        return _json({"lines": [line_of(each) for each in self._sight.log.after(0)]})

    async def _configuration(self, _request: web.Request) -> web.Response:
        config = self._sight.config()
        if config is not self._config:  # of hundreds of devices it takes the time of many readings
            self._config, self._configured = config, _encoded(configuration_of(config))
        return web.Response(body=self._configured, content_type="application/json")

    async def _description(self, _request: web.Request) -> web.Response:
        return _json(DESCRIPTION)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        with self._stream.watched() as viewer:
            if viewer is None:
                full = failed("too many look at the status page already")
                return _json(full, status=503, headers={"Retry-After": "5"})
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            writer = await response.prepare(request)
            assert writer is not None
            assert request.transport is not None
            # Drained means taken by the kernel to the last byte: one event at most waits here.
            request.transport.set_write_buffer_limits(high=0)
            try:
                async for event in viewer.events():
                    async with asyncio.timeout(STALLED_S):
                        await response.write(event)
                        await writer.drain()
            except TimeoutError:
                request.transport.abort()
            except ConnectionError:
                pass  # it has gone
            return response

    async def _carry_out(self, verb: str, request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # what a page elsewhere can send is not
            return refused(415, "the request must be JSON: Content-Type: application/json")
        try:
            wanted = parsed(await request.read())
            if verb != "alert/unsilence":
                wanted.setdefault("by", "status page")
            answer = await carried_out(
                self._sight.verbs, verb, wanted, asked=f"status page, {request.remote}"
            )
        except Refused as error:
            return _json(failed(str(error)), status=400)
        self._stream.look()
        return _json(answer)


def path_of(verb: str) -> str:
    return f"/api/alerts/{verb.removeprefix('alert/')}"


def configuration_of(config: Config) -> dict[str, Any]:
    """As it was loaded, with what was not written too; secrets are asterisks."""
    written = config.model_dump(mode="json", by_alias=True, exclude={"warnings", "further_brokers"})
    for name, mqtt in config.further_brokers.items():
        written["mqtt"][name] = mqtt.model_dump(mode="json", by_alias=True)
    return {**written, "warnings": list(config.warnings)}


def _json(
    told: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(body=_encoded(told), status=status, headers=headers, content_type="application/json")


def _encoded(told: Mapping[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS)
