"""What happened between two looks at a service."""

from __future__ import annotations

import msgspec

from engine.service.operations.status import Status


class Rates(msgspec.Struct, frozen=True):
    """Numbers a second. ``rule_load``: the share of time that a rule took, from its sampled cost."""

    seconds: float
    messages: float
    events: float
    alerts: float
    late: float
    dead_letters: float
    kinds: dict[str, float]
    rule_fits: dict[str, float]
    rule_matches: dict[str, float]
    rule_load: dict[str, float]


def rates(before: Status, now: Status) -> Rates:
    """The rates between two statuses of one run; a counter that went back (another run) counts from 0."""
    seconds = (now.time_ms - before.time_ms) / 1_000

    def rate(first: float, second: float) -> float:
        return (second - first if second >= first else second) / seconds if seconds > 0 else 0.0

    kinds = {kind.kind: kind.seen for kind in before.kinds}
    rules = {rule.name: rule for rule in before.rules}
    fits = {r.name: rate(rules[r.name].fits if r.name in rules else 0, r.fits) for r in now.rules}
    return Rates(
        seconds=seconds,
        messages=rate(before.input.messages, now.input.messages),
        events=rate(before.events, now.events),
        alerts=rate(before.alerts, now.alerts),
        late=rate(before.late, now.late),
        dead_letters=rate(sum(before.dead_letters.values()), sum(now.dead_letters.values())),
        kinds={kind.kind: rate(kinds.get(kind.kind, 0), kind.seen) for kind in now.kinds},
        rule_fits=fits,
        rule_matches={
            r.name: rate(rules[r.name].matches if r.name in rules else 0, r.matches) for r in now.rules
        },
        rule_load={r.name: fits[r.name] * r.cost for r in now.rules if r.cost is not None},
    )
