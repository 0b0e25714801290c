"""Trace context from an event to its alert; nothing else gets through."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.service.operations.tracing import trace_context, with_trace
from engine.service.processor import Outgoing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_valid_context_goes_through() -> None:
    assert trace_context({"Traceparent": PARENT, "TraceState": "a=1,b@c=x y"}) == {
        "traceparent": PARENT,
        "tracestate": "a=1,b@c=x y",
    }


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT.replace("00-", "ff-", 1),
        PARENT + "-more",
        PARENT + "\r\nNats-Msg-Id: x",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "01" + PARENT[2:] + "-" + "x" * 300,
    ],
)
def test_other_forms_are_dropped(parent: str) -> None:
    assert trace_context({"traceparent": parent, "tracestate": "a=1"}) == {}


def test_a_later_version_may_have_more() -> None:
    later = "01" + PARENT[2:] + "-what.comes"
    assert trace_context({"traceparent": later}) == {"traceparent": later}


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a",
        "a=",
        "=b",
        "A=1",
        "a=1,a=2",
        "a=\x07",
        "a=b=c",
        ",".join(f"k{n}=1" for n in range(33)),
        "a=" + "x" * 600,
        ",".join(f"k{n}={'x' * 100}" for n in range(6)),
    ],
)
def test_a_bad_state_is_dropped_alone(state: str) -> None:
    assert trace_context({"traceparent": PARENT, "tracestate": state}) == {"traceparent": PARENT}


def test_only_these_two_headers_are_handed_on() -> None:
    made = Outgoing("alerts.x", b"{}", "id", {"Own": "1"})
    headers = {"traceparent": PARENT, "Nats-Msg-Id": "evil", "Nats-TTL": "1s"}
    assert with_trace([made], headers)[0].headers == {"Own": "1", "traceparent": PARENT}
    assert with_trace([made], {"Nats-Msg-Id": "evil"}) == [made]


@given(
    st.dictionaries(st.sampled_from(["traceparent", "tracestate", "TRACEPARENT"]), st.text()), st.booleans()
)
def test_nothing_comes_out_that_could_end_a_header(headers: dict[str, str], valid: bool) -> None:
    if valid:
        headers["traceparent"] = PARENT
    for name, value in trace_context(headers).items():
        assert name in ("traceparent", "tracestate")
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= 512


def test_the_alert_and_the_dead_letter_of_a_message_have_its_context(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        times = ({"time": 1_772_438_400_000, "host": "h"}, {"time": 1_772_438_460_000})
        first = {"kind": "flow", "device": "d", "bytes_out": 2000, **times[0]}
        second = {"kind": "crash", "device": "d", **times[1]}
        headers = {"traceparent": PARENT, "tracestate": "v=1", "Nats-Expected-Stream": "EVENTS"}
        async with tools.client(server) as client, operating.service(tools.settings(server)) as service:
            jetstream = client.jetstream()
            await jetstream.publish("events.x", json.dumps(first).encode())
            payload = json.dumps(second).encode() + b"\n{nonsense"
            await jetstream.publish("events.x", payload, headers=headers)
            await tools.until(lambda: sum(service.operations.status().output.stored.values()) == 2)
            for stream, subject in (("ALERTS", "alerts.>"), ("DLQ", "dlq.>")):
                stored = await jetstream.get_last_msg(stream, subject)
                assert stored.headers["traceparent"] == PARENT
                assert stored.headers["tracestate"] == "v=1"
                assert "Nats-Expected-Stream" not in stored.headers

    tools.with_server(scenario)
