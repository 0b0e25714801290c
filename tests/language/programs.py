"""Hypothesis strategies for rule files: text by the grammar, programs by hand, and damaged ones."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark
from lark import Lark

CASES = Path(__file__).parent / "cases"
PREAMBLE = (CASES / "preamble.rule").read_text("utf-8")
SNIPPETS = [path.read_text("utf-8").partition("\n---\n")[0] for path in sorted(CASES.glob("*.case"))]

_NAMES = st.sampled_from(["a", "net flow", "app exit", "port", "x_1", "traffic deviation", "device", "app"])
_LITERALS = {
    "WORD": st.sampled_from([" a ", " port ", " app ", " device ", " x_1 "]),
    "DURATION": st.sampled_from([" 10m ", " 1h30m ", " 500ms "]),
    "SIZE": st.sampled_from([" 20KB ", " 1.5MiB "]),
    "NUMBER": st.sampled_from([" 0 ", " 7 ", " 1_000 ", " 0.5 "]),
    "STRING": st.sampled_from([' "" ', ' "a b" ', ' "{a.b}" ', ' "10.0.0.0/8" ', ' "(" ']),
    "UPPER": st.sampled_from([" AN1756 ", " X "]),
    "ILLEGAL": st.just(" ' "),
    "COMMENT": st.just("# x\n"),
    "SPACE": st.just(" "),
}


@cache
def by_the_grammar() -> st.SearchStrategy[str]:
    """Declarations the grammar allows, with names that mostly exist; keywords stand apart."""
    text = files("dsl").joinpath("grammar.lark").read_text("utf-8")
    # Between two tokens may stand nothing, and `WHENa` would be one word: so keywords bring spaces.
    parser = Lark(text, parser="lalr", lexer="basic", start=["start"])
    explicit = dict(_LITERALS)
    for terminal in parser.terminals:
        if terminal.pattern.type == "str" and terminal.pattern.value.isalpha():
            explicit[terminal.name] = st.just(f" {terminal.pattern.value} ")
    used = {t.name for t in parser.terminals}
    return from_lark(parser, start="start", explicit={k: v for k, v in explicit.items() if k in used})


def _condition() -> st.SearchStrategy[str]:
    simple = st.sampled_from(
        [
            "port == 22",
            "internal",
            "bytes_out > 1MB",
            'app IN ["x", "y"]',
            "ip MISSING",
            "class IN LIST exploit classes",
            "deviation(app egress) > 4",
            "battery < limit",
            't.app == "x"',
            "app == t.app",
            "nothing == 1",
        ]
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            inner.map(lambda x: f"NOT {x}"),
            st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        ),
        max_leaves=5,
    )


def _source() -> st.SearchStrategy[str]:
    name = st.sampled_from(
        ["net flow", "app exit", "check in", "anomaly", "traffic deviation", "ALERT other"]
    )
    return st.builds(lambda n, c: f"{n} [{c}]" if c else n, name, st.one_of(st.none(), _condition()))


_DURATIONS = st.sampled_from(["5s", "10m", "1h", "crash_window", "2d"])


def _pattern() -> st.SearchStrategy[str]:
    single = st.one_of(
        _source(),
        _source().map(lambda s: f"{s} AS t"),
        st.builds(lambda s, d: f"NO {s} FOR {d}", _source(), _DURATIONS),
        st.builds(lambda n, s, d: f"AT LEAST {n} {s} IN {d} AS xs", st.integers(0, 9), _source(), _DURATIONS),
        st.builds(lambda s, g: f"{s} WITHOUT {g}", _source(), _source()),
        st.builds(lambda s, g, d: f"{s} WITHOUT {g} FOR {d}", _source(), _source(), _DURATIONS),
    )
    return st.recursive(
        single,
        lambda inner: st.one_of(
            st.builds(lambda a, b, d: f"({a}) THEN {b} WITHIN {d}", inner, single, _DURATIONS),
            st.builds(lambda a, b, d: f"({a}) THEN WITHIN {d} {b}", inner, single, _DURATIONS),
            st.lists(inner, min_size=1, max_size=3).map(lambda b: f"(ALL OF ({', '.join(b)}) WITHIN 1h)"),
            st.lists(inner, min_size=1, max_size=3).map(lambda b: f"(ONE OF ({', '.join(b)}) WITHIN 1h)"),
            st.lists(inner, min_size=1, max_size=3).map(lambda b: f"(ANY 2 OF ({', '.join(b)}) WITHIN 1h)"),
        ),
        max_leaves=4,
    )


def rules() -> st.SearchStrategy[str]:
    """A rule over the names of preamble.rule, mostly right."""
    clause = st.one_of(
        st.just("BY device, app"),
        _source().map(lambda s: f"UNLESS {s} WITHIN 1h BEFORE"),
        st.sampled_from(["SEVERITY high", "SEVERITY none", "SELECT EACH", "SUPPRESS 1h PER device"]),
        _condition().map(lambda c: f"SEVERITY choose({c}, high, low)"),
        st.just('ALERT { title: "{t.app} {device}" fields: [t.app, device] }'),
    )
    name = st.sampled_from(["one", "two", "other"])
    return st.builds(
        lambda n, p, c: f"RULE {n} {{ WHEN {p} {' '.join(c)} }}\n",
        name,
        _pattern(),
        st.lists(clause, max_size=3),
    )


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A case, or a rule, with pieces deleted, doubled, swapped or replaced."""
    text = draw(st.one_of(st.sampled_from(SNIPPETS), rules()))
    strange = st.one_of(
        st.text(max_size=4),
        st.characters(),
        st.sampled_from(
            ['"', "{", "}", "[", "(", ")", "THEN", "NO", "RULE r", "\x00", "\\", "\n", "#", "9" * 50]
        ),
        st.sampled_from(SNIPPETS),
    )
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        piece = draw(st.one_of(st.just(""), st.just(text[begin:end] * 2), strange))
        text = text[:begin] + piece + text[end:]
    return text
