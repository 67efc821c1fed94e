"""What the API takes and answers, as OpenAPI 3.1: served at /api/openapi.json."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_MAYBE: Schema = {"type": ["number", "null"]}
_TRUTH: Schema = {"type": "boolean"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_VALUE: Schema = {"type": ["number", "boolean", "string", "null"]}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_WORD: Schema = {"type": "string", "maxLength": 128, "pattern": "^[ -~]*$"}
_NAME: Schema = {**_WORD, "minLength": 1}
_CLOCK: Schema = {"const": "unsynchronised", "description": "Present while moments cannot be trusted."}
_OK: Mapping[str, Schema] = {"status": {"const": "ok"}}


def _said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _object(optional: Collection[str] = (), /, **properties: Schema) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_SCHEMAS: Mapping[str, Schema] = {
    "Failure": _object(status={"const": "error"}, error=_said(_TEXT, "What is wrong, for a person.")),
    "Gateway": _object(
        ["clock"], gateway=_TEXT, version=_TEXT, time=_MOMENT, since=_said(_MOMENT, "When it started."),
        up_s=_NUMBER, unready=_said(_TEXT, "Why it does not do its work; empty: it does."), clock=_CLOCK,
    ),
    "Metric": _object(
        ["history"], name=_TEXT, label=_TEXT, unit=_said(_TEXT, "As people write it; empty: none."), value=_VALUE,
        history=_said(
            _list(_MAYBE), "The last five minutes, one sample every 2 s, the oldest first; null where there was none."
        ),
    ),
    "Device": _object(
        ["since", "reason", "clock"], name=_TEXT, driver=_TEXT, port=_TEXT,
        state={"enum": ["online", "stale", "offline"]}, since=_MOMENT, reason=_said(_TEXT, "Why it is not online."),
        clock=_CLOCK, age_s=_said(_MAYBE, "Since its last reading; null: none came."),
        rate=_said(_NUMBER, "Readings a second, of late."), read=_COUNT,
        rejected={"type": "object", "additionalProperties": _COUNT, "description": "Broken frames, by reason."},
        metrics=_list(_ref("Metric")),
    ),
    "Broker": _object(
        name=_TEXT, connected=_TRUTH, connects=_COUNT, waiting=_said(_COUNT, "Readings that it has not taken yet."),
        acknowledged=_COUNT, set_aside=_said(_COUNT, "Readings that it has refused."),
        evicted=_said(_COUNT, "Readings that a full journal gave up before it got them."),
    ),
    "Journal": _object(
        path=_said({"type": ["string", "null"]}, "null: in memory."), used=_said(_MAYBE, "Of its room, 0 to 1."),
        trouble=_said(_TEXT, "Why readings are held in memory; empty: they are not."), recorded=_COUNT, refused=_COUNT,
    ),
    "Alert": _object(
        ["clock"], rule=_TEXT, device=_TEXT, state={"enum": ["pending", "firing"]}, severity=_TEXT, since=_MOMENT,
        since_s=_NUMBER, value=_VALUE, message=_TEXT, labels=_LABELS, clock=_CLOCK,
    ),
    "Happening": _object(
        ["clock"], time=_MOMENT, rule=_TEXT, device=_TEXT, state={"enum": ["pending", "firing", "resolved"]},
        since=_MOMENT, severity=_TEXT, value=_VALUE, message=_TEXT, labels=_LABELS, clock=_CLOCK,
    ),
    "Silence": _object(
        ["until"], name=_TEXT, rule=_TEXT, device=_TEXT, labels=_LABELS, by=_TEXT, left_s=_NUMBER, until=_MOMENT
    ),
    "Rule": _object(name=_TEXT, when=_TEXT, severity=_TEXT, enabled=_TRUTH, each=_list(_TEXT)),
    "Line": _object(
        time=_MOMENT, level=_said(_COUNT, "10 debug, 20 info, 30 warning, 40 error, 50 critical."), text=_TEXT,
        trace=_list(_TEXT),
    ),
    "Acknowledge": _object(
        ["device", "by"], rule=_NAME, by=_WORD,
        device=_said(_or_null(_WORD), "Not needed where one alone fires; * for all."),
    ),
    "Quieten": _said(
        _object(
            ["name", "rule", "device", "labels", "for", "until", "by"], name=_or_null(_NAME),
            rule=_said(_or_null(_NAME), "May hold * and ?; * silences everything."), device=_or_null(_NAME),
            labels={**_LABELS, "maxProperties": 16, "additionalProperties": _WORD, "propertyNames": _WORD},
            **{"for": _said(_or_null(_TEXT), "Such as 2h.")}, until=_or_null(_MOMENT), by=_WORD,
        ),
        "Needs a rule, a device or labels; and either for or until.",
    ),
    "Unsilence": _object(name=_WORD),
}  # fmt: skip


_NONE: Mapping[str, str] = MappingProxyType({})


def _answers(of: Schema, medium: str, fails: Mapping[str, str]) -> Mapping[str, Any]:
    everywhere = {
        "401": "Who asks has not said who it is, or wrongly.",
        "408": "It took too long.",
        "421": "Host is no name of this gateway.",
    }
    failed = {"application/json": {"schema": _ref("Failure")}}
    return {
        "200": {"description": "As it is now.", "content": {medium: {"schema": of}}},
        **{code: {"description": why, "content": failed} for code, why in {**everywhere, **fails}.items()},
    }


def _get(
    summary: str,
    of: Schema,
    *,
    medium: str = "application/json",
    takes: Collection[Schema] = (),
    fails: Mapping[str, str] = _NONE,
) -> Mapping[str, Any]:
    return {"get": {"summary": summary, "parameters": [*takes], "responses": _answers(of, medium, fails)}}


def _post(summary: str, body: str, **answer: Schema) -> Mapping[str, Any]:
    taken = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    failures = {
        "400": "It is not carried out, and why.",
        "403": "The request comes from another site.",
        "413": "It is larger than 64 KB.",
        "415": "It is not JSON.",
    }
    done = _object(["until"], **_OK, **answer)
    return {
        "post": {
            "summary": summary, "requestBody": taken, "responses": _answers(done, "application/json", failures)
        }
    }  # fmt: skip


_ANYTHING: Schema = {"type": "object"}

_PATHS: Mapping[str, Any] = {
    "/api/gateway": _get("The gateway itself", _ref("Gateway")),
    "/api/devices": _get(
        "All devices, or those that are named",
        _object(sampled=_said(_COUNT, "Of which sample the last of a history is."), devices=_list(_ref("Device"))),
        takes=[
            {"name": "name", "in": "query", "description": "Of a device; may be repeated.", "schema": _list(_TEXT)},
            {
                "name": "history", "in": "query", "allowEmptyValue": True, "schema": _TEXT,
                "description": "The last minutes of each number too, of 1 to 32 devices that are named.",
            },
        ],
        fails={"400": "The last minutes were asked for of too many devices, or of none."},
    ),
    "/api/devices/{name}": _get(
        "One device, with the last minutes", _ref("Device"),
        takes=[{"name": "name", "in": "path", "required": True, "schema": _TEXT}],
        fails={"404": "There is none of that name."},
    ),
    "/api/brokers": _get("The brokers, the main one first", _object(brokers=_list(_ref("Broker")))),
    "/api/journal": _get("The journal", _ref("Journal")),
    "/api/alerts": _get(
        "What fires or is pending, silences, and what has begun and ended",
        _object(alerts=_list(_ref("Alert")), silences=_list(_ref("Silence")), history=_list(_ref("Happening"))),
    ),
    "/api/alerts/ack": _post(
        "Somebody takes care of an alert that fires: it is quiet until it is resolved", "Acknowledge",
        acknowledged=_list(_object(rule=_TEXT, device=_TEXT)),
    ),
    "/api/alerts/silence": _post(
        "Keep alerts quiet for a while", "Quieten", name=_TEXT, rule=_TEXT, device=_TEXT, labels=_LABELS, by=_TEXT,
        left_s=_NUMBER, until=_MOMENT, covers=_said(_COUNT, "How many alerts it is about."),
    ),
    "/api/alerts/unsilence": _post("End a silence", "Unsilence", name=_TEXT),
    "/api/rules": _get("The rules", _object(rules=_list(_ref("Rule")))),
    "/api/log": _get("The last lines of the log", _object(lines=_list(_ref("Line")))),
    "/api/configuration": _get("The configuration as it was loaded; secrets are asterisks", _ANYTHING),
    "/api/events": _get(
        "What the status page shows, as it changes: server-sent events; their data may change with any version", _TEXT,
        medium="text/event-stream", fails={"503": "Too many look already."},
    ),
    "/api/openapi.json": _get("This description", _ANYTHING),
}  # fmt: skip

DESCRIPTION: Mapping[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Sallyport",
        "version": "1",
        "description": "A running gateway. Where web.token or web.password is set, requests carry it as Authorization.",
    },
    "security": [{"token": []}, {"password": []}, {}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "password": {"type": "http", "scheme": "basic"},
        },
        "schemas": _SCHEMAS,
    },
}
