"""What /metrics exports: names by the conventions, values of the status, nothing that a sender can grow."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.service.operations import status as s
from engine.service.operations.metrics import METRICS, render


def full_status() -> s.Status:
    """A status in which every metric has a value."""
    return s.Status(
        version="1",
        time_ms=1,
        uptime=2.0,
        ready=True,
        reason="",
        input=s.InputStatus(
            stream="EVENTS",
            consumer="thenwire",
            connected=True,
            messages=3,
            position=4,
            acknowledged=5,
            skipped=6,
            reopened=7,
            lost=8,
            failed=9,
            reconnects=10,
            lag_messages=11,
            lag_seconds=12.5,
        ),
        events=13,
        unread=14,
        unknown=15,
        late=16,
        alerts=17,
        dead_letters={"malformed_json": 18},
        kinds=[s.KindStatus(kind='net."flow\n', seen=19, late=20, sampled=21, cost=1e-6)],
        rules=[
            s.RuleStatus(
                name="r",
                status="live",
                fits=22,
                starts=23,
                matches=24,
                suppressed=25,
                unkeyed=26,
                duplicates=27,
                dropped=28,
                reruns=29,
                devices=30,
                sampled=31,
                cost=2e-6,
            )
        ],
        baselines=[s.BaselineStatus(name="b", keys=32, evicted=33, dropped_values=34)],
        output=s.OutputStatus(stored={"alerts": 35}, duplicates=36, resent=37, refused=38, unsettled=39),
        checkpoint=s.CheckpointStatus(
            committed=40, age=41.0, bytes=42, seconds=0.43, failures=44, hold=0.005, problem=None
        ),
        lists=[s.ListStatus(name="l", entries=45, age=46.0)],
        loop_delay=0.047,
        behind=True,
        fill=s.FillStatus(read=48, of=49),
    )


def scraped(status: s.Status, accept: str = "") -> dict[str, dict[tuple[str, ...], float]]:
    text, _ = render(status, accept)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_every_metric_is_exported_with_its_value() -> None:
    found = scraped(full_status())
    assert {metric.name for metric in METRICS} <= set(found)
    assert found["thenwire_lag_messages"] == {(): 11.0}
    assert found["thenwire_lag_seconds"] == {(): 12.5}
    assert found["thenwire_rule_suppressed_total"] == {("r",): 25.0}
    assert found["thenwire_rule_cost_seconds"] == {("r",): 2e-6}
    assert found["thenwire_events_total"] == {('net."flow\n',): 19.0}, "a label cannot break the format"
    assert found["thenwire_dead_letters_total"] == {("malformed_json",): 18.0}
    assert found["thenwire_checkpoint_age_seconds"] == {(): 41.0}
    assert found["thenwire_list_age_seconds"] == {("l",): 46.0}


def test_each_value_is_its_own() -> None:
    """The numbers of `full_status` differ, so one that is read twice is a mistake."""
    values = [value for metric in METRICS[3:] for _, value in metric.values(full_status()) if value > 2]
    assert len(values) == len(set(values))


def test_what_is_not_known_is_left_out() -> None:
    import msgspec

    status = full_status()
    status = msgspec.structs.replace(
        status,
        checkpoint=None,
        fill=None,
        input=msgspec.structs.replace(status.input, lag_messages=None, lag_seconds=None),
        rules=[msgspec.structs.replace(status.rules[0], cost=None)],
    )
    found = scraped(status)
    for name in (
        "thenwire_lag_messages",
        "thenwire_checkpoint_age_seconds",
        "thenwire_rule_cost_seconds",
        "thenwire_fill_messages_read",
    ):
        assert name not in found
    assert found["thenwire_rule_fits_total"] == {("r",): 22.0}


def test_names_follow_the_conventions() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"thenwire_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|millis|minutes|kb)\b", metric.name)
        assert metric.help[0].isupper() or metric.help[0].isdigit()
        assert not metric.help.endswith(".")
        # Names of rules, baselines, lists and kinds are from rule files; the others are ours.
        assert set(metric.labels) <= {"version", "python", "kind", "rule", "baseline", "list", "reason", "to"}


def test_openmetrics_for_who_asks() -> None:
    text, content_type = render(full_status(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_the_process_is_measured_too() -> None:
    import platform

    if platform.system() != "Linux":
        pytest.skip("prometheus-client reads /proc")
    assert "process_resident_memory_bytes" in scraped(full_status())


def test_unknown_kinds_make_no_series(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, http_address="127.0.0.1:0")
        async with tools.client(server) as client, operating.service(settings) as service:
            for number in range(20):
                payload = f'{{"kind":"made.up{number}","device":"d{number}","time":1772438400000}}'
                await client.jetstream().publish("events.x", payload.encode())
            await tools.until(lambda: service.operations.status().unknown == 20)
            _, text = await service.get("/metrics")
        assert "made.up" not in text
        assert "thenwire_events_unknown_total 20.0" in text

    tools.with_server(scenario)
