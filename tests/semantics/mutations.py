"""Plants faults in a copy of the engine, one at a time, and says which tests of this folder see each.

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
        ("automaton", "return (kept.key,)", "return list(self._keys) or (kept.key,)"),
    ],
    "a type without a key field is forgotten": [
        ("automaton", "if None not in kept.key:", "if kept.key is not None:"),
    ],
    "a missing key field is a value": [
        ("matcher", '" or ".join(f"{d} is None" for d in declared)', '"False"'),
    ],
    "ties are reversed": [("kept", "else (time, position)", "else (time, -position)")],
    "the start of an interval is ignored": [
        ("kept", "self.begin = time if start is None else start", "self.begin = time"),
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
        ("rule_runtime", "if mask & self._veto_mask and any(", "if not mask and any("),
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
        (
            "rule_runtime",
            "            self._rerun(state, kept, out)\n            return\n        history",
            "            return\n        history",
        ),
    ],
    "a late guard closes nothing": [
        (
            "rule_runtime",
            "        published.open = False\n        if published.alert is None:",
            "        if True:",
        ),
    ],
    "two alerts share an id": [
        (
            "rule_runtime",
            "for same in (_same_run, _same_completion, _shares_event):",
            "for same in (_same_completion, _shares_event):",
        ),
        (
            "rule_runtime",
            "while any(p.id == id_ and p.alert is not None for p in state.published):",
            "while not id_:",
        ),
    ],
    "SUPPRESS is exclusive": [("rule_runtime", "<= suppress.duration_ms", "< suppress.duration_ms")],
    "a salted order": [
        (
            "automaton",
            "for key in list(self._keys)\n            if all",
            "for key in set(self._keys)\n            if all",
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
        for folder in ("dsl", "engine", "tests/semantics"):
            shutil.copytree(CHECKOUT / folder, root / folder, ignore=ignore)
        shutil.copy(CHECKOUT / "pyproject.toml", root)
        plant(root, patches)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/semantics", "--tb=no", "-rf", "-p", "no:cacheprovider"],
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
        if done.returncode not in (0, 1):
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
