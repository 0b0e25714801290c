"""What a rule needs and could not see for a match.

Two things are said. *Cold guards* (LANGUAGE.md section 4 item 12): the engine has not watched as long as
a guard looks back, so the guard may have been there before; confidence is low. *Silent kinds*: the device
has not sent a kind of event lately that a guard looks for, or that would have completed a branch; the
absence of such an event says little. That alone lowers no confidence: many kinds are rare.
"""

from __future__ import annotations

import msgspec

from engine.alerting.guards import Guard, Looks, Span
from engine.alerting.words import in_time, kind_in_words
from engine.alerts import Gap, rfc3339
from engine.automaton import Match
from engine.chains import Absence, Chain, Gather, chains_of
from engine.elements import flat
from engine.plan import RulePlan
from engine.sightings import LATELY_MS, Sightings


class Need(msgspec.Struct, frozen=True):
    """A kind of event that a match may rest on without showing one.

    ``look_back_ms``: how long before a match its guards look; ``effect``: what its silence means.
    """

    kind: str
    look_back_ms: int
    effect: str


def needs_of(plan: RulePlan, guards: tuple[Guard, ...], number: int) -> tuple[Need, ...]:
    """The kinds that a match on one chain of a rule needs and need not show."""
    found: dict[str, Need] = {}
    for guard in guards:
        for kind in guard.raw_kinds:
            known = found.get(kind)
            effect = _effect(guard)
            if known is not None:
                effect = known.effect if effect in known.effect else f"{known.effect}; {effect}"
            look_back = max(guard.duration_ms, 0 if known is None else known.look_back_ms)
            found[kind] = Need(kind, look_back, effect)
    always = _always(chains_of(plan.rule.pattern)[number])
    for kind in plan.watched:
        if kind not in found and kind not in always:
            found[kind] = Need(kind, 0, "what it would have shown is not in this alert")
    return tuple(need for need in found.values() if not need.kind.startswith("alert:"))


def _effect(guard: Guard) -> str:
    if guard.looks is Looks.WAIT:
        return f"`{guard.what}` may be the silence of the source"
    return f"`{guard.what}` would also be found if the source were silent"


def _always(chain: Chain) -> set[str]:
    """The kinds that every match on a chain shows."""
    found: set[str] = set()
    for step in chain.steps:
        if isinstance(step.what, Absence):
            continue
        if isinstance(step.what, Gather):
            if step.what.needed == len(step.what.branches):
                for branch in step.what.branches:
                    found |= set.intersection(*(_always(line) for line in branch))
            continue
        kinds = {member.kind for choice in step.choices for member in choice.source.members}
        if len(kinds) == 1:
            found |= kinds
    return found


def gaps_of(
    match: Match, spans: list[Span], needs: tuple[Need, ...], sightings: Sightings, device: str
) -> tuple[list[Gap], str | None]:
    """The gaps of a match, one for each kind, and since when there is guard history where that is too
    short, else None.
    """
    if sightings.since is None:
        return [], None
    short: str | None = None
    found: dict[str, tuple[list[str], list[str]]] = {}
    for guard, start, _ in spans:
        # Without a look back a guard looks no further than the events of the match.
        since = sightings.since_of(guard.raw_kinds) if guard.duration_ms else start
        if start < since:
            short = rfc3339(since)
            known = max(0, start + guard.duration_ms - since) // 1_000 * 1_000
            effect = f"`{guard.what}` is known for {in_time(known)} of the {guard.length} that it looks back"
            for kind in guard.raw_kinds:
                found.setdefault(kind, ([f"guard history since {short}"], []))[1].append(effect)
    until = match.last.time
    shown: set[str] | None = None
    for need in needs:
        if sightings.lately(need.kind, device, until, need.look_back_ms):
            continue
        if shown is None:
            shown = {kept.event.kind for kept in flat(match.events)}
        if need.kind not in shown:
            statuses, effects = found.setdefault(need.kind, ([], []))
            statuses.append(_status(need, until, sightings))
            effects.append(need.effect)
    return [Gap(kind_in_words(kind), "; ".join(s), "; ".join(e)) for kind, (s, e) in found.items()], short


def _status(need: Need, until: int, sightings: Sightings) -> str:
    since = sightings.since_of((need.kind,))
    if not sightings.seen_at_all(need.kind):
        return f"not sent by any device since {rfc3339(since)}"
    lately = until - max(need.look_back_ms, LATELY_MS)
    return f"not sent by this device since {rfc3339(max(since, lately))}"
