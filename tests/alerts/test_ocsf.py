"""The OCSF form: what becomes what, on the command line and in the service."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from feeding import Feed, at

import dsl
from engine import Alert
from engine.cli import main
from engine.demo import scenario
from engine.matcher import Matcher
from engine.report.ocsf import detection_finding
from engine.service.matching import MatchingProcessor
from engine.service.settings import Settings
from engine.service.streams import plan_streams

RULES = """
EVENT net flow { app: string? ip: ip? host: string? port: int? bytes: int? }
EVENT crash { app: string? }
EVENT update { app: string? }
RULE r {
  META {
    attack: [AN1756] attack_version: "19.1" version: "1.2"
    techniques: ["T1404", "T1437.001", "TA0030", "none"]
  }
  BY device, app
  WHEN net flow AS sent THEN crash WITHIN 10m
  UNLESS update WITHIN 2h BEFORE
  SEVERITY choose(sent.bytes > 50, critical, low)
  RISK sent.bytes / 3
  ALERT { fields: [sent.ip, sent.host, sent.port] }
}
"""
ROOT = Path(__file__).parents[2]


def life() -> list[Alert]:
    """A create, an update and a close."""
    feed = Feed(RULES)
    feed("net.flow", 0, app="a", bytes=9, ip="203.0.113.7", host="files.example", port=443)
    return [
        *feed("crash", 5, app="a"),
        *feed("net.flow", 3, app="a", bytes=99),
        *feed("update", -60, app="a"),
    ]


def test_create_update_and_close_are_activities_of_one_finding(ocsf: jsonschema.Draft202012Validator) -> None:
    create, update, close = found = [detection_finding(alert) for alert in life()]
    for finding in found:
        ocsf.validate(msgspec.json.decode(msgspec.json.encode(finding)))
    assert [f["activity_id"] for f in found] == [1, 2, 3]
    assert [f["type_uid"] for f in found] == [200401, 200402, 200403]
    assert [f["status_id"] for f in found] == [1, 1, 4]
    assert [f["is_alert"] for f in found] == [True, True, False]
    assert [f["severity_id"] for f in found] == [2, 5, 5]
    assert len({f["finding_info"]["uid"] for f in found}) == 1
    assert [f["metadata"]["uid"].partition(".")[2] for f in found] == ["1", "2", "3"]
    assert create["risk_score"] == 3
    assert (create["time"], create["start_time"], create["end_time"]) == (at(5), at(0), at(5))
    assert update["unmapped"]["changes"][0] == {"what": "severity", "before": "low", "after": "critical"}
    assert close["unmapped"]["cause"]["guard"] == "no update"
    assert "no update" in close["finding_info"]["desc"]


def test_evidence_and_attack_are_where_ocsf_has_them() -> None:
    finding = detection_finding(life()[0])
    sent, crash = finding["evidences"]
    assert sent["dst_endpoint"] == {"ip": "203.0.113.7", "hostname": "files.example", "port": 443}
    assert sent["data"]["summary"].startswith("net flow [app a")
    assert "dst_endpoint" not in crash
    assert finding["device"] == {"uid": "d1", "type_id": 0, "type": "Unknown"}
    assert finding["finding_info"]["attacks"] == [
        {"technique": {"uid": "T1404"}, "version": "19.1"},
        {"technique": {"uid": "T1437"}, "sub_technique": {"uid": "T1437.001"}, "version": "19.1"},
        {"tactic": {"uid": "TA0030"}, "version": "19.1"},
    ]
    assert finding["finding_info"]["related_analytics"][0]["uid"] == "AN1756"
    assert finding["finding_info"]["analytic"]["version"] == "1.2"
    assert finding["unmapped"]["attack"]["techniques"][-1] == "none"


def test_nothing_of_an_alert_is_lost() -> None:
    """Every field has a place of its own or stands in ``unmapped``."""
    placed = {"id", "activity", "status", "time", "rule", "title", "reason", "severity", "risk", "confidence"}
    placed |= {"device", "steps", "deviation", "attack"}
    for alert in life():
        unmapped = detection_finding(alert)["unmapped"]
        wire = {k: v for k, v in msgspec.to_builtins(alert).items() if v not in ({}, [])}
        assert set(wire) - placed <= set(unmapped)
        assert all(unmapped[name] == wire[name] for name in set(wire) - placed)


def test_a_deviation_is_an_anomaly(ocsf: jsonschema.Draft202012Validator) -> None:
    matcher = Matcher(dsl.load([ROOT / "rules" / "mobile"]))
    alerts = [a for event in scenario.events() for a in matcher.feed_json(msgspec.json.encode(event))]
    assert alerts
    for alert in alerts:
        finding = detection_finding(alert)
        ocsf.validate(msgspec.json.decode(msgspec.json.encode(finding)))
        (analysis,) = finding["anomaly_analyses"]
        assert analysis["anomalies"][0]["observation_parameter"] == "app egress"
        assert analysis["baselines"][0]["observations"][0]["count"] == alert.deviation[0].samples


def test_the_definition_is_ocsf_s_own_and_refuses(ocsf: jsonschema.Draft202012Validator) -> None:
    finding = detection_finding(life()[0])
    wrong: list[dict[str, Any]] = [
        {**finding, "activity_id": 7},
        {**finding, "surprise": 1},
        {key: value for key, value in finding.items() if key != "finding_info"},
        {**finding, "evidences": [{"uid": "an evidence that is none"}]},
        {**finding, "time": "2026-03-02T08:00:00Z"},
    ]
    for one in wrong:
        with pytest.raises(jsonschema.ValidationError):
            ocsf.validate(one)


# --- the command


@pytest.fixture
def recording(tmp_path: Path) -> list[str]:
    events = [
        {"kind": "net.flow", "device": "d1", "time": at(0), "app": "a", "bytes": 9},
        {"kind": "crash", "device": "d1", "time": at(5), "app": "a"},
    ]
    (tmp_path / "r.rule").write_text(RULES, "utf-8")
    (tmp_path / "e.ndjson").write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    return [str(tmp_path / "e.ndjson"), "--rules", str(tmp_path / "r.rule")]


def replay(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, bytes]:
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding="utf-8", write_through=True))
    code = main(["replay", *arguments])
    return code, data.getvalue()


def test_replay_prints_one_finding_a_line(
    recording: list[str], monkeypatch: pytest.MonkeyPatch, ocsf: jsonschema.Draft202012Validator
) -> None:
    code, printed = replay([*recording, "--format", "ocsf"], monkeypatch)
    assert code == 0
    (line,) = printed.splitlines()
    ocsf.validate(msgspec.json.decode(line))


def test_format_json_is_the_same_as_json(recording: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert replay([*recording, "--format", "json"], monkeypatch) == replay(
        [*recording, "--json"], monkeypatch
    )


def test_two_formats_at_once_are_refused(
    recording: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = replay([*recording, "--format", "ocsf", "--json"], monkeypatch)
    assert (code, printed) == (2, b"")


# --- the service


def outgoing(ocsf: bool) -> list[tuple[str, str, dict[str, Any]]]:
    processor = MatchingProcessor(dsl.load_text(RULES), ocsf=ocsf)
    events = [
        {"kind": "net.flow", "device": "d.1", "time": at(0), "app": "a", "bytes": 9},
        {"kind": "crash", "device": "d.1", "time": at(5), "app": "a"},
    ]
    found = processor.process(msgspec.json.encode(events), None, 7, "EVENTS", "events.x", at(6))
    return [(one.subject, one.message_id, msgspec.json.decode(one.payload)) for one in found]


def test_the_service_publishes_findings_beside_alerts_when_told_to() -> None:
    (only,) = outgoing(ocsf=False)
    alert, finding = outgoing(ocsf=True)
    assert only == alert
    assert (alert[0], finding[0]) == ("alerts.low.r.d=2E1", "ocsf.low.r.d=2E1")
    assert finding[1] == f"ocsf:{alert[1]}"
    assert finding[2]["finding_info"]["uid"] == alert[2]["id"]


def test_findings_have_a_stream_of_their_own_only_when_they_are_published() -> None:
    assert [plan.name for plan in plan_streams(Settings())] == ["EVENTS", "ALERTS", "DLQ"]
    plans = {plan.name: plan for plan in plan_streams(Settings(ocsf=True))}
    assert plans["OCSF"].subjects == ("ocsf.>",)
    assert plans["OCSF"].duplicate_window == plans["ALERTS"].duplicate_window
