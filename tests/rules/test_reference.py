"""The reference page says what the rule files say."""

import re
from pathlib import Path

import pytest

import dsl
from dsl.units import duration_ms, size_bytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "rules-mobile.md").read_text("utf-8")
PACK = dsl.load([ROOT / "rules"])


JUSTIFIED = {
    (
        "TW505",
        "covert_microphone.rule",
    ): "an end of the use that comes late closes the alert: a test shows it",
    ("TW505", "parser_crash_loop.rule"): "a crash report that comes late closes the alert: a test shows it",
}
"""Warnings that stay, and why. The META of both rules says that their alerts may close late."""


def test_the_pack_loads_without_a_word_but_for_silences_that_late_reports_break() -> None:
    said = {(found.code, Path(found.file).name) for found in PACK.diagnostics}
    assert said == set(JUSTIFIED)
    for rule in ("covert_microphone", "parser_crash_silence"):
        assert any("closes" in text for text in PACK.rules[rule].meta["false_positives"])


def test_every_param_is_on_the_page_with_its_value() -> None:
    table = PAGE.split("## PARAMs")[1].split("## Baselines")[0]
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (\S+) \| ", table, re.M))
    read = {"duration": duration_ms, "size": size_bytes}
    for name, param in PACK.params.items():
        kind = "size" if param.type.unit == "bytes" else param.type.name
        assert read.get(kind, float)(rows.pop(name)) == param.value
        assert param.text, f"{name} has no reason"
    assert (rows.pop("quick.publishes") == "TRUE") is PACK.rules["quick"].params["publishes"]
    assert rows == {}


@pytest.mark.parametrize("kind", sorted(PACK.events))
def test_every_kind_is_on_the_page_with_its_grace_and_lateness(kind: str) -> None:
    table = PAGE.split("## Events")[1]
    ((grace, late),) = re.findall(rf"^\| [^|]*`{re.escape(kind)}`[^|]* \| (\S+) \| (\S+) \|", table, re.M)
    event = PACK.events[kind]
    assert (duration_ms(grace), duration_ms(late)) == (event.grace_ms, event.late_ms)
    assert event.text
    assert all(field.text for field in event.fields.values())


def test_the_pack_has_the_fifteen_kinds() -> None:
    assert set(PACK.events) == {
        "net.flow", "net.dns", "net.tls", "net.anomaly", "app.exit", "app.lifecycle", "app.access",
        "permission.change", "device.posture", "device.config", "device.state", "mtd.threat",
        "forensic.trace", "ident.lease", "sensor.health",
    }  # fmt: skip


def test_classes_of_exits_are_those_of_the_sources() -> None:
    from engine.sources.exit_class import CLASSES

    assert set(PACK.events["app.exit"].fields["class"].type.choices) == CLASSES
    assert set(PACK.lists["exploit_classes"].items) < CLASSES
    assert set(PACK.lists["parser_classes"].items) < CLASSES


def test_every_rule_and_file_of_the_pack_is_on_the_page() -> None:
    for rule in PACK.rules.values():
        assert f"`{rule.name.replace('_', ' ')}`" in PAGE
    for file in (ROOT / "rules" / "mobile").glob("*.rule"):
        assert f"`{file.name}`" in PAGE or f"`{file.name.replace('_tests', '')}`" in PAGE
    for path in (ROOT / "rules" / "mobile" / "lists").iterdir():
        assert f"`{path.name}`" in PAGE
        assert any(
            known.path is not None and Path(known.path).name == path.name for known in PACK.lists.values()
        )


@pytest.mark.parametrize("name", sorted(PACK.rules))
def test_every_rule_has_an_attack_page_with_its_params(name: str) -> None:
    rule = PACK.rules[name]
    if name == "quick":
        return
    playbook = rule.meta.get("playbook", "docs/reference/rules/an1756.md")
    text = (ROOT / playbook).read_text("utf-8")
    assert f"`{name.replace('_', ' ')}`" in text
    for part in ("What it sees", "What it cannot see", "How an attacker would get round it"):
        assert f"## {part}" in text
    for param in rule.params.keys() - PACK.params.keys():
        ((written, reason),) = re.findall(rf"^\| `{param}` \| (\S+) \| (.+) \|$", text, re.M)
        assert f"PARAM {param} = {written}" in Path(rule.file).read_text("utf-8")
        assert reason


@pytest.mark.parametrize("name", sorted(PACK.rules))
def test_every_rule_says_who_wrote_it_and_what_to_do(name: str) -> None:
    meta = PACK.rules[name].meta
    if name == "quick":
        return
    assert meta["author"] == "thenwire"
    assert meta["version"]
    assert meta["false_positives"]
    assert meta["not_seen"]
    assert set(meta["response"]) == {"preserve", "isolate", "isolate_when", "access_review", "do_not"}
    assert "techniques" not in meta


def test_attack_ids_are_those_of_the_analytics_that_the_scenarios_come_from() -> None:
    found = {(name, *rule.meta["attack"]) for name, rule in PACK.rules.items() if "attack" in rule.meta}
    assert found == {
        ("an1756_ios", "AN1756"),
        ("an1756_internal", "AN1756"),
        ("lateral_movement", "AN1756"),
        ("web_exploit_kit", "AN1670"),
        ("covert_microphone", "AN1773"),
        ("post_update_drift", "AN1824"),
    }


def test_the_rule_names_its_analytic_and_no_technique() -> None:
    meta = PACK.rules["an1756_ios"].meta
    assert (meta["attack"], meta["strategy"], meta["attack_version"]) == (["AN1756"], "DET0663", "19.1")
    assert "techniques" not in meta
    assert set(meta["response"]) == {"preserve", "isolate", "isolate_when", "access_review", "do_not"}


@pytest.mark.parametrize("rule", sorted(set(PACK.rules) - {"silent_sensor"}))
def test_every_rule_has_a_test_that_fires_and_one_that_does_not(rule: str) -> None:
    """`silent sensor` publishes nothing: the tests of `telemetry silence` run it."""
    wanted = {expected.what for test in PACK.tests if test.rule == rule for expected in test.expectations}
    assert {"alert", "none"} <= wanted
