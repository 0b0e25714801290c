"""The grammar: no conflict, and every construct of LANGUAGE.md parses and binds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from lark import Lark

import dsl
from dsl.bind import bind
from dsl.model import RuleSet
from dsl.parse import parse
from dsl.ruleset import rebind

PREAMBLE = (Path(__file__).parent / "cases" / "preamble.rule").read_text("utf-8")

DECLARATIONS = [
    'EVENT a thing "what it is" GRACE 5m LATE 7d {}',
    'EVENT a { x: string? FROM "X" "text"  y: int UNIT seconds  z: float  t: timestamp?  d: duration? }',
    'EVENT a { s: string ONE OF ["p", "q",]  l: LIST OF string? }',
    'LIST hosts = ["a", "*.example.com", "10.0.0.0/8"]',
    "LIST hosts = []",
    'PARAM p = 4.0 "why"',
    "PARAM p = -3",
    "PARAM p = 1h30m",
    "PARAM p = 1.5MB",
    'PARAM p = "text"',
    "PARAM p = TRUE",
    "DEFINE big(x) = x > 20KB",
    "DEFINE both(x, y) = x EXISTS AND NOT y EXISTS",
    "BASELINE b = bytes_out OF net flow BY device, app EVERY 5m USING robust WARMUP 30 PEER app",
    "BASELINE b = ip, port OF net flow [internal] BY device OVER 14d USING novelty",
    "BASELINE b = app OF net flow USING prevalence",
    'SIGNAL s = net flow [internal] OR app exit "text"',
    "SIGNAL s = anomaly OR traffic deviation",
]

PATTERNS = [
    "net flow",
    "net flow [port == 22]",
    "net flow [port == 22] AS t",
    "net flow THEN app exit WITHIN 10m",
    "net_flow THEN WITHIN 5m app exit",
    "net flow THEN AFTER 1m app exit WITHIN crash_window",
    "net flow THEN BETWEEN 1m AND 5m app exit",
    "(net flow THEN app exit WITHIN 1m) THEN WITHIN 5m check in",
    "net flow THEN app exit WITHOUT check in [battery > 5] AS x WITHIN 10m",
    "net flow THEN app exit AS x WITHOUT check in WITHOUT device posture FOR 1h WITHIN 10m",
    "net flow WITHOUT check in FOR 10m",
    "check in THEN NO check in FOR 4h",
    "check in THEN NO device posture [compromised] FOR 4h THEN WITHIN 1h net flow",
    "NO check in FOR 4h THEN net flow",
    "ALL OF (net flow, app exit, check in,) WITHIN 5m",
    "ANY 2 OF (net flow AS a, app exit AS b, check in) AS xs WITHIN 5m",
    "ANY limit OF (net flow, app exit, check in) WITHIN 5m",
    "ONE OF (net flow [internal] AS a, app exit THEN check in) AS x WITHIN 5m",
    "ONE OF (net flow THEN NO check in FOR 1h, app exit) WITHIN 5h",
    "AT LEAST 3 net flow IN 10m AS xs",
    "AT LEAST limit app exit IN crash_window",
    "AT LEAST 3 DISTINCT ip OF net flow [internal] IN 10m AS xs THEN WITHIN 5m app exit",
    "AT LEAST 50MB SUM bytes_out OF net flow IN 10m",
    "AT LEAST 3 net flow IN 5m AS xs THEN net flow [ip IN xs.ip AND port == xs.last.port] WITHIN 1h",
    'ALERT quick [severity == "high"] AS x THEN ALERT quick WITHIN 1h',
    "traffic deviation THEN anomaly WITHIN 10m",
    "traffic_deviation THEN anomaly WITHIN 10m",
]

EXPRESSIONS = [
    "port == 22",
    "22 != port",
    "port < 3 OR port >= 7 AND NOT internal",
    "NOT (internal OR port == 3)",
    "internal",
    "TRUE",
    "bytes_out + 3 * bytes_out - 1KB > 20KB / 2",
    "-port % 2 == 1",
    'app IN ["a", "b"]',
    'app NOT IN ["a"]',
    "app IN LIST exploit classes",
    "app NOT IN LIST exploit classes",
    'ip IN CIDR("10.0.0.0/8")',
    "app IN tags",
    'app LIKE "*.example.com"',
    'app NOT LIKE "a?"',
    'app MATCHES "^a.c$"',
    'app NOT MATCHES "x"',
    "port EXISTS",
    "EXISTS port AND MISSING ip",
    "ip MISSING",
    'lower(app) == upper("a") AND len(app) > 3 AND len(tags) == 2',
    "abs(port - 3) == min(port, 4) AND max(1, 2, port) > round(port / 3, 1)",
    'domain(app) == "example.com"',
    "choose(internal, port, 3) > 2",
    "agrees(port, 3) AND NOT agrees(ip, ip)",
    "deviation(app egress) > 4 AND drift(app egress) < 3 AND ready(app egress)",
    "expected(app egress) > 3",
    'time - start > 10m AND quality == "interval" AND device == "d1" AND source EXISTS',
    "port > limit AND time - start < crash_window",
]

CLAUSES = [
    'META { attack: [AN1756] version: "1.0.0" nested: { a: 1, b: [TRUE, -2, 3s] } "quoted key": word }',
    "BY device, app",
    "UNLESS check in",
    "UNLESS check in [battery == t.port] WITHIN 48h BEFORE  UNLESS anomaly WITHIN crash_window BEFORE",
    "SEVERITY none",
    "SEVERITY choose(t.port == 22, critical, choose(deviation(app egress) > 4, low, info))",
    "SUPPRESS 1h",
    "SUPPRESS 1h PER device, t.app",
    "RISK 40 + 5 * deviation(t, app egress)",
    'ALERT { title: "{{x}} {t.app} {device} {elapsed} {deviation(app egress)}" fields: [t.ip] note: "n" }',
    "ALERT { fields: [] }",
    "SELECT LATEST",
    "SELECT FIRST",
    "SELECT EACH",
    'PARAM local = 5m "why"',
]

STATEMENTS = [
    'GIVEN app egress FOR ("d1", "a") = { center: 6.2 spread: 0.4 n: 300 }',
    'GIVEN app egress FOR "a" = { center: 6.2 spread: 0.4 n: 300 }',
    'GIVEN LIST exploit classes = ["x"]',
    "GIVEN PARAM crash_window = 20m",
    'AT 3m ARRIVES 6h net flow { app: "a", bytes_out: 9_000_000 ip: "203.0.113.7" device: "d2" id: "e1" }',
    "CLOCK 4h",
    'EXPECT ALERT @3m { severity: "high" xs.count: 3 }',
    "EXPECT ALERT",
    "EXPECT CLOSED @3m",
    "EXPECT CLOSED",
    "EXPECT NONE",
]


def load(program: str) -> RuleSet:
    rules = bind([parse(PREAMBLE, "preamble.rule"), parse(program, "example.rule")])
    assert [dsl.render(d, rules.texts[d.file]) for d in rules.errors] == []
    return rules


def test_the_grammar_has_no_conflict() -> None:
    pytest.importorskip("interegular", reason="strict=True compares the terminals with it")
    grammar = files("dsl").joinpath("grammar.lark").read_text("utf-8")
    Lark(grammar, parser="lalr", lexer="basic", start=["start", "expression"], strict=True)


def test_strict_would_see_a_conflict() -> None:
    pytest.importorskip("interegular", reason="strict=True compares the terminals with it")
    with pytest.raises(Exception, match="collision"):
        Lark("start: a | b\na: X\nb: X\nX: /x/", parser="lalr", strict=True)


@pytest.mark.parametrize("text", DECLARATIONS)
def test_declaration(text: str) -> None:
    assert load(text).rules == {}


def test_list_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("# two hosts\nalpha\n\nbeta # the other\nalpha\n")
    (tmp_path / "a.rule").write_text('LIST hosts FROM "hosts.txt" REFRESH 5m\n')
    rules = dsl.load([tmp_path])
    assert rules.errors == ()
    assert (rules.lists["hosts"].items, rules.lists["hosts"].refresh_ms) == (("alpha", "beta"), 300_000)


@pytest.mark.parametrize("text", PATTERNS)
def test_pattern(text: str) -> None:
    quick = "RULE quick { WHEN traffic deviation THEN anomaly WITHIN 10m }\n"
    assert set(load(quick + f"RULE r {{ WHEN {text} }}").rules) == {"quick", "r"}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text: str) -> None:
    assert set(load(f"RULE r {{ WHEN net flow [{text}] }}").rules) == {"r"}


@pytest.mark.parametrize("text", CLAUSES)
def test_clause_before_and_after_when(text: str) -> None:
    when = "WHEN net flow [port > 3] AS t"
    assert set(load(f"RULE r {{ {when} {text} }}\nRULE s {{ {text} {when} }}").rules) == {"r", "s"}


@pytest.mark.parametrize("text", STATEMENTS)
def test_test_statement(text: str) -> None:
    rules = load(f'RULE r {{ WHEN net flow [port > 3] }}\nTEST "t" FOR r {{ {text} EXPECT NONE }}')
    assert [t.title for t in rules.tests] == ["t"]


def test_order_and_spelling_do_not_matter() -> None:
    first = load("RULE r { WHEN my signal }\nSIGNAL my_signal = my event\nEVENT my event { x: int }")
    second = load("EVENT my_event { x: int }\nSIGNAL my signal = my event\nRULE r { WHEN my_signal }")
    members = [r.rules["r"].pattern.steps[0].node.source.members for r in (first, second)]  # type: ignore[union-attr]  # an event step
    assert members[0] == members[1]


def test_a_rule_knows_the_params_it_reads() -> None:
    text = """
        PARAM a = 1
        PARAM b = 2
        PARAM c = 3m
        PARAM d = 4
        PARAM unread = 5
        DEFINE above(x) = x > b
        SIGNAL inner = net flow [port > a]
        SIGNAL outer = inner [above(bytes_out)]
        RULE r { PARAM e = 6  WHEN outer AS t THEN app exit WITHIN c  ALERT { title: "{d} {e}" } }
    """
    assert load(text).rules["r"].params == {"a": 1, "b": 2, "c": 180_000, "d": 4, "e": 6}


def test_params_are_overridden_by_name() -> None:
    text = "EVENT a { x: int }\nPARAM p = 1\nRULE r { PARAM q = 5m  WHEN a [x > p] THEN a WITHIN q }"
    rules = dsl.load_text(text, params={"p": 2, "r.q": 1_000})
    assert (rules.errors, rules.rules["r"].params) == ((), {"p": 2, "q": 1_000})


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"nope": 1}, "TW204"),
        ({"r.nope": 1}, "TW204"),
        ({"s.q": 1}, "TW204"),
        ({"p": "1"}, "TW304"),
        ({"p": True}, "TW304"),
        ({"p": 10**5000}, "TW304"),
        ({"f": float("nan")}, "TW304"),
        ({"nope": 10**5000}, "TW204"),
    ],
)
def test_an_override_that_fits_no_param_is_an_error(params: dict[str, int], code: str) -> None:
    text = "EVENT a { x: int }\nPARAM p = 1\nPARAM f = 1.5\nRULE r { PARAM q = 5m  WHEN a THEN a WITHIN q }"
    rules = dsl.load_text(text, params=params)
    assert [d.code for d in rules.errors] == [code]
    assert dsl.render(rules.errors[0], rules.texts[rules.errors[0].file])


def test_an_alert_type_has_the_fields_the_rule_gives_it() -> None:
    text = """
        RULE one { WHEN net flow [port > 3] AS t THEN AT LEAST 3 app exit IN 5m AS xs WITHIN 1h
          ALERT { fields: [t.port, xs.count, xs.last.class, t.app, xs.last.app] } }
        RULE two { WHEN ALERT one [port > 3 AND count > 3 AND class == "x" AND app == xs_last_app] }
    """
    assert set(load(text).rules) == {"one", "two"}


def test_rebinding_does_not_read_the_list_of_params_as_rules() -> None:
    rules = dsl.load_text("EVENT a { x: int }\nPARAM p = 1\n", params={"nope": 1})
    again = rebind(rules, {"p": 3})
    assert (again.errors, again.params["p"].value) == ((), 3)
