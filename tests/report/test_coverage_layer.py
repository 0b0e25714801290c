"""The ATT&CK Navigator layer: its format, its colours, and that it claims no more than it may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.report.attack_layer import encode_layer, layer_of
from engine.report.coverage import BLIND, DEGRADED, EVALUABLE
from engine.report.coverage.model import SCHEMA, Coverage, Devices, RowCoverage

FORMAT = json.loads(Path(__file__).with_name("attack_layer_4_5.schema.json").read_text("utf-8"))


def row(
    verdict: str,
    rule: str = "an1756_ios",
    group: str = "all",
    devices: tuple[int, int, int] | None = None,
    techniques: dict[str, str] | None = None,
    platform: str = "ios",
) -> RowCoverage:
    counted = None
    if devices is not None:
        counted = Devices(sum(devices), sum(devices), sum(devices), *devices, listed=False)
    return RowCoverage(
        rule=rule,
        title="",
        platform=platform,
        group=group,
        verdict=verdict,
        reasons=("why",) if verdict != EVALUABLE else (),
        devices=counted,
        looks=(),
        baselines=(),
        longest_ms=0,
        retention_ms=None,
        alerts=0,
        last_alert=None,
        attack=("AN1756",),
        strategy="DET0663",
        techniques={"T1428": "DET0663"} if techniques is None else techniques,
        not_observable=(),
        not_seen=(),
    )


def layer(*rows: RowCoverage) -> dict[str, Any]:
    report = Coverage(SCHEMA, "recording", 9, 9, 0, None, "2026-03-02T09:00:00.000Z", rows)
    found: dict[str, Any] = json.loads(encode_layer(layer_of(report)))
    jsonschema.validate(found, FORMAT)
    return found


def test_a_layer_says_its_versions_and_mitres_notice() -> None:
    found = layer(row(EVALUABLE))
    assert found["versions"] == {"attack": "19", "navigator": "5.3.2", "layer": "4.5"}
    assert found["domain"] == "mobile-attack"
    assert "reproduced and distributed with the permission of The MITRE Corporation" in found["description"]
    assert found["filters"] == {"platforms": ["iOS"]}


@pytest.mark.parametrize(("verdict", "score"), [(EVALUABLE, 100), (DEGRADED, 50), (BLIND, 0)])
def test_a_verdict_is_a_score(verdict: str, score: int) -> None:
    (technique,) = layer(row(verdict))["techniques"]
    assert (technique["techniqueID"], technique["score"]) == ("T1428", score)
    assert technique["comment"] == f"AN1756 {verdict} (rule an1756 ios), via DET0663"


def test_devices_weigh_the_score() -> None:
    (technique,) = layer(
        row(EVALUABLE, group="a", devices=(62, 0, 0)), row(BLIND, group="b", devices=(0, 8, 30))
    )["techniques"]
    assert technique["score"] == 66
    assert technique["comment"].startswith("AN1756 EVALUABLE for 62 % of 100 iOS devices, DEGRADED for 8 %")
    assert technique["metadata"] == [
        {"name": "an1756 ios, a", "value": "EVALUABLE"},
        {"name": "an1756 ios, b", "value": "BLIND: why"},
    ]


def test_all_and_none_are_said_only_where_they_are() -> None:
    (most,) = layer(row(EVALUABLE, devices=(999, 0, 1)))["techniques"]
    assert "for 99 % of 1,000" in most["comment"]
    (one,) = layer(row(EVALUABLE, devices=(1, 0, 999)))["techniques"]
    assert "for 1 % of 1,000" in one["comment"]


def test_the_best_rule_of_a_technique_counts_and_all_are_named() -> None:
    (technique,) = layer(row(BLIND), row(DEGRADED, "other", techniques={"T1428": "META"}))["techniques"]
    assert technique["score"] == 50
    assert technique["comment"].splitlines() == [
        "AN1756 BLIND (rule an1756 ios), via DET0663",
        "AN1756 DEGRADED (rule other), named in META",
    ]


def test_a_rule_without_analytic_and_technique_is_not_in_it() -> None:
    found = layer(row(EVALUABLE), row(EVALUABLE, "quick", techniques={}, platform="any"))
    assert [one["techniqueID"] for one in found["techniques"]] == ["T1428"]
    assert found["filters"] == {"platforms": ["iOS"]}
    assert layer(row(EVALUABLE, techniques={}))["techniques"] == []


def test_the_schema_refuses_what_the_format_does_not_know() -> None:
    found = layer(row(EVALUABLE))
    for name, value in (("versions", {"navigator": "5.3.2", "layer": "4.4"}), ("domain", "mobile"), ("x", 1)):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found | {name: value}, FORMAT)
