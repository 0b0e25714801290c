"""Where every step was completed and still nothing was published: UNLESS, clocks, SUPPRESS, SEVERITY."""

from __future__ import annotations

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration
from engine.events import epoch_ms
from engine.explain import words
from engine.why.miss import Asking, NearestMiss, What, passed_steps


def completed_miss(asking: Asking, pattern: m.Pattern, total: int) -> NearestMiss | None:
    """What was in the way of a match that is complete; None if nothing was."""
    rule = asking.probe.rule

    def miss(what: What, sentence: str, kind: str | None = None, time: int | None = None) -> NearestMiss:
        return NearestMiss(
            sentence=sentence, what=what, step=0, steps=total, name=words.spaced(rule.name),
            passed=passed, kind=kind, time_ms=time,
        )  # fmt: skip

    found = asking.ask(pattern)
    passed = passed_steps(pattern, found[0]) if found else ()
    if not asking.ask(pattern, unless=rule.unless):
        for veto in rule.unless:
            others = tuple(other for other in rule.unless if other is not veto)
            if not asking.ask(pattern, unless=others):
                continue
            shown = f"every step is there, but UNLESS `{veto.source.text}` voids it"
            voider = asking.voider(veto.source, pattern, unless=rule.unless)
            if voider is None:
                return miss("guard", f"{shown}, more than once")
            kind, time = voider
            before = f" (WITHIN {format_duration(veto.before_ms)} BEFORE)" if veto.before_ms else ""
            text = f"{shown}{before}: {words.kind(kind)} at {asking.when(time)}"
            return miss("guard", text, kind, time)
        return miss("guard", "every step is there, but more than one UNLESS voids it")
    waiting = asking.ask(pattern, unless=rule.unless)
    if not asking.ask(pattern, unless=rule.unless, close=False):
        deadline = epoch_ms(waiting[0].alert.time)
        text = (
            f"every step is there, and the silence lasts until {asking.when(deadline)}, but no clock has "
            "passed that yet"
        )
        return miss("clock", text, None, deadline)
    if isinstance(rule.severity, e.Constant) and rule.severity.value == "none":
        return miss("other", "every step is there, but SEVERITY none publishes nothing")
    return None
