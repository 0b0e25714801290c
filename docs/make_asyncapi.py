"""Writes docs/reference/asyncapi.json: what goes over NATS, for programs in any language.

Run it from the checkout after a change of the alert, the event or a header:
`python docs/make_asyncapi.py`. A test compares.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

from make_alert_reference import schema as alert_schema  # noqa: E402

from engine import __version__  # noqa: E402
from engine.client import SEVERITIES  # noqa: E402
from engine.client.choice import SHADOW  # noqa: E402
from engine.events import Event  # noqa: E402
from engine.service.settings import Settings  # noqa: E402
from engine.service.streams import plan_streams  # noqa: E402
from engine.service.subjects import dead_letter, late_event  # noqa: E402

FILE = ROOT / "docs" / "reference" / "asyncapi.json"
_TOKEN = (
    "One token of a subject. A-Z a-z 0-9 _ - stand for themselves, every other byte of the UTF-8 form is "
    "= and two "
    "upper-case hex digits; the empty text is =. A token over 128 characters is cut and ends in == and 32 "
    "hex digits "
    "of the SHA-256 of the whole text."
)
_HEADERS = {
    "Origin-Stream": "The input stream.",
    "Origin-Sequence": "Sequence of the message in it.",
    "Origin-Subject": "Subject of the message.",
    "Origin-Index": "Number of the event in the message, from 0.",
    "Origin-Size": "Bytes of the original. Only when the payload was cut.",
    "Error-Reason": "The reason, as in the subject.",
    "Error-Detail": "A sentence for people.",
}
_ALWAYS_ABSENT = "Origin-Size"
_TRACE = {
    "traceparent": "The trace of the event that caused the alert (W3C Trace Context). Only if the event "
    "had one.",
    "tracestate": "Belongs to traceparent.",
}
_ABOUT = (
    "thenwire reads events from one JetStream stream and writes alerts, dead letters and late events into "
    "others. "
    "Publish events with acknowledgements (js.publish). Read alerts through a pull consumer with explicit "
    "acknowledgement, or ack-all, and acknowledge a message when it is dealt with. A message may come "
    "more than once: "
    "an alert is known by its `id`, and each change of it by `id` and `revision` together, which is also its "
    "Nats-Msg-Id (`id`.`revision`). Keep the highest revision of each id. Within the duplicate window of "
    "the stream "
    "the server drops second copies by Nats-Msg-Id. A reader must pass over keys of an object that it "
    "does not know; "
    "`schema` changes when an old reader would misunderstand."
)


def document() -> str:
    """The AsyncAPI 3.0 document as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(_document()), indent=2).decode() + "\n"


def _document() -> dict[str, Any]:
    streams = {plan.name: list(plan.subjects) for plan in plan_streams(Settings(ocsf=True))}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "thenwire",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS 2.14 or newer with JetStream. Streams and their subjects: "
                + "; ".join(f"{name} takes {', '.join(subjects)}" for name, subjects in streams.items())
                + ".",
            }
        },
        "channels": {
            "events": {
                "address": "events.{anything}",
                "description": "Any subject below events, also of several tokens: thenwire does not look "
                "at it.",
                "parameters": {"anything": {"description": "By convention kind and device."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in ("event", "events")},
            },
            "alerts": _finding_channel("alerts", "alert"),
            "ocsf": _finding_channel("ocsf", "finding"),
            "deadLetters": {
                "address": "dlq.thenwire.{reason}",
                "parameters": {"reason": {"description": "Why it could not be processed. " + _TOKEN}},
                "messages": {"deadLetter": {"$ref": "#/components/messages/deadLetter"}},
            },
            "late": {
                "address": "late.thenwire.{kind}",
                "parameters": {"kind": {"description": "Of the event. " + _TOKEN}},
                "messages": {"lateEvent": {"$ref": "#/components/messages/lateEvent"}},
            },
        },
        "operations": {
            "receiveEvents": _operation("receive", "events", "Events are read, one, or many in a message."),
            "sendAlerts": _operation("send", "alerts", "Each revision of an alert."),
            "sendFindings": _operation("send", "ocsf", "The same in the OCSF form; only with --ocsf."),
            "sendDeadLetters": _operation("send", "deadLetters", "What could not be processed."),
            "sendLateEvents": _operation("send", "late", "Events that came too late to be matched."),
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _finding_channel(first: str, message: str) -> dict[str, Any]:
    return {
        "address": f"{first}.{{severity}}.{{rule}}.{{device}}",
        "parameters": {
            "severity": {
                "enum": [*SEVERITIES, SHADOW],
                "description": "Of the moment when the alert was created; it stays, so that all revisions "
                "are under one "
                "subject. shadow: the rule is on trial.",
            },
            "rule": {"description": "The name of the rule, with _ for spaces. " + _TOKEN},
            "device": {"description": _TOKEN},
        },
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _headers(names: dict[str, str], optional: set[str], message_id: str) -> dict[str, Any]:
    described = {"Nats-Msg-Id": message_id, **names}
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in described.items()},
        "required": [name for name in described if name not in optional],
    }


def _origin(example: dict[str, str]) -> dict[str, str]:
    return {name: _HEADERS[name] for name in example}


def _messages() -> dict[str, Any]:
    letter = dead_letter(
        reason="r", detail="d", payload=b"x" * 100_000, stream="S", sequence=1, subject="s", index=0
    )
    late = late_event(kind="k", payload=b"{}", stream="S", sequence=1, subject="s", index=0)
    trace = set(_TRACE)
    return {
        "event": {
            "summary": "One event.",
            "contentType": "application/json",
            "payload": {"$ref": "#/components/schemas/Event"},
        },
        "events": {
            "summary": "Events as a JSON array. A line each (application/x-ndjson) is read, too.",
            "contentType": "application/json",
            "payload": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
        },
        "alert": {
            "summary": "One revision of an alert.",
            "headers": _headers(_TRACE, trace, "The alert's id and revision, with a dot between them."),
            "contentType": "application/json",
            "payload": {"$ref": "#/components/schemas/Alert"},
        },
        "finding": {
            "summary": "One revision of an alert as an OCSF Detection Finding, class 2004.",
            "headers": _headers(_TRACE, trace, "ocsf: and the alert's id and revision."),
            "contentType": "application/json",
            "payload": {"type": "object", "description": "See the OCSF schema, https://schema.ocsf.io."},
        },
        "deadLetter": {
            "summary": "A message, or one event of it, that could not be processed, as it came; at most "
            "64 KiB of it.",
            "headers": _headers(
                _origin(letter.headers), {_ALWAYS_ABSENT}, "dlq:<stream>:<sequence>:<index>:<reason>"
            ),
            "contentType": "application/octet-stream",
            "payload": {"description": "The bytes as they came; often no JSON."},
        },
        "lateEvent": {
            "summary": "One event as it came. Published again under events it is matched if the rules now "
            "allow it.",
            "headers": _headers(_origin(late.headers), set(), "late:<stream>:<sequence>:<index>"),
            "contentType": "application/json",
            "payload": {"$ref": "#/components/schemas/Event"},
        },
    }


def _schemas() -> dict[str, Any]:
    described = msgspec.json.decode(alert_schema().replace("#/$defs/", "#/components/schemas/"))
    schemas: dict[str, Any] = described["$defs"]
    envelope = msgspec.json.schema(Event)["$defs"]["Event"]
    times = "Epoch milliseconds, or RFC 3339."
    properties = {
        "kind": {"type": "string", "description": "The EVENT, with a dot for the space: net.flow."},
        **{name: part for name, part in envelope["properties"].items() if name != "kind"},
        "raw_ref": {"type": "string", "maxLength": 1024, "description": "Where the raw record is."},
    }
    for name in ("time", "start", "seen"):
        properties[name] = {**properties[name], "description": times}
    schemas["Event"] = {
        "title": "Event",
        "description": "The envelope; the fields that its EVENT declares stand beside it.",
        "type": "object",
        "properties": properties,
        "required": ["kind", "device", "time"],
        "additionalProperties": True,
    }
    return schemas


def main() -> int:
    FILE.write_text(document(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
