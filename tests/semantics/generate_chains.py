"""Rule sets in which rules read the alerts of others: LANGUAGE.md section 4 item 15."""

from __future__ import annotations

from random import Random
from typing import Any

from generate import DECLARATIONS, Case, RuleWriter, event_list
from oracle import matches
from running import Open

BEHIND = 0.5
"""An alert stands just behind the event that completes it."""

OUTER = (
    "WHEN ALERT inner THEN gamma [x EXISTS] WITHIN 9ms",
    "WHEN gamma THEN ALERT inner WITHIN 9ms SELECT EACH",
    "WHEN gamma AS s THEN ALERT inner WITHOUT beta [x == s.x] WITHIN 9ms",
    "WHEN beta THEN gamma WITHIN 9ms UNLESS ALERT inner WITHIN 4ms BEFORE",
    "WHEN gamma THEN beta WITHOUT ALERT inner WITHIN 9ms SELECT FIRST",
    "WHEN ALERT inner AS s THEN NO gamma FOR 3ms",
    "WHEN gamma THEN NO ALERT inner FOR 4ms",
    "WHEN ALL OF (ALERT inner, gamma [x == 1]) WITHIN 6ms",
    "WHEN ALERT inner THEN ALERT inner WITHIN 9ms",
    "WHEN AT LEAST 2 ALERT inner IN 8ms",
    "WHEN gamma THEN ONE OF (ALERT inner, beta) WITHIN 6ms SELECT FIRST",
    "WHEN gamma THEN beta WITHOUT ALERT inner FOR 3ms WITHIN 9ms",
    "WHEN NO ALERT inner FOR 4ms THEN gamma",
    "WHEN ANY 2 OF (ALERT inner, gamma, beta) WITHIN 4ms",
)
LAST = (
    "WHEN ALERT r THEN beta WITHIN 9ms",
    "WHEN alpha THEN ALERT r WITHIN 9ms",
    "WHEN beta THEN NO ALERT r FOR 5ms",
    "WHEN alpha THEN beta WITHIN 9ms UNLESS ALERT r WITHIN 5ms BEFORE",
)
"""Rules over the alerts of a rule that itself reads alerts."""


def random_chain(random: Random, longest: int = 2, silent: bool = False) -> Case:
    """``r`` over the alerts of ``inner``; with ``longest`` 3, half the time ``last`` over those of ``r``.

    Args:
        silent: half the time SEVERITY none, so that alerts only feed other rules.
    """
    inner = RuleWriter(random, rest=random.randrange(2) == 0).rule().replace("RULE r {", "RULE inner {")
    keyed = "BY device, app WHEN" in inner
    outer = random.choice(OUTER)
    # Item 2: the first step must declare every key.
    by = "BY device, app " if keyed and outer.startswith(("WHEN ALERT", "WHEN AT LEAST 2 ALERT")) else ""
    unpublished = " SEVERITY none" if silent and random.randrange(2) else ""
    text = f"{DECLARATIONS}{inner}\nRULE r {{ {by}{outer}{unpublished} }}\n"
    if longest > 2 and random.randrange(2):
        text += f"RULE last {{ {random.choice(LAST)} }}\n"
    return Case(text, event_list(random, most=10))


def expected(case: Case) -> tuple[dict[str, list[Open]], bool]:
    """For each rule its matches, an alert in the evidence by the events of its own; and whether no two
    alerts that a rule reads stand at one place: between those no order is defined.
    """
    ruleset = case.ruleset
    events: list[tuple[dict[str, Any], float]] = [*case.events]
    found: dict[str, list[Open]] = {}
    told_apart = True
    # In the order written each rule comes after those it reads.
    for name, rule in ruleset.rules.items():
        of_rule = matches(ruleset, rule, events)
        found[name] = sorted((match.key, match.evidence) for match in of_rule)
        if f"ALERT {name}" not in case.text:
            continue
        told_apart &= len({match.moment for match in of_rule}) == len(of_rule)
        for match in of_rule:
            time, position = match.moment
            wire = {"kind": f"alert:{name}", "time": time, "id": "+".join(match.evidence)}
            wire |= dict(zip(rule.by, match.key, strict=True))
            events.append((wire, position + BEHIND))
    return found, told_apart
