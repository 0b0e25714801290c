"""What a rule needs and could not see for a match.

Two things are said. *Cold guards* (LANGUAGE.md section 4 item 12): the engine has not watched as long as
a guard looks back, so the guard may have been there before; confidence is low. *Silent kinds*: the device
has not sent a kind of event lately that a guard looks for, or that would have completed a branch; the
absence of such an event says little. That alone lowers no confidence: many kinds are rare.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.alerting.guards import Guard, Looks, Span
from engine.alerting.words import in_time, kind_in_words
from engine.alerts import Gap, rfc3339
from engine.chains import Absence, Chain, Gather, chains_of
from engine.kept import Kept
from engine.plan import RulePlan
from engine.sightings import LATELY_MS, Sightings


class Need:
    """A kind of event that a match may rest on without showing one.

    ``look_back_ms``: how long before a match its guards look; ``effect``: what its silence means.
    """

    __slots__ = ("_never", "_words", "effect", "kind", "look_back_ms", "of_kind")

    def __init__(self, kind: str, look_back_ms: int, effect: str) -> None:
        self.kind = kind
        self.of_kind = (kind,)
        self._words = kind_in_words(kind)
        self.look_back_ms = look_back_ms
        self.effect = effect
        # No device has sent many kinds since the engine began: that is the same in every alert.
        self._never: tuple[int, Gap] | None = None

    def silence(self, until: int, since: int, sightings: Sightings) -> Gap:
        """The gap where a device has not sent the kind lately before ``until``. ``since``: from when on it is
        watched.
        """
        never = self._never
        if sightings.seen_at_all(self.kind):
            lately = until - max(self.look_back_ms, LATELY_MS)
            return self._gap(f"not sent by this device since {rfc3339(max(since, lately))}")
        if never is None or never[0] != since:
            never = self._never = since, self._gap(f"not sent by any device since {rfc3339(since)}")
        return never[1]

    def _gap(self, status: str) -> Gap:
        return Gap(self._words, status, self.effect)


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
    until: int,
    events: tuple[Kept, ...],
    spans: list[Span],
    needs: tuple[Need, ...],
    sightings: Sightings,
    device: str,
) -> tuple[list[Gap], str | None]:
    """The gaps of a match that ends at ``until`` with these events, one for each kind, and since when there
    is guard history where that is too short, else None.
    """
    if sightings.since is None:
        return [], None
    found: dict[str, Gap] = {}
    short = cold_guards([(span.guard, span.start) for span in spans], sightings, found)
    shown = [kept.event.kind for kept in events]
    for need in needs:
        kind = need.kind
        if kind not in shown and not sightings.lately(kind, device, until, need.look_back_ms):
            silent = need.silence(until, sightings.since_of(need.of_kind), sightings)
            found[kind] = together(found.get(kind), silent)
    return list(found.values()), short


def cold_guards(
    starts: Iterable[tuple[Guard, int]], sightings: Sightings, found: dict[str, Gap]
) -> str | None:
    """Add the gaps of guards that look back further than is watched, from the times from which they look.
    Since when there is guard history, if there is such a guard, else None.
    """
    short: str | None = None
    for guard, start in starts:
        # Without a look back a guard looks no further than the events of the match.
        since = sightings.since_of(guard.raw_kinds) if guard.duration_ms else start
        if start < since:
            short = rfc3339(since)
            add_cold(guard, start, since, short, found)
    return short


def add_cold(guard: Guard, start: int, since: int, short: str, found: dict[str, Gap]) -> None:
    """Add the gap of a guard that looks from ``start`` on, before its kinds are watched: ``since``, in words
    ``short``.
    """
    known = start + guard.duration_ms - since
    known_for = in_time(known // 1_000 * 1_000) if known > 0 else "0s"
    effect = f"`{guard.what}` is known for {known_for} of the {guard.length} that it looks back"
    for kind, words in zip(guard.raw_kinds, guard.kinds, strict=True):
        cold = found.get(kind)
        if cold is None:
            found[kind] = Gap(words, f"guard history since {short}", effect)
        else:
            found[kind] = Gap(cold.need, cold.status, f"{cold.effect}; {effect}")


def together(cold: Gap | None, silent: Gap) -> Gap:
    """What is said of a kind whose guard is cold, if it is, and that the device has not sent lately."""
    if cold is None:
        return silent
    return Gap(silent.need, f"{cold.status}; {silent.status}", f"{cold.effect}; {silent.effect}")
