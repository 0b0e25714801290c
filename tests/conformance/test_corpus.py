"""Each case of the corpus against the engine, and against the oracle of tests/semantics."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import engine
from engine.events import POSITION_SHIFT

sys.path.insert(0, str(Path(__file__).parent))

import corpus

PATHS = sorted(corpus.CASES.rglob("*.case"))
SEMANTICS = Path(__file__).resolve().parents[1] / "semantics"


def name_of(path: Path) -> str:
    return str(path.relative_to(corpus.CASES).with_suffix(""))


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    sys.path.insert(0, str(SEMANTICS))
    return import_module("oracle")


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_engine_says_what_the_case_expects(path: Path, pytestconfig: pytest.Config) -> None:
    case = corpus.read(path.read_text("utf-8"))
    said = corpus.run(case)
    if pytestconfig.getoption("--update"):
        path.write_text(corpus.write(case, said), "utf-8")
    else:
        assert said == list(case.expected)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_oracle_finds_what_stands_in_the_end(path: Path, oracle: ModuleType) -> None:
    case = corpus.read(path.read_text("utf-8"))
    ruleset = corpus.load(case)
    if why := corpus.only_in_order_of_arrival(case, ruleset):
        pytest.skip(why)
    (rule,) = ruleset.rules.values()
    try:
        found = oracle.matches(ruleset, rule, case.events)
    except oracle.NotCovered as construct:
        pytest.skip(f"the oracle does not cover {construct}")
    assert sorted((x.moment[0], x.key, x.evidence) for x in found) == corpus.standing(case.expected)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_same_stands_in_the_end_when_all_arrives_backwards(path: Path) -> None:
    case = corpus.read(path.read_text("utf-8"))
    ruleset = corpus.load(case)
    if why := corpus.only_in_order_of_arrival(case, ruleset):
        pytest.skip(why)
    matcher = engine.Matcher(ruleset)
    alerts: dict[str, engine.Alert] = {}
    for wire, position in sorted(case.events, key=lambda x: (x[0]["time"], x[1]), reverse=True):
        event = matcher.decoder.convert(wire)
        for alert in [] if event is None else matcher.feed(event, position << POSITION_SHIFT):
            alerts[alert.id] = alert
    alerts.update((alert.id, alert) for alert in matcher.close())
    stands = sorted(
        (
            engine.events.epoch_ms(alert.time),
            tuple(str(value) for value in alert.key.values()),
            tuple(step.event_id for step in alert.steps),
        )
        for alert in alerts.values()
        if alert.status == "open"
    )
    assert stands == corpus.standing(case.expected)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_case_says_what_decides_it(path: Path) -> None:
    """A reason names an item or section of the language page and quotes it."""
    reason = corpus.read(path.read_text("utf-8")).reason
    assert re.search(r"LANGUAGE\.md (item \d+|section \d)", reason)
    assert reason.count('"') >= 2


@pytest.mark.parametrize(
    ("trace", "word"),
    [("5s a", "no line"), ("5x a d1", "5x"), ("5s a d1\n5s a d1 x=1", "another event"), ("CLOCK x", "x")],
)
def test_a_line_that_is_none_is_refused(trace: str, word: str) -> None:
    with pytest.raises(corpus.Bad, match=word):
        corpus.read(f"EVENT a {{}}{corpus.TRACE}{trace}\n{corpus.EXPECTED}")


def test_a_file_without_its_parts_is_refused() -> None:
    with pytest.raises(corpus.Bad, match="three parts"):
        corpus.read("EVENT a {}\nTRACE\n")


def test_the_text_of_a_case_survives_an_update() -> None:
    for path in PATHS:
        text = path.read_text("utf-8")
        case = corpus.read(text)
        assert corpus.write(case, case.expected) == text
