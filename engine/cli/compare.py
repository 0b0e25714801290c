"""``thenwire replay --against``: what a change of rules does to the alerts of a recording."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec
from rich.table import Table
from rich.text import Text

import dsl
from engine.caps import CapWarning
from engine.cli.common import UsageError, err, load_rules, out, plural, print_diagnostics
from engine.cli.show import STYLES, safe
from engine.matcher import Matcher
from engine.report.compare import Comparison, Difference, Held, RuleDifference, compare
from engine.report.side_by_side import BothMatchers

MAX_ROWS = 1_000
"""Differences that the table shows; the rest are counted. ``--json`` writes all."""
_WHAT = {"appears": "green", "vanishes": "red", "changes": "yellow"}


class Against:
    """The two rule sets of a comparison.

    Args:
        ruleset: the rules that are looked at.
        matcher: runs them.
        paths: of the rules that they are compared against.
        settings: PARAMs of those, as ``name=value``.

    Raises:
        UsageError: the other rules cannot be used.
    """

    def __init__(self, ruleset: dsl.RuleSet, matcher: Matcher, paths: list[str], settings: list[str]) -> None:
        self._after = ruleset
        self._before = load_rules(paths, settings)
        self.other = Matcher(self._before)
        print_diagnostics(self._before, [*self._before.errors, *self.other.diagnostics], err)
        if not self.other.rules:
            raise UsageError("no rule is left to compare against")
        self._old, self._new = Held(), Held()
        self.both = BothMatchers(self.other, matcher, self._old, self._new)

    def warnings(self) -> list[CapWarning]:
        """What the other rules dropped at caps."""
        return self.other.cap_warnings()

    def report(self, json: bool) -> int:
        """Print the comparison; 1 if there is a difference, else 0."""
        found = compare(self._before, self._after, self._old, self._new)
        for (side, reason), count in sorted(self.both.decoder.refused.items()):
            err.print(
                Text(f"  {plural(count, 'record')} refused by the rules {side} only: {reason}", "yellow")
            )
        if json:
            for line in _lines(found):
                sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.buffer.flush()
        else:
            _print(found)
        return 0 if found.same else 1


def _lines(found: Comparison) -> Iterator[dict[str, object]]:
    """One object a difference, then one a rule."""
    for difference in found.differences:
        yield {
            "what": difference.what,
            "rule": difference.rule,
            "before": _alert(difference.before),
            "after": _alert(difference.after),
            "changes": difference.changes,
        }
    for rule in found.rules:
        yield {"what": "rule", "same": rule.same, **msgspec.structs.asdict(rule)}


def _alert(side: object) -> object:
    if side is None:
        return None
    found = msgspec.to_builtins(side)
    found["key"] = dict(found["key"])
    found["completed"] = dict(zip(("kind", "event_id"), found["completed"], strict=True))
    found["evidence"] = [dict(zip(("step", "kind", "event_id"), e, strict=True)) for e in found["evidence"]]
    return found


def _print(found: Comparison) -> None:
    if found.differences:
        out.print(_differences(found.differences[:MAX_ROWS]))
        if len(found.differences) > MAX_ROWS:
            out.print(f"and {len(found.differences) - MAX_ROWS:,} more; --json writes all")
        out.print()
    out.print(_rules(found.rules))
    counted = [rule.rule.replace("_", " ") for rule in found.rules if rule.counted_only]
    if counted:
        out.print(
            Text(f"too many alerts to compare one by one, only counted: {', '.join(counted)}", "yellow")
        )
    out.print("no difference" if found.same else _verdict(found))


def _verdict(found: Comparison) -> str:
    sums = {what: sum(getattr(rule, what) for rule in found.rules) for what in _WHAT}
    told = [f"{plural(count, 'alert')} {_verb(what, count)}" for what, count in sums.items() if count]
    return ", ".join(told) or "there is a difference"


def _verb(what: str, count: int) -> str:
    return what if count == 1 else what.removesuffix("s") if what != "vanishes" else "vanish"


def _differences(found: list[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "", "severity", "rule", "device", "what"):
        table.add_column(heading, no_wrap=heading != "what", overflow="fold")
    for difference in found:
        side = difference.side
        lines = [safe(side.title)]
        lines += [
            safe(f"{change.what}: {_shown(change.before)}, now {_shown(change.after)}", "dim")
            for change in difference.changes
        ]
        table.add_row(
            side.time.replace("T", " ").removesuffix("Z"),
            Text(difference.what, _WHAT[difference.what]),
            Text("closed", "dim")
            if side.status == "closed"
            else Text(side.severity, STYLES.get(side.severity, "")),
            safe(difference.rule.replace("_", " ")),
            safe(side.device),
            Text("\n").join(lines),
        )
    return table


def _shown(value: object) -> str:
    return "none" if value is None or value == "" else str(value)


def _rules(rules: list[RuleDifference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule")
    for heading in ("before", "after", "appear", "vanish", "change"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for rule in rules:
        single = (rule.appears, rule.vanishes, rule.changes)
        note = "removed" if rule.removed else "new" if not rule.was else ""
        if rule.was and not rule.removed and rule.was != rule.rule:
            note = f"was {rule.was.replace('_', ' ')}"
        table.add_row(
            safe(rule.rule.replace("_", " ")),
            f"{rule.before:,}" if rule.was else "-",
            "-" if rule.removed else f"{rule.after:,}",
            *("?" if rule.counted_only else f"{count:,}" for count in single),
            safe(note, "dim"),
        )
    return table
