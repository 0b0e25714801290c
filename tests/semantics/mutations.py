"""Plants faults in a copy of the engine, one at a time, and says which tests see each: up to three of
the conformance corpus and of this folder.

    python tests/semantics/mutations.py [WORD ...]

With words, only faults whose name has one of them. Prints a table for README.md; ends with an
error if a fault goes unseen, or if its place in the engine is no longer found: then write it anew.
The working tree is not touched: everything happens in a temporary directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = "60"
MOST = "--maxfail=3"
"""After so many tests have seen a fault the rest are left out: most faults are seen within seconds."""
TESTS = (
    "tests/conformance",
    *(
        f"tests/semantics/test_{name}.py"
        for name in (
            *("examples", "examples_rest", "suppress", "alert_sources", "differential", "clocks_between"),
            *("arrival_order", "reruns", "deliveries", "properties", "optimisations"),
        )
    ),
)
"""Those first that take the least time."""

Patch = tuple[str, str, str]

FAULTS: dict[str, list[Patch]] = {
    "an upper bound is exclusive": [
        ("automaton", "if kept.time - begin > upper:", "if kept.time - begin >= upper:"),
    ],
    "a lower bound is exclusive": [
        (
            "automaton",
            "kept.begin - events[first].time < lower",
            "kept.begin - events[first].time <= lower",
        ),
    ],
    "WITHOUT is ignored": [("automaton", "if mask & bit and waiting:", "if mask & bit and not waiting:")],
    "guard and step at once is a step": [
        (
            "automaton",
            "if mask & bit and waiting:",
            "if mask & bit and waiting and not any(mask & b for b, _ in step.choices):",
        ),
    ],
    "LATEST and FIRST are swapped": [
        (
            "automaton",
            '[starts[0] if table.select == "first" else starts[-1]]',
            '[starts[-1] if table.select == "first" else starts[0]]',
        ),
    ],
    "the key is forgotten": [
        ("automaton", "return (kept.key,)", "return list(self.keys) or (kept.key,)"),
    ],
    "a type without a key field is forgotten": [
        ("automaton", "if None not in kept.key:", "if kept.key is not None:"),
    ],
    "a missing key field is a value": [
        ("keys", "return None if value is None else (value,)", "return (value,)"),
    ],
    "ties are reversed": [("kept", "else (time, position)", "else (time, -position)")],
    "the start of an interval is ignored": [
        ("kept", "order, time if start is None else start, mask", "order, time, mask"),
    ],
    "vetoes act after selection": [
        (
            "automaton",
            "for number, events in complete if not self._vetoed(key, number, events)]",
            "for number, events in complete]",
        ),
        (
            "automaton",
            "runs[start][1], capped) for start in chosen]",
            "runs[start][1], capped) for start in chosen if not self._vetoed(key, *runs[start])]",
        ),
    ],
    "the window of UNLESS is exclusive": [
        ("automaton", "since <= guard.time <= until", "since < guard.time <= until"),
    ],
    "a veto behind the match at its time is ignored": [
        ("rule_runtime", "if kept.mask & self._veto_mask and any(", "if not kept.mask and any("),
    ],
    "an event of the match is no veto": [
        ("automaton", "since <= guard.time <= until", "since <= guard.time <= until and guard not in events"),
    ],
    "NOT over a missing value is true": [
        (
            "codegen",
            'return _and([*left_tests, *right_tests, f"{left} {node.operator} {right}"])',
            'test = _and([*left_tests, *right_tests, f"{left} {node.operator} {right}"])\n'
            '        if node.operator != "!=":\n            return test\n'
            '        return "(not " + _and([*left_tests, *right_tests, f"{left} == {right}"]) + ")"',
        ),
    ],
    "one event serves two steps": [
        ("automaton", "for index in range(last, -1, -1):", "for index in range(last + 1):"),
    ],
    "a step is greedy: a choice that moved on is gone": [
        (
            "automaton",
            "self._wait(state, number, levels[index + 1], chain[index + 1], moved)",
            "self._wait(state, number, levels[index + 1], chain[index + 1], moved)\n"
            "                            levels[index] = [x for x in levels[index] if x is not events]",
        ),
    ],
    "a used-up run is kept": [
        (
            "automaton",
            "level[:] = [events for events in level if events[0].order not in used]",
            "level[:] = list(level)",
        ),
    ],
    "a used-up run is kept in the lean automaton": [
        (
            "automaton",
            "level[:] = [o for o in level if not any(_began_no_later(o, events) for events in done)]",
            "level[:] = list(level)",
        ),
    ],
    "the lean automaton takes rules with bounds on gaps": [
        (
            "plan",
            "len(chain.steps) == 1 or all(b == overall for b in chain.bounds)",
            "len(chain.steps) == 1 or overall is not None",
        ),
    ],
    "a choice that a veto would spare is dropped": [
        ("plan", "sources = [veto.source for veto in unless]", "sources: list[m.Source] = []"),
    ],
    "later evidence displaces earlier": [
        ("automaton", "_rank(events, ranks[number]) < _rank(", "_rank(events, ranks[number]) > _rank("),
    ],
    "late events are ignored": [
        ("rule_runtime", "elif kept.time >= state.known_from:", "elif not history:"),
    ],
    "a late guard closes nothing": [
        (
            "publishing",
            "        published.open = False\n        if published.alert is None:",
            "        if True:",
        ),
    ],
    "two alerts share an id": [
        (
            "publishing",
            "for same in (_same_run, _same_completion, _shares_event):",
            "for same in (_same_completion, _shares_event):",
        ),
        (
            "publishing",
            "while state.published and any(p.id == id_ and p.alert is not None for p in state.published):",
            "while not id_:",
        ),
    ],
    "SUPPRESS is exclusive": [("publishing", "<= suppress.duration_ms", "< suppress.duration_ms")],
    # --- the search automaton
    "an upper bound is exclusive in the search": [
        (
            "hunt",
            "kept.time - last_begin(element) > bound.upper",
            "kept.time - last_begin(element) >= bound.upper",
        ),
    ],
    "a lower bound is exclusive in the search": [
        (
            "hunt",
            "w.p[w.base + bound.first].time + bound.lower)",
            "w.p[w.base + bound.first].time + bound.lower + 1)",
        ),
    ],
    "guards are ignored in the search": [
        ("hunt", "if events[at].order > until:", "if events[at].order >= (0, 0):"),
    ],
    "a guard that is its step is none in the search": [
        ("hunt", "if events[at].order > until:", "if events[at].order >= until:"),
    ],
    "a g at the deadline voids nothing": [
        ("hunt", "until = (time, AFTER_ALL)", "until = (time - 1, AFTER_ALL)"),
    ],
    "what follows NO may come at the deadline": [
        ("hunt", "and time >= w.closing.time:", "and time > w.closing.time:"),
        ("elements", "time, (time, AFTER_ALL), time", "time, (time, -1), time"),
    ],
    "a look back is short by one": [
        ("hunt", "(first.begin - duration, -1)", "(first.begin - duration + 1, -1)"),
    ],
    "a look back is from the end of an interval": [
        ("hunt", "(first.begin - duration, -1)", "(first.time - duration, -1)"),
    ],
    "a level alerts at every event that holds": [
        ("hunt", "if part is None or not self._edge(", "if part is None or not part or not (self._edge or "),
    ],
    "an edge after an empty window is none": [
        (
            "hunt",
            "previous.begin < at.time - position.level.window_ms:",
            "previous.begin < at.time - 99 * position.level.window_ms:",
        ),
        ("hunt", "if previous is None or previous.begin < limit:", "if previous is None:"),
    ],
    "a count is off by one": [
        (
            "hunt_groups",
            "group_of(members, at, size) if amount >= level.amount",
            "group_of(members, at, size) if amount > level.amount",
        ),
    ],
    "a count window is exclusive": [
        (
            "hunt_groups",
            "since = max(limit, at.time - level.window_ms)",
            "since = max(limit, at.time - level.window_ms + 1)",
        ),
    ],
    "a bound does not shorten a window": [
        ("hunt_groups", "since = max(limit, at.time - level.window_ms)", "since = at.time - level.window_ms"),
    ],
    "DISTINCT shows the oldest": [
        (
            "hunt_groups",
            'newest = {getattr(kept.event, level.attribute or ""): kept for kept in members}',
            'newest = {getattr(kept.event, level.attribute or ""): kept for kept in reversed(members)}',
        ),
    ],
    "ALL OF does without one branch": [
        ("hunt_groups", "if present < gather.needed or", "if present + 1 < gather.needed or"),
    ],
    "a branch counts by its earliest match": [
        ("hunt_groups", "for closing in reversed(closings[: bisect", "for closing in (closings[: bisect"),
    ],
    "a silence is said as often as it is waited for": [
        (
            "search",
            "if silence is not None and silence in state.reported:",
            "if silence is not None and not chosen is chosen:",
        ),
    ],
    "a silence never ends": [
        ("search", "                    del state.reported[silence]", "                    pass"),
    ],
    "LATEST and FIRST are swapped in the search": [
        ("search", '== "first" else of_silence[-1]', '!= "first" else of_silence[-1]'),
    ],
    "a used-up run is kept in the search": [
        ("search", "if start.order not in runs]", "if start is not None]"),
    ],
    "the window of UNLESS is short by one in the search": [
        ("search", "if guard.time < begin - veto.before_ms:", "if guard.time <= begin - veto.before_ms:"),
    ],
    "keys are forgotten in the search": [
        (
            "search",
            "return [] if state is None else [state]",
            "return list(self.keys.values()) if state is not None else []",
        ),
    ],
    # --- clocks
    "GRACE is forgotten": [("clocks", "seen - self._graces[kind] - 1", "seen - 1")],
    "a clock that shows a time has passed it": [
        ("clocks", "seen - self._graces[kind] - 1", "seen - self._graces[kind]"),
    ],
    "a silent type does not follow the wall clock": [
        ("clocks", "                self._wall[kind] = shows - 1", "                pass"),
    ],
    "one type of several that passed is enough": [
        (
            "clocks",
            "min(map(self._passed, kinds), default=NEVER)",
            "max(map(self._passed, kinds), default=NEVER)",
        ),
    ],
    "LATE is exclusive": [
        ("kind_code", "elif time < clock{n} - {event.late_ms", "elif time <= clock{n} - {event.late_ms"),
    ],
    "LATE counts from the time, not from the clock": [
        ("kind_code", "{event.late_ms + event.grace_ms}", "{event.late_ms}"),
    ],
    # --- late events
    "a match is said before its deadlines have passed": [
        ("rule_runtime", "return self._passed(match) and not", "return not"),
    ],
    "a wait that begins late waits for the next clock": [
        ("rule_runtime", "if overdue:", "if overdue and not overdue:")
    ],
    "what follows a late event is not run again": [
        ("rule_runtime", "last + 2 * horizon + state.longest", "last + state.longest"),
    ],
    "what precedes a late event is not run again": [
        (
            "rule_runtime",
            "self._around(state, first - 2 * horizon, last)",
            "self._around(state, first, last)",
        ),
    ],
    "an event that comes twice counts twice": [
        (
            "rule_runtime",
            "event.id is not None and state.has_duplicate(kept)",
            "event.id is None and state.has_duplicate(kept)",
        ),
        (
            "kind_fit",
            "event.id is not None and log.has_duplicate(event)",
            "event.id is None and log.has_duplicate(event)",
        ),
    ],
    # --- what makes it quick
    "a rule that rests is not woken": [
        (
            "log_runtime",
            "(late or not automaton.waits or mask & self._start_mask):",
            "(late or not automaton.waits):",
        ),
    ],
    "a rule begins without what was kept": [
        ("rule_runtime", "if before.event is not event]", "if before.event is None]"),
    ],
    "guards before a rule began are forgotten": [
        ("log_runtime", "if self._veto_mask:\n            for", "if not self._veto_mask:\n            for"),
    ],
    "a pair keeps one start only": [
        (
            "pair",
            "waiting = [other for other in waiting if not _began_no_later(other, kept)]",
            "waiting = []",
        ),
    ],
    "an index excludes its threshold": [
        ("rule_index", "if value < entry.threshold:", "if value <= entry.threshold:")
    ],
    "what was closed is created anew": [
        ("publishing", "if not self._reopen(state, match, cause, out):", "if match:"),
    ],
    "old and new are not paired by evidence": [
        (
            "publishing",
            "for same in (_same_run, _same_completion, _shares_event):",
            "for same in (_same_run, _same_completion):",
        ),
    ],
    "the earliest is paired first": [
        ("publishing", "key=lambda m: m.last.order, reverse=True)", "key=lambda m: m.last.order)"),
        ("publishing", "next((p for p in reversed(old) if same", "next((p for p in list(old) if same"),
    ],
    "a closed alert hands nothing over": [
        ("publishing", "            self.publish(state, held.match, out, cause)", "            pass"),
    ],
    # --- alerts as events
    "an alert that is closed stays an event": [
        (
            "matcher",
            'if alert.activity == "close":\n                for runtime in readers:',
            'if alert.activity == "close":\n                for runtime in ():',
        ),
    ],
    "an alert stands at the place of the event that completes it": [
        (
            "kept",
            "(time, position, 1) if event.is_alert else (time, position)",
            "(time, position)",
        ),
    ],
    "a salted order": [
        ("automaton", "return [\n            key\n", "return {\n            key\n"),
        (
            "automaton",
            "zip(own, key, strict=True))\n        ]",
            "zip(own, key, strict=True))\n        }",
        ),
    ],
}


def plant(root: Path, patches: list[Patch]) -> None:
    """Changes the copy.

    Raises:
        SystemExit: the text to change is not there exactly once.
    """
    for module, old, new in patches:
        path = root / "engine" / f"{module}.py"
        text = path.read_text("utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"engine/{module}.py has this {text.count(old)} times, not once:\n{old}")
        path.write_text(text.replace(old, new), "utf-8")


def seen_by(patches: list[Patch]) -> list[str]:
    """The tests that fail with the fault, without parameters; none if it goes unseen."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        ignore = shutil.ignore_patterns("__pycache__")
        for folder in ("dsl", "engine", "tests/semantics", "tests/conformance"):
            shutil.copytree(CHECKOUT / folder, root / folder, ignore=ignore)
        shutil.copy(CHECKOUT / "pyproject.toml", root)
        shutil.copy(CHECKOUT / "tests/conftest.py", root / "tests")
        plant(root, patches)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *TESTS, "--tb=no", "-rf", "-p", "no:cacheprovider", MOST],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": temporary,
                "THENWIRE_EXAMPLES": EXAMPLES,
                "THENWIRE_NO_SHRINK": "1",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 1, 2):
            raise SystemExit(done.stdout + done.stderr)
    failed = re.findall(r"^FAILED \S+/test_(\w+)\.py::test_(\w+)", done.stdout, re.MULTILINE)
    by_file: dict[str, dict[str, None]] = {}
    for module, name in failed:
        by_file.setdefault(module, {})[name] = None
    return [f"{module} ({', '.join(names)})" for module, names in by_file.items()]


def main(words: list[str]) -> int:
    if broken := seen_by([]):
        raise SystemExit(f"without any fault these fail already: {', '.join(broken)}")
    unseen = 0
    print("| fault | seen by |\n|---|---|")
    for name, patches in FAULTS.items():
        if words and not any(word in name for word in words):
            continue
        tests = seen_by(patches)
        unseen += not tests
        print(f"| {name} | {', '.join(tests) or '**nothing**'} |", flush=True)
    return 1 if unseen else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
