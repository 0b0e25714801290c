"""The layout of rule files: what it looks like, that it changes no meaning, and that it is final."""

from __future__ import annotations

import re
from pathlib import Path

import programs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dsl.format import format_text, same_meaning
from dsl.nodes import Span
from dsl.parse import parse
from dsl.split import tokens_of

ROOT = Path(__file__).resolve().parents[2]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
PACK = sorted((ROOT / "rules").rglob("*.rule"))


def formatted(text: str) -> str:
    """The layout, after checking what must hold for every text that parses."""
    result = format_text(text)
    assert result.diagnostics == ()
    assert same_meaning(parse(text), parse(result.text))
    assert format_text(result.text).text == result.text
    assert sorted(comments(result.text)) == sorted(comments(text))
    assert not any(line != line.rstrip() for line in result.text.splitlines())
    assert "\n\n\n" not in result.text
    assert not result.text or (result.text[0] != "\n" and result.text.endswith("\n"))
    assert not result.text.endswith("\n\n")
    return result.text


def comments(text: str) -> list[str]:
    """All comments: what is between the tokens and no space."""
    found: list[str] = []
    at = 0
    ends = [(token.start_pos or 0, token.end_pos or 0) for token in tokens_of(text)]
    for start, end in [*ends, (len(text), len(text))]:
        found += [line.strip() for line in re.findall(r"#[^\n]*", text[at:start])]
        at = end
    return found


# --- what it looks like: each is its own layout


CANONICAL = {
    "declarations": """\
# The head of the file.

EVENT net flow "a flow" GRACE 5m LATE 24h {
  app: string?  # who
  bytes_out: int UNIT bytes "sent"

  state: string? ONE OF ["SF", "S0"] FROM "conn_state"
  tags: LIST OF string?
}

EVENT ping { host: string }
EVENT pong {}

LIST hosts = ["a", "*.example.com"]
LIST none = []
LIST apps FROM "lists/apps.txt" REFRESH 5m

PARAM crash_window = 10m "why"
PARAM lowest = -3
PARAM large = 1.50MB
  "a reason the author put below"

DEFINE big(x) = x > 20KB

BASELINE app egress = bytes_out OF net flow BY device, app EVERY 5m USING robust PEER app
BASELINE service = ip, port OF net flow [internal] BY device OVER 14d USING novelty

SIGNAL odd = net flow [deviation(app egress) >= 4.0 AND NOT big(bytes_out)] OR ping
# The end.
""",
    "a rule": """\
RULE an1756 ios "Abnormal traffic" {
  META { attack: [AN1756] version: "1.0.0" nested: { a: 1 } }
  PARAM local = 5m
  BY device, app
  WHEN traffic deviation AS t THEN anomaly AS x WITHIN crash_window

  # What explains it.
  UNLESS app lifecycle [phase == "update"] WITHIN 48h BEFORE
  UNLESS os update
  SEVERITY choose(x.app == t.app, high, medium)  # the join
  RISK 40 + 5 * deviation(t, app egress) - -1
  SELECT EACH
  SUPPRESS 1h PER device, t.app
  ALERT { title: "{t.app}" fields: [t.ip, x.exception] }
  # Nothing more.
}
""",
    "one clause": "RULE quick { WHEN traffic deviation THEN anomaly WITHIN 10m }\n",
    "patterns": """\
RULE r {
  WHEN a THEN WITHIN 5m b THEN AFTER 1m c THEN BETWEEN 1m AND 2m (d THEN e WITHIN 1m) AS g
}

RULE s {
  WHEN NO check in FOR 4h THEN AT LEAST 3 DISTINCT dst_ip OF net flow IN 10m AS xs WITHIN 1h
}

RULE t {
  WHEN ALL OF (a AS p, b, ONE OF (c, d THEN e) AS q) WITHIN 5m
}

RULE u {
  WHEN ALERT quick [severity == "high"] THEN ANY limit OF (a, b) WITHOUT g FOR 1h AS z WITHIN 1h
}
""",
    "long patterns": """\
RULE r {
  WHEN net flow [bytes_out > 1MB AND app IN LIST exploit classes] AS the first step
    THEN WITHIN 5m app exit [class == "memory_violation"]
      WITHOUT app lifecycle [phase == "update"]
      AS the second step
    THEN ALL OF (
      device posture [compromised AND risk == "high"],
      app exit [class == "a" AND process == "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]
        THEN AT LEAST 3 app exit [class == "cccccccccccccccccccccccccc"] IN 10m AS xs
    )
    THEN (
      a [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa == "aaaaaaaaaaaaa"]
      THEN b [bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb == "bbbbbbbbbbbbbbbb"]
    ) AS g
    WITHIN 10m
}
""",
    "long conditions": """\
SIGNAL odd = net flow [
    bytes_out > 20KB AND (port == 22 OR port == 23)
    OR deviation(app egress) >= traffic deviation threshold AND domain(host) == "example.com"
  ]
  OR device posture [compromised]
  "what it is"

RULE r {
  WHEN a
  UNLESS app lifecycle [
    phase == "update" AND app == t.app
    OR phase == "install" AND app == t.app AND actor == "user" AND managed AND from_version EXISTS
  ] WITHIN 48h BEFORE
  SEVERITY choose(
    x.app == t.app AND x.class == "memory_violation" AND t.bytes_out > 1MB,
    choose(x.process == "aaaaaaaaaaaaaaaaaaaaaaaaa", critical, high),
    medium
  )
  RISK aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    + bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    + ccccccccccccccccccccccccccccccccc
}
""",
    "long lists and maps": """\
EVENT app exit {
  class: string ONE OF [
    "memory_violation", "bad_instruction", "guard", "sandbox", "codesign", "abort", "watchdog",
    "resource", "panic"
  ] "why it stopped"
  app_state: string? ONE OF ["foreground", "background", "suspended", "not_running"]
    "state of the app then"
}

LIST sentences = [
  "an app that sends a large file for the first time and crashes over it",
  "a posture service that calls a device compromised by mistake"
]
LIST with comments = [
  "a",  # the first

  # and
  "b"
  # no more
]

TEST "t" FOR r {
  GIVEN app egress FOR ("d1", "com.acme.chat") = { center: 10.0 spread: 0.4 n: 300 }
  GIVEN LIST exploit classes = ["x"]
  GIVEN PARAM crash_window = 20m

  AT 3m ARRIVES 6h app exit {
    app: "com.acme.chat"
    class: "watchdog"
    exception: "EXC_CRASH"
    namespace: "FRONTBOARD"
    code: "0x8badf00d"
  }
  CLOCK 4h
  EXPECT ALERT @3m { severity: "high" xs.count: 3 }
  EXPECT ALERT
  EXPECT CLOSED @3m
  EXPECT NONE
}
""",
    "comments in odd places": """\
RULE  # one
r {  # two
  WHEN a [
      # three
      x == 1  # four
      AND y == 2
    ]  # five
    THEN
    # six
    b
    WITHIN 10m
}
""",
    "only comments": "# one\n\n# two\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", CANONICAL.values(), ids=CANONICAL)
def test_the_layout_of_the_canonical_is_itself(text: str) -> None:
    assert formatted(text) == text


@pytest.mark.parametrize("text", CANONICAL.values(), ids=CANONICAL)
def test_spaces_and_lines_do_not_matter(text: str) -> None:
    """Without comments the author's layout shows in nothing but bodies and texts begun on a new line."""
    bare = "".join(f"\n{token}" if token.column == 1 else f" {token}" for token in tokens_of(text))
    spread = "\n".join(str(token) for token in tokens_of(text))
    assert same_meaning(parse(bare), parse(text))
    assert formatted(formatted(bare)) == formatted(bare)
    assert formatted(formatted(spread)) == formatted(spread)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("SIGNAL traffic_deviation = net_flow", "SIGNAL traffic deviation = net flow\n"),
        ("RULE an1756_ios { WHEN a_1 }", "RULE an1756 ios { WHEN a_1 }\n"),
        ("SIGNAL s = a [deviation(t, a_b) > x_y]", "SIGNAL s = a [deviation(t, a b) > x_y]\n"),
        ("RULE r { WHEN a [app IN LIST my_apps] }", "RULE r { WHEN a [app IN LIST my apps] }\n"),
        ("RULE r { WHEN ALERT other_rule }", "RULE r { WHEN ALERT other rule }\n"),
        ("PARAM crash_window = 10m", "PARAM crash_window = 10m\n"),
        ("SIGNAL a__b = _c_", "SIGNAL a__b = _c_\n"),
        ("RULE r { WHEN a AS x WITHOUT g WITHIN w_1 }", "RULE r { WHEN a WITHOUT g AS x WITHIN w_1 }\n"),
        ('LIST l = ["a"]\nLIST m = [1,2,]', 'LIST l = ["a"]\nLIST m = [1, 2]\n'),
        ("RULE r { WHEN ALL OF (a, b,) WITHIN 1m }", "RULE r { WHEN ALL OF (a, b) WITHIN 1m }\n"),
        ("RULE r { ALERT { fields: [a, b.c,] } }", "RULE r { ALERT { fields: [a, b.c] } }\n"),
        ("PARAM a = 1\n\n\n\nPARAM b = 2", "PARAM a = 1\n\nPARAM b = 2\n"),
        ("PARAM a = 1 LIST l = []", "PARAM a = 1 LIST l = []"),
        ("PARAM a = 1\nLIST l = []", "PARAM a = 1\n\nLIST l = []\n"),
        ("PARAM a = 1\n# about l\nLIST l = []", "PARAM a = 1\n\n# about l\nLIST l = []\n"),
        ("PARAM a = 1\n# about a\n\nLIST l = []", "PARAM a = 1\n# about a\n\nLIST l = []\n"),
        ("RULE r { WHEN a BY b }\nRULE s { WHEN a }", "RULE r {\n  WHEN a\n  BY b\n}\n\nRULE s { WHEN a }\n"),
        ('RULE r { WHEN a META { a: 1, b: 2, } }', "RULE r {\n  WHEN a\n  META { a: 1 b: 2 }\n}\n"),
        ("RULE r { WHEN a META {\na: 1 } }", "RULE r {\n  WHEN a\n  META {\n    a: 1\n  }\n}\n"),
        ("RULE r {\n\n\n  WHEN a\n\n\n\n  BY b\n\n}", "RULE r {\n  WHEN a\n\n  BY b\n}\n"),
        ("LIST l = [1 # one\n, 2]", "LIST l = [\n  1,  # one\n  2\n]\n"),
        ("\ufeffPARAM a = 1_000", "PARAM a = 1_000\n"),
        ("RULE r { WHEN a [-x > - 1 AND NOT (b)] }", "RULE r { WHEN a [-x > -1 AND NOT (b)] }\n"),
    ],
)  # fmt: skip
def test_written_so_it_is_laid_out_so(written: str, wanted: str) -> None:
    if wanted.endswith("\n"):
        assert formatted(written) == wanted
    else:
        assert format_text(written).diagnostics  # LIST and PARAM begin a declaration on a line of their own


def test_a_file_with_a_syntax_error_is_left_as_it_is() -> None:
    text = "RULE   r { WHEN a }\nRULE s { WHEN THEN }\n"
    result = format_text(text)
    assert result.text == text
    assert [found.code for found in result.diagnostics] == ["TW101"]


@pytest.mark.parametrize("path", PACK, ids=lambda path: path.name)
def test_the_shipped_rules_are_laid_out(path: Path) -> None:
    text = path.read_text("utf-8")
    assert formatted(text) == text


def test_no_line_of_the_pack_is_long_but_for_texts_and_comments() -> None:
    for path in PACK:
        for line in path.read_text("utf-8").splitlines():
            assert len(line) <= 100 or line.lstrip()[:1] in {'"', "#"} or line.endswith(" {"), line


# --- for any text that parses


def _spelled(token: str, draw: st.DrawFn) -> str:
    """A token with something after it: a space, a line, an empty line, or a comment."""
    after = draw(
        st.sampled_from(
            [" ", " ", " ", " ", "\n", "\n\n", "\n\n\n", " # c\n", "\n# own\n", "\n\n  # own\n\n"]
        )
    )
    return token + after


@st.composite
def commented(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with its tokens on other lines, and comments between them."""
    text = draw(texts)
    assume(not parse(text).diagnostics)
    return "".join(_spelled(str(token), draw) for token in tokens_of(text))


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(programs.by_the_grammar())
def test_text_by_the_grammar(text: str) -> None:
    assume(not parse(text).diagnostics)
    formatted(text)


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(
    commented(
        st.one_of(programs.rules(), programs.by_the_grammar(), st.sampled_from(list(CANONICAL.values())))
    )
)
def test_any_layout_with_comments_anywhere(text: str) -> None:
    assume(not parse(text).diagnostics)  # LIST and PARAM must begin a line
    formatted(text)


@pytest.mark.parametrize("path", PACK, ids=lambda path: path.name)
def test_the_pack_in_any_layout(path: Path) -> None:
    """Each token of the pack on a line of its own, with a comment behind every seventh."""
    tokens = [str(token) for token in tokens_of(path.read_text("utf-8"))]
    formatted("".join(f"{token} # {i}\n" if i % 7 == 0 else f"{token}\n" for i, token in enumerate(tokens)))


# --- the comparison itself


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PARAM a = 1", "PARAM a = 2"),
        ("PARAM a = 1", "PARAM a = 1.0"),
        ("PARAM a = 1", "PARAM b = 1"),
        ("RULE r { WHEN a BY b }", "RULE r { BY b WHEN a }"),
        ("RULE r { WHEN a }", "RULE r { WHEN a } RULE s { WHEN a }"),
        ("RULE r { WHEN a THEN b }", "RULE r { WHEN a THEN b WITHIN 1m }"),
        ("RULE r { WHEN a", "RULE r { WHEN a"),
    ],
)
def test_other_meanings_are_told_apart(one: str, other: str) -> None:
    assert not same_meaning(parse(one), parse(other))


def test_places_are_no_meaning() -> None:
    one, other = parse("PARAM a = 1"), parse("\n\nPARAM   a=1")
    assert one.declarations[0].span == Span(0, 11) != other.declarations[0].span
    assert same_meaning(one, other)
