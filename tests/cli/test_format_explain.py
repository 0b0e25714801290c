"""``thenwire fmt`` and ``thenwire explain``: files, exit codes, and what is said of a rule.

``pytest tests/cli --update`` rewrites the golden texts.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

import dsl
from engine.cli import main
from engine.explain import explain, mermaid, svg

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
UGLY = "# why\nRULE r{WHEN a_b BY device}\n"
TIDY = "# why\nRULE r {\n  WHEN a b\n  BY device\n}\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


# --- fmt


def test_files_are_rewritten_only_where_they_change(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ugly.rule").write_text(UGLY)
    (tmp_path / "tidy.rule").write_text(TIDY)
    before = (tmp_path / "tidy.rule").stat()
    code, out, err = run("fmt", tmp_path)
    assert (code, out) == (0, f"formatted {tmp_path / 'ugly.rule'}\n")
    assert "1 file formatted, 1 file left as it is" in err
    assert (tmp_path / "ugly.rule").read_text() == TIDY
    after = (tmp_path / "tidy.rule").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert run("fmt", tmp_path)[:2] == (0, "")


def test_check_and_diff_write_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ugly.rule"
    path.write_text(UGLY)
    assert run("fmt", "--check", path)[:2] == (1, f"would change {path}\n")
    code, out, _ = run("fmt", "--diff", path)
    assert code == 0
    assert "-RULE r{WHEN a_b BY device}\n+RULE r {\n" in out
    assert run("fmt", "--diff", "--check", path)[0] == 1
    assert path.read_text() == UGLY
    path.write_text(TIDY)
    assert run("fmt", "--check", path)[0] == 0


def test_a_syntax_error_leaves_the_file_and_formats_the_others(run: Run, tmp_path: Path) -> None:
    broken = "RULE  r { WHEN a THEN THEN b WITHIN 5m }\n"
    (tmp_path / "a_broken.rule").write_text(broken)
    (tmp_path / "ugly.rule").write_text(UGLY)
    code, _, err = run("fmt", tmp_path)
    assert code == 2
    assert "error[TW106]" in err
    assert "1 file formatted, 1 file not formatted" in err
    assert (tmp_path / "a_broken.rule").read_text() == broken
    assert (tmp_path / "ugly.rule").read_text() == TIDY
    assert run("fmt", "--check", tmp_path)[0] == 2


def test_unreadable_files_are_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.rule").write_bytes(b"# \xe4\nPARAM a=1\n")
    code, _, err = run("fmt", tmp_path)
    assert code == 2
    assert "not UTF-8 text (byte 2)" in err
    assert (tmp_path / "latin.rule").read_bytes() == b"# \xe4\nPARAM a=1\n"


@pytest.mark.parametrize(
    "arguments",
    [("fmt",), ("fmt", "nowhere"), ("fmt", "-", "nowhere"), ("fmt", "--nonsense"), ("fmt", "--chek", "-")],
)
def test_wrong_usage_of_fmt(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("thenwire: ")
    assert "Traceback" not in err


def test_a_folder_without_rules_is_said(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fmt", tmp_path)
    assert (code, "there is no .rule file below" in err) == (2, True)


def test_line_ends_permissions_and_links_stay(run: Run, tmp_path: Path) -> None:
    real = tmp_path / "real.rule"
    real.write_bytes(UGLY.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    link = tmp_path / "link.rule"
    link.symlink_to(real)
    assert run("fmt", link)[0] == 0
    assert real.read_bytes() == TIDY.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.rule", "real.rule"]


def test_nothing_is_left_behind_where_the_file_cannot_be_replaced(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ugly.rule"
    path.write_text(UGLY)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    code, _, err = run("fmt", path)
    assert (code, "permission denied" in err) == (2, True)
    assert path.read_text() == UGLY
    assert [p.name for p in tmp_path.iterdir()] == ["ugly.rule"]


@pytest.mark.parametrize(
    ("text", "options", "code", "printed"),
    [
        (UGLY, (), 0, TIDY),
        (TIDY, ("--check",), 0, ""),
        (UGLY, ("--check",), 1, ""),
        ("RULE r {", (), 2, ""),
        ("", (), 0, ""),
    ],
)
def test_standard_input(
    run: Run, monkeypatch: pytest.MonkeyPatch, text: str, options: tuple[str, ...], code: int, printed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("fmt", "-", *options)[:2] == (code, printed)


# --- explain


def golden(name: str, text: str, config: pytest.Config) -> None:
    path = GOLDEN / name
    if config.getoption("--update"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "options"),
    [("an1756_ios.txt", ()), ("an1756_ios.mmd", ("--mermaid",))],
)
def test_an1756(run: Run, pytestconfig: pytest.Config, name: str, options: tuple[str, ...]) -> None:
    code, out, err = run("explain", "an1756", "ios", "--rules", ROOT / "rules" / "mobile", *options)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    golden(name, out, pytestconfig)


def test_names_with_spaces_or_underscores_are_one(run: Run) -> None:
    spelled = [("an1756 ios",), ("an1756_ios",), ("an1756", "ios")]
    assert len({run("explain", *words, "--rules", "mobile")[1] for words in spelled}) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("an1765", "ios", "--rules", "mobile"), "did you mean `an1756 ios`?"),
        (("something", "else", "--rules", "mobile"), "the rules are `an1756 ios`, `an1756 internal`"),
        (("--rules", "mobile"), "name a rule"),
        (("quick", "--rules", "nowhere"), "no rule file or folder"),
        (("quick", "--rules", "mobile", "--json", "--mermaid"), "choose one"),
        (("quick", "--rules", "mobile", "--svg", "/nowhere/x.svg"), "cannot be written"),
    ],
)
def test_wrong_usage_of_explain(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run("explain", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_rule_with_errors_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.rule").write_text("EVENT a {}\nRULE r { WHEN b }\n")
    code, _, err = run("explain", "r", "--rules", tmp_path)
    assert code == 2
    assert "error[TW201]" in err
    assert "the rule `r` has errors" in err


def test_json_code_and_svg(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("explain", "quick", "--rules", "mobile", "--json", "--svg", tmp_path / "x.svg")
    assert code == 0
    found = json.loads(out)
    assert found["automaton"]["name"] == "latest"
    assert [step["name"] for step in found["steps"]] == ["traffic deviation", "anomaly"]
    assert found["mermaid"].startswith("stateDiagram-v2\n")
    assert set(found["code"]) == {"net.flow", "app.exit", "device.posture"}
    texts = [node.text for node in ET.parse(tmp_path / "x.svg").iter() if node.tag.endswith("text")]
    assert "traffic deviation" in texts
    assert "10m since the first event have passed" in texts
    plain = run("explain", "quick", "--rules", "mobile")[1]
    with_code = run("explain", "quick", "--rules", "mobile", "--code")[1]
    assert with_code.startswith(plain.rstrip("\n"))
    assert "def handle(e, position, out):" in with_code[len(plain) - 1 :]


def test_values_are_those_in_force(run: Run) -> None:
    _, out, _ = run("explain", "quick", "--rules", "mobile", "--set", "quick.publishes=TRUE")
    assert re.search(r"publishes +true \(set\) +ours: a sentence without guards", out)
    _, out, _ = run("explain", "an1756 ios", "--rules", "mobile", "--set", "crash_window=5m")
    assert "all within 5m." in " ".join(out.split())
    assert re.search(r"crash window +5m \(set\) ", out)


EVENTS = """
EVENT net flow { app: string? ip: ip? port: int? bytes_out: int? UNIT bytes internal: bool? }
EVENT app exit { app: string? class: string }
EVENT check in { app: string? battery: int? }
"""


def explained(rule: str, name: str = "r") -> tuple[str, str, str, str]:
    """The sentences, the automaton and its reason, and the Mermaid text of a rule."""
    rules = dsl.load_text(EVENTS + rule)
    assert [d.message for d in rules.errors] == []
    found = explain(rules, name)
    assert ET.fromstring(svg(found.diagram, found.title)).tag.endswith("svg")
    automaton = found.automaton
    assert automaton is not None, found.refused
    assert automaton.state
    return " ".join(found.sentences), automaton.name, automaton.why, mermaid(found.diagram)


@pytest.mark.parametrize(
    ("pattern", "automaton", "reason"),
    [
        ("net flow THEN app exit WITHIN 10m", "latest", "only bound is that of the whole"),
        (
            "net flow THEN WITHIN 5m app exit THEN WITHIN 5m check in",
            "runs",
            "app exit has a bound of its own, 5m",
        ),
        (
            "net flow AS t THEN app exit [app == t.app] WITHIN 10m",
            "runs",
            "the filter of app exit reads another step",
        ),
        (
            "net flow AS t THEN app exit WITHOUT check in [app == t.app] WITHIN 10m",
            "runs",
            "a guard of app exit reads",
        ),
        ("net flow THEN AFTER 1m app exit WITHIN 10m", "runs", "app exit must come at least 1m after"),
        ("net flow THEN app exit WITHIN 10m SELECT EACH", "runs", "SELECT EACH is asked for"),
        (
            "net flow AS t THEN app exit WITHIN 10m UNLESS check in [app == t.app]",
            "runs",
            "UNLESS check in reads",
        ),
        ("net flow THEN NO app exit FOR 30s", "search", "it waits for silence (no app exit for 30s)"),
        ("AT LEAST 3 net flow IN 10m", "search", "it counts (3 or more net flow in 10m)"),
        ("ALL OF (net flow, app exit) WITHIN 5m", "search", "in any order (all of net flow and app exit)"),
        ("net flow WITHOUT check in FOR 1h", "search", "it looks 1h back for check in"),
    ],
)
def test_which_automaton_and_why(pattern: str, automaton: str, reason: str) -> None:
    _, name, why, _ = explained(f"RULE r {{ WHEN {pattern} }}")
    assert name == automaton
    assert reason in why


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "BY device, app WHEN net flow [port == 22] AS t THEN WITHIN 5m check in",
            "For each device and app: when net flow where port is 22, called t, and then within 5m check in.",
        ),
        (
            "WHEN net flow [NOT internal OR (port >= 7 AND ip MISSING)]",
            "net flow where internal is false or (port is at least 7 and ip is missing).",
        ),
        (
            'WHEN net flow [app NOT IN ["a", "b"] AND ip IN CIDR("10.0.0.0/8") AND bytes_out > 1.5MB]',
            'app is none of "a" and "b", ip is in the network 10.0.0.0/8 and bytes_out is more than 1.5MB.',
        ),
        (
            "WHEN AT LEAST 50MB SUM bytes_out OF net flow [internal] IN 10m AS xs",
            "50MB or more of bytes_out together within 10m, each net flow where internal is true",
        ),
        (
            "WHEN NO check in FOR 4h THEN net flow",
            "when no check in in the 4h before the next step, and then net flow.",
        ),
        (
            "WHEN net flow THEN AFTER 1m ONE OF (app exit, check in THEN app exit) AS q WITHIN 10m",
            "at least 1m later one of these: (a) app exit; (b) check in, and then app exit, called q, all",
        ),
        (
            "WHEN net flow UNLESS check in [battery > 5] WITHIN 48h BEFORE UNLESS app exit",
            "Not if there is check in where battery is more than 5, from 2d before the first event up to "
            "the last. Not if there is app exit, from the first event up to the last.",
        ),
        (
            "WHEN net flow AS t SEVERITY choose(t.port == 22, high, low) RISK min(100, t.port * 2)",
            "with severity high if t.port is 22, otherwise low. The risk is the smaller of 100 and t.port",
        ),
        ("WHEN net flow SEVERITY none", "It publishes nothing and only feeds other rules."),
        (
            "WHEN net flow AS t SUPPRESS 1h PER device, t.app",
            "further ones of the same device and t.app are counted, not published, for 1h.",
        ),
        ("WHEN net flow SELECT FIRST", "the one that began first is reported."),
    ],
)
def test_in_words(rule: str, said: str) -> None:
    assert said in explained(f"RULE r {{ {rule} }}")[0]


def test_a_kind_without_the_key_is_said() -> None:
    rule = "EVENT posture { bad: bool }\nRULE r { BY device, app WHEN net flow THEN posture [bad] WITHIN 5m }"
    assert "Posture has no app: such an event counts for every app of the device." in explained(rule)[0]
    assert "has no" not in explained("RULE r { BY device, app WHEN net flow THEN app exit WITHIN 5m }")[0]


def test_the_diagram_has_a_state_a_step_and_what_ends_a_run() -> None:
    rule = (
        "RULE r { WHEN net flow AS t THEN WITHIN 5m app exit WITHOUT check in [battery > 1] "
        "THEN NO check in FOR 30s UNLESS net flow [internal] WITHIN 1h BEFORE }"
    )
    assert explained(rule)[3].splitlines() == [
        "stateDiagram-v2",
        '    state "t seen" as s1',
        '    state "app exit seen" as s2',
        '    state "pattern complete" as complete',
        '    state "alert, severity medium" as alert',
        "    [*] --> s1: net flow",
        "    s1 --> [*]: check in",
        "    s1 --> [*]: 5m have passed",
        "    s1 --> s2: app exit, within 5m",
        "    s2 --> [*]: check in",
        "    s2 --> complete: no check in for 30s",
        "    complete --> [*]: UNLESS net flow, also 1h before",
        "    complete --> alert: no UNLESS holds",
        "    alert --> [*]",
    ]


def test_rules_that_read_alerts_are_explained_with_those_they_read() -> None:
    one = "RULE one { BY device, app WHEN net flow [port == 22] }\n"
    rule = one + 'RULE r { WHEN ALERT one [severity == "high"] THEN app exit WITHIN 5m }'
    rules = dsl.load_text(EVENTS + rule)
    found = explain(rules, "r")
    assert found.refused is None
    assert 'when an alert of one where severity is "high", and then app exit' in found.sentences[0]
    assert "an alert of one" in {kind.kind for kind in found.kinds}


def test_a_rule_the_engine_does_not_run_is_explained_all_the_same() -> None:
    # More sources than fit the bits of a rule: nothing that a later version is likely to allow.
    guards = " ".join(f"UNLESS check in [battery == {i}]" for i in range(100))
    found = explain(dsl.load_text(EVENTS + f"RULE r {{ WHEN net flow {guards} }}"), "r")
    assert found.automaton is None
    assert found.refused is not None
    assert found.refused == "the rule looks for 101 things; at most 60"
    assert found.sentences[0] == "For each device: when net flow."


def test_lists_of_the_rule_and_fields_that_it_alone_reads(run: Run) -> None:
    _, out, _ = run("explain", "quick", "--rules", "mobile", "--json")
    quick = json.loads(out)
    assert [x["name"] for x in quick["lists"]] == ["exploit classes", "parser classes", "parser processes"]
    fields = {kind["kind"]: kind["fields"] for kind in quick["kinds"]}
    assert "host" not in fields["net flow"]  # an1756 ios reads it for its alert
    assert "bytes_out" in fields["net flow"]
