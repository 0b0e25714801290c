"""docs/reference/asyncapi.json is what the code says, and is an AsyncAPI document."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jsonschema
import msgspec
import pytest
from doc_pages import DOCS

from engine.alerts import encode
from engine.events import Event
from engine.service.subjects import (
    alert_subject,
    dead_letter,
    dead_letter_subject,
    finding_subject,
    late_event,
)

FILE = DOCS / "reference" / "asyncapi.json"
_REFERENCE = re.compile(r"#(/[A-Za-z0-9_-]+)+")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Any])


def test_it_is_what_the_code_says() -> None:
    assert FILE.read_text("utf-8") == _load("make_asyncapi").document(), "run `python docs/make_asyncapi.py`"


def parts(node: Any) -> Iterator[Any]:
    yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(inner)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert _REFERENCE.fullmatch(reference), reference
    node: Any = document
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return node


def test_its_form_is_that_of_asyncapi_3(document: dict[str, Any]) -> None:
    """The rules of the specification that a document of ours could break (asyncapi.com, version 3.0.0)."""
    assert document["asyncapi"] == "3.0.0"
    assert set(document) <= {
        "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components",
    }  # fmt: skip
    assert {"title", "version"} <= set(document["info"])
    for server in document["servers"].values():
        assert {"host", "protocol"} <= set(server)
        assert "://" not in server["host"]
    for channel in document["channels"].values():
        assert set(channel) <= {"address", "description", "parameters", "messages"}
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
        for parameter in channel["parameters"].values():
            assert set(parameter) <= {"enum", "default", "description", "examples", "location"}
        for message in channel["messages"].values():
            assert message["$ref"].startswith("#/components/messages/")
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
        assert set(operation) <= {"action", "channel", "summary"}
    for message in document["components"]["messages"].values():
        assert set(message) <= {"summary", "headers", "contentType", "payload"}
        assert message.get("headers", {"type": "object"})["type"] == "object"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [part["$ref"] for part in parts(document) if isinstance(part, dict) and "$ref" in part]
    assert len(references) > 20
    for reference in references:
        assert isinstance(resolve(document, reference), dict)


def payload_schema(document: dict[str, Any], message: str) -> jsonschema.Draft202012Validator:
    """The schema of a message's payload, with everything that it refers to."""
    payload = document["components"]["messages"][message]["payload"]
    return jsonschema.Draft202012Validator({**payload, "components": document["components"]})


def test_the_messages_are_those_of_the_service(document: dict[str, Any]) -> None:
    alert = _load("make_pictures").first_alert()
    payload_schema(document, "alert").validate(msgspec.json.decode(encode(alert)))
    with pytest.raises(jsonschema.ValidationError):
        payload_schema(document, "alert").validate({"schema": "thenwire.alert/1"})
    event = {"kind": "net.flow", "device": "d", "time": 1, "bytes_out": 5}
    payload_schema(document, "event").validate(event)
    payload_schema(document, "events").validate([event])
    with pytest.raises(jsonschema.ValidationError):
        payload_schema(document, "event").validate({"kind": "net.flow"})
    named = set(document["components"]["schemas"]["Event"]["properties"])
    assert named == {"kind", "raw_ref", *Event.__struct_fields__}


def test_the_headers_are_those_of_the_service(document: dict[str, Any]) -> None:
    where = {"stream": "S", "sequence": 1, "subject": "s", "index": 0}
    cut = dead_letter(reason="r", detail="d", payload=b"x" * 100_000, **where)  # type: ignore[arg-type]  # mixed
    whole = dead_letter(reason="r", detail="d", payload=b"x", **where)  # type: ignore[arg-type]  # mixed
    late = late_event(kind="k", payload=b"x", **where)  # type: ignore[arg-type]  # mixed
    messages = document["components"]["messages"]
    assert set(messages["deadLetter"]["headers"]["properties"]) == {"Nats-Msg-Id", *cut.headers}
    assert set(messages["deadLetter"]["headers"]["required"]) == {"Nats-Msg-Id", *whole.headers}
    assert set(messages["lateEvent"]["headers"]["properties"]) == {"Nats-Msg-Id", *late.headers}


def test_the_addresses_are_those_of_the_service(document: dict[str, Any]) -> None:
    channels = document["channels"]

    def fits(channel: str, subject: str) -> bool:
        pattern = re.sub(r"\\\{\w+\\\}", r"[^.]+", re.escape(channels[channel]["address"]))
        return re.fullmatch(pattern, subject) is not None

    alert = alert_subject("high", "a rule", "10.0.0.7")
    assert fits("alerts", alert)
    assert fits("ocsf", finding_subject(alert))
    assert fits("deadLetters", dead_letter_subject("a.b"))
    assert fits("late", late_event(kind="a.b", payload=b"", stream="S", sequence=1, subject="s").subject)
