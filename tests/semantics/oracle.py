"""What a rule means, by brute force: LANGUAGE.md section 4 read aloud.

Every choice of events is tried (``choices.py``), for every start, at every possible end. Nothing is
pruned, nothing is remembered from one event to the next, and the order of arrival does not occur:
only the set of events with their times and positions. So it is slow, and there is little in it that
can be wrong. All clocks count as closed, as at the end of a replay.

Covered: the patterns and expressions of the language but for baselines and ``domain()``, which raise
:class:`evaluate.NotCovered`. SUPPRESS depends on the order of publication and has an oracle of its
own in ``suppression.py``. Alerts as events are put together in ``test_alert_sources.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from choices import Choices
from evaluate import ENVELOPE, Wire, event_type, field_of
from taken import Moment, Seen, Taken

from dsl import model as m

Silence = tuple[Any, ...]
"""Which silence a wait belongs to; empty where a match does not end in NO."""


class Match(msgspec.Struct, frozen=True, order=True):
    """A match: the moment it completes, its key in the order of BY, the ids of its evidence in step order."""

    moment: Moment
    key: tuple[str, ...]
    evidence: tuple[str, ...]


Completed = dict[tuple[Moment, Silence], list[Taken]]


def matches(ruleset: m.RuleSet, rule: m.Rule, events: Iterable[tuple[dict[str, Any], float]]) -> list[Match]:
    """All matches of a rule over a set of events, in the order in which they complete.

    Args:
        ruleset: the rule set, for the declarations of its events.
        rule: one of its rules.
        events: wire objects, each with an ``id``, and their positions. Their order does not matter.

    Raises:
        NotCovered: the rule has a construct the oracle does not define.
    """
    # Item 1.
    ordered = sorted((Seen(wire, position) for wire, position in events), key=lambda seen: seen.moment)
    found: list[Match] = []
    for key in keys(ruleset, rule, ordered):
        found += matches_of_key(ruleset, rule, key, [s for s in ordered if agrees(ruleset, key, s.wire)])
    return sorted(found)


# --- item 2: keys


def keys(ruleset: m.RuleSet, rule: m.Rule, events: Sequence[Seen]) -> list[dict[str, Any]]:
    """Every key that an event gives in full: only such an event can start a run."""
    found: list[dict[str, Any]] = []
    for seen in events:
        key = {name: field_of(ruleset, seen.wire, name) for name in rule.by}
        if None not in key.values() and key not in found:
            found.append(key)
    return found


def agrees(ruleset: m.RuleSet, key: Mapping[str, Any], wire: Wire) -> bool:
    """Whether an event reaches the runs of a key: a field its type lacks matches every value, one it
    declares and lacks matches none.
    """
    declared = set(event_type(ruleset, wire).fields) | ENVELOPE
    return all(field_of(ruleset, wire, name) == value for name, value in key.items() if name in declared)


# --- item 3: runs and selection


def matches_of_key(
    ruleset: m.RuleSet, rule: m.Rule, key: Mapping[str, Any], events: Sequence[Seen]
) -> list[Match]:
    """Every run completes once, at the first event that some choice ends at; SELECT among those that
    complete together.
    """
    choices = Choices(ruleset, events)
    settled = [c for c in choices.pattern(rule.pattern, None, {}) if c.settled()]
    allowed = [
        c
        for c in settled
        if not c.voided and not choices.vetoed(rule, c) and (c.edge is None or is_rising(c, settled))
    ]
    completed: Completed = {}
    for start in sorted({choice.start for choice in allowed}):
        runs_choices = [choice for choice in allowed if choice.start == start]
        first_end = min(choice.end for choice in runs_choices)
        earliest = min((c for c in runs_choices if c.end == first_end), key=lambda c: c.rank)
        completed.setdefault((first_end, choices.silence(earliest)), []).append(earliest)
    if rule.select != "each":
        completed = one_a_silence(completed)
    found: list[Match] = []
    for (moment, _), runs in completed.items():
        if rule.select == "latest":
            runs = [max(runs, key=lambda run: run.start)]
        elif rule.select == "first":
            runs = [min(runs, key=lambda run: run.start)]
        key_values = tuple(str(key[name]) for name in rule.by)
        found += [Match(moment, key_values, tuple(seen.id for seen in run.events)) for run in runs]
    return found


def is_rising(choice: Taken, settled: Sequence[Taken]) -> bool:
    """Item 7: a level that ends the pattern alerts at the first event that holds after one that did
    not, or after a window in which nothing that fits was left.

    ``settled`` are the choices that meet every bound, voided ones among them: an edge that a guard
    voids is spent.
    """
    edge = choice.edge
    assert edge is not None
    before = edge.previous
    if before is None or before.start < max(edge.window_begin, choice.windows[-1].floor):
        return True
    return not any(
        other.edge is not None and other.edge.prefix == edge.prefix and other.end == before.moment
        for other in settled
    )


def one_a_silence(completed: Completed) -> Completed:
    """Item 6: waits of one silence are one, reported at the deadline of the first that was not voided."""
    reported: dict[Silence, Moment] = {}
    for moment, silence in sorted(completed, key=lambda pair: pair[0]):
        if silence:
            reported.setdefault(silence, moment)
    return {
        (at, silence): runs
        for (at, silence), runs in completed.items()
        if not silence or reported[silence] == at
    }
