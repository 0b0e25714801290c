"""Every alert of the conformance corpus has the form of docs/reference/alert.schema.json."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import msgspec
import pytest

import engine
from engine.alerts import Alert
from engine.report.ocsf import encode_finding

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "reference" / "alert.schema.json"
CORPUS = ROOT / "tests" / "conformance"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"alerts_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def alerts() -> list[Alert]:
    """All that the engine says to the corpus."""
    corpus = load(CORPUS / "corpus.py")
    found: list[Alert] = []
    for path in sorted((CORPUS / "cases").rglob("*.case")):
        case = corpus.read(path.read_text("utf-8"))
        matcher = engine.Matcher(corpus.load(case))
        for line in case.lines:
            found += [alert for alert, _ in corpus.feed(matcher, line)]
    return found


def strict(part: Any) -> Any:
    """The schema with no room for keys that it does not name."""
    if isinstance(part, dict):
        made = {key: strict(value) for key, value in part.items()}
        return {**made, "additionalProperties": False} if "properties" in part else made
    return [strict(item) for item in part] if isinstance(part, list) else part


def test_every_alert_of_the_corpus_fits_the_schema(alerts: list[Alert]) -> None:
    validator = jsonschema.Draft202012Validator(strict(msgspec.json.decode(SCHEMA.read_bytes())))
    assert len(alerts) > 200
    assert {alert.activity for alert in alerts} == {"create", "update", "close"}
    for alert in alerts:
        validator.validate(msgspec.json.decode(engine.encode(alert)))


def test_the_schema_refuses_what_is_no_alert(alerts: list[Alert]) -> None:
    validator = jsonschema.Draft202012Validator(strict(msgspec.json.decode(SCHEMA.read_bytes())))
    wire = msgspec.json.decode(engine.encode(alerts[0]))
    for wrong in (
        {**wire, "severity": "terrible"},
        {**wire, "surprise": 1},
        {key: value for key, value in wire.items() if key != "gaps"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


def test_an_alert_of_the_corpus_is_read_back_as_it_was(alerts: list[Alert]) -> None:
    for alert in alerts:
        assert msgspec.json.decode(engine.encode(alert), type=Alert) == alert


def test_every_alert_of_the_corpus_is_a_finding_of_ocsf(
    alerts: list[Alert], ocsf: jsonschema.Draft202012Validator
) -> None:
    for alert in alerts:
        ocsf.validate(msgspec.json.decode(encode_finding(alert)))
