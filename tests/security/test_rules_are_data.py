"""Nothing in a rule reaches Python: what an author writes is no part of the code generated for it."""

from __future__ import annotations

import ast
import builtins
import linecache
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dsl
from engine.alerts import encode
from engine.events import BadEvent, attribute
from engine.explain import explain
from engine.matcher import Matcher

ROOT = Path(__file__).parents[2]
MARK = "zq7"
PAYLOADS = [
    f"__import__('builtins').{MARK}",
    f"');__import__('builtins').{MARK}=1;('",
    f'");__import__("builtins").{MARK}=1;("',
    f"\\');{MARK}=1#",
    f"{MARK}\\",
    f"{MARK}'\"\"\"'''",
    f"{{{MARK}.__class__.__mro__}}",
    f"{{0.__class__.{MARK}}}",
    f"%({MARK})s %s",
    f"{MARK}\\n    import os",
    f"{MARK}\\r\\x00",
    f"{MARK}\N{RIGHT-TO-LEFT OVERRIDE}\x1b[2J\x0c",
    f"{MARK}\u2028\u2029\x85import os",
    f"# {MARK}",
    f"{MARK}: lambda: 0",
    f"\N{SNOWMAN}{MARK}\U0001f600",
]
OWN = {"__class__", "__length_hint__"}
"""What the engine itself asks of an event, and of an iterator over events."""
WORDS = re.compile(r"[A-Za-z0-9_ .,:;|]*")
"""What the engine's own texts in the code consist of: nothing that could end them."""
TEXTS = st.sampled_from(PAYLOADS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
    lambda text: MARK + text
)


def quoted(text: str) -> str:
    """As a string of the language: quotes and backslashes escaped, line ends left out."""
    plain = "".join(c for c in text if c not in "\n\r")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rules(text: str, pattern: str) -> str:
    """A rule set with ``text`` wherever the language takes a string."""
    s = quoted(text)
    return f"""
EVENT flow {s} {{ app: string {s}  bytes_out: int UNIT bytes  why: string FROM {s}  note: string? }}
EVENT crash {{ app: string  why: string }}
LIST apps = [{s}, "other"]
PARAM wanted = {s} {s}
RULE flow then crash {s} {{
  BY device, app
  WHEN flow [bytes_out > 1 AND (app == {s} OR app == wanted OR app IN LIST apps OR note LIKE {s}
    OR app IN [{s}, "b"] OR lower(app) != {s})] AS f
  THEN crash [why MATCHES {quoted(pattern)} OR why != {s}] WITHIN 10m
  SEVERITY high
  ALERT {{ title: {s}  description: {quoted("{f.app} " + text.replace("{", "").replace("}", ""))} }}
  META {{ author: {s}  references: [{s}] }}
}}
TEST {s} FOR flow then crash {{
  AT 0s flow {{ app: {s}  bytes_out: 2  why: {s} }}
  EXPECT NO flow then crash
}}
"""


def sources() -> list[str]:
    return ["".join(entry[2]) for name, entry in linecache.cache.items() if name.startswith("<thenwire")]


def check(source: str) -> None:
    """The code is of the kind that the engine writes, and has nothing of the author's in it."""
    assert MARK not in source
    assert source.isascii()
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.Import | ast.ImportFrom | ast.Lambda), ast.dump(node)
        if isinstance(node, ast.JoinedStr):
            # Values between words of the engine; nothing that is called or looked up.
            for part in node.values:
                value = part.value if isinstance(part, ast.FormattedValue) else part
                assert isinstance(value, ast.Name | ast.Constant), ast.dump(node)
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            assert not name.startswith("__") or name in OWN, name
            assert name not in ("eval", "exec", "open", "compile", "globals", "getattr", "setattr"), name
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert WORDS.fullmatch(node.value), node.value


def test_strings_reach_the_code_by_name_only() -> None:
    loaded = 0

    @settings(max_examples=40, deadline=None)
    @given(TEXTS)
    @example(PAYLOADS[0])
    @example(PAYLOADS[2])
    def each(text: str) -> None:
        nonlocal loaded
        linecache.clearcache()
        ruleset = dsl.load_text(rules(text, "zq7.*"))
        matcher = Matcher(ruleset)
        for source in [*sources(), *matcher.sources.values()]:
            check(source)
        if "flow_then_crash" not in ruleset.rules:
            return
        loaded += 1
        assert sources()
        alerts = []
        for kind, time in (("flow", 1_000), ("crash", 2_000)):
            event = {"kind": kind, "device": "d", "time": time, "app": "other", "bytes_out": 2, "why": "x"}
            event[msgspec.json.decode(quoted_json(text))] = "x"
            raw = msgspec.json.encode({**event, "kind": kind, "device": "d", "time": time})
            try:
                alerts += matcher.feed_json(raw)
            except BadEvent:
                return
        for alert in alerts:
            assert msgspec.json.decode(encode(alert))["rule"]["name"] == "flow_then_crash"
            assert "<class" not in alert.title + "".join(alert.texts.values())
        found = explain(ruleset, "flow_then_crash")
        for source in found.code.values():
            check(source)

    each()
    assert loaded > 10, "most texts are no error, so rules with them have run"
    assert not hasattr(builtins, MARK)


def quoted_json(text: str) -> bytes:
    return msgspec.json.encode("".join(c for c in text if c not in "\n\r"))


@pytest.mark.parametrize(
    "template",
    [
        "{f.app.__class__}",
        "{f.__class__}",
        "{__import__}",
        "{f.app!r}",
        "{f.app:>999999999}",
        "{f[0]}",
        "{}",
    ],
)
def test_a_template_names_fields_and_nothing_else(template: str) -> None:
    text = rules("zq7", "x").replace('title: "zq7"', f'title: "{template}"')
    ruleset = dsl.load_text(text)
    assert "flow_then_crash" not in ruleset.rules
    assert ruleset.errors


@pytest.mark.parametrize(
    "name",
    ["__class__", "__import__('os')", "a.b", "a;b", "import os", "lambda", "None", "self", "é", "a\x00"],
)
def test_a_name_is_a_word_of_the_language(name: str) -> None:
    """Names are the only thing of a rule's text that the code may hold, so only harmless ones exist."""
    text = f"""
EVENT flow {{ {name}: int }}
EVENT crash {{ app: string }}
RULE r {{ BY device WHEN flow [{name} > 1] THEN crash WITHIN 1m SEVERITY low }}
"""
    linecache.clearcache()
    ruleset = dsl.load_text(text)
    Matcher(ruleset)
    for source in sources():
        check(source)
    assert not attribute(name).startswith("_")


def test_code_is_made_in_one_place_only() -> None:
    """Every other `exec` or `eval` would need a proof of its own."""
    found = []
    for package in ("engine", "dsl"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                called = (
                    node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                )
                if called in ("exec", "eval", "compile", "__import__"):
                    found.append((path.relative_to(ROOT).as_posix(), called))
    assert found == [("engine/codegen.py", "exec"), ("engine/codegen.py", "compile")]
