"""How far the furthest run got, and what was in its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from dsl import model as m
from engine.alerts import rfc3339
from engine.explain import words
from engine.why import loosen, trees
from engine.why.after import completed_miss
from engine.why.miss import Asking, Miss, NearestMiss, Passed, passed_steps, step_text
from engine.why.one import OneThing
from engine.why.probe import Input, Prepare, Probe
from engine.why.trees import Path


def nearest_miss(
    ruleset: m.RuleSet,
    rule: str,
    inputs: Sequence[Input],
    prepare: Prepare | None = None,
    when: Callable[[int], str] = rfc3339,
    learn: Sequence[str] = (),
) -> NearestMiss | None:
    """Why a rule did not alert on some events, or did not alert once more.

    Args:
        ruleset: the rule set; only the rule and those whose alerts it reads are run.
        rule: the canonical name of the rule.
        inputs: the events in the order in which they came.
        prepare: sets up each matcher before its first event.
        when: how times are said.
        learn: baselines that ``prepare`` gives a state, whether a variation of the rule reads them or not.

    Returns:
        None where the rule does alert on these events.

    Raises:
        KeyError: there is no such rule.
    """
    probe = Probe(ruleset, rule, inputs, prepare, learn)
    asking = Asking(probe, when)
    best: tuple[int, int, m.Pattern] | None = None
    voided: NearestMiss | None = None
    for line in trees.lines(probe.rule.pattern):
        named = asking.named(line)
        total = sum(1 for _ in trees.leaves(named))
        reached = _reached(asking, named, total)
        if reached == total:
            # Another branch may stand where this one is voided.
            miss = completed_miss(asking, named, total)
            if miss is None:
                return None
            voided = voided or miss
        if best is None or reached > best[0]:
            best = (reached, total, named)
    if voided is not None or best is None:
        return voided
    reached, total, pattern = best
    return _Explaining(asking, pattern, total).at(reached)


def _stops(pattern: m.Pattern, total: int) -> list[int]:
    """Leaves behind which a pattern can be cut: not behind NO with nothing before it."""
    kinds = [isinstance(step.node, m.AbsenceNode) for _, step in trees.leaves(pattern)]
    first = next((i for i, absent in enumerate(kinds) if not absent), 0)
    return list(range(first + 1, total + 1))


def _reached(asking: Asking, pattern: m.Pattern, total: int) -> int:
    """How many leaves the furthest run completed."""
    reached = 0
    for count in _stops(pattern, total):
        if not asking.ask(trees.cut(pattern, count)):
            break
        reached = count
    return reached


class _Explaining:
    """One line of a pattern and the step at which its furthest run ended."""

    def __init__(self, asking: Asking, pattern: m.Pattern, total: int) -> None:
        self._asking = asking
        self._pattern = pattern
        self._total = total
        self._one = OneThing(asking)

    def at(self, reached: int) -> NearestMiss:
        """The miss at the leaf behind ``reached`` completed ones."""
        count = next(stop for stop in _stops(self._pattern, self._total) if stop > reached)
        pattern = trees.cut(self._pattern, count)
        path, step = list(trees.leaves(pattern))[-1]
        passed: tuple[Passed, ...] = ()
        if reached:
            furthest = self._asking.ask(trees.cut(self._pattern, reached))
            passed = passed_steps(self._pattern, furthest[0]) if furthest else ()
        miss = self._leaf(pattern, path, step, passed)
        name = step_text(step)
        return NearestMiss(
            sentence=f"step {count} of {self._total}, `{name}`: {miss.sentence}",
            what=miss.what,
            step=count,
            steps=self._total,
            name=name,
            passed=passed,
            kind=miss.kind,
            time_ms=miss.time_ms,
            condition=miss.condition,
            values=miss.values,
            missed_by_ms=miss.missed_by_ms,
        )

    def _leaf(self, pattern: m.Pattern, path: Path, step: m.Step, passed: tuple[Passed, ...]) -> Miss:
        node = step.node
        if isinstance(node, m.AbsenceNode):
            return self._absence(pattern, node)
        single = min(self._one.misses(pattern, path), key=lambda miss: miss.far, default=None)
        if isinstance(node, m.LevelNode):
            fewer = (
                None
                if single is not None and single.what in ("guard", "bound")
                else self._count(pattern, path, node)
            )
            if fewer is not None:
                return fewer
            one = trees.changed(
                pattern, path, lambda s: msgspec.structs.replace(s, node=m.EventNode(node.source))
            )
            return single or self._leaf(one, path, trees.at(one, path), passed)
        if isinstance(node, m.AllOfNode | m.AnyOfNode):
            return self._branches(pattern, path, node) or single or self._nothing(step, passed)
        return single or self._one.several(pattern, path) or self._nothing(step, passed)

    def _nothing(self, step: m.Step, passed: tuple[Passed, ...]) -> Miss:
        source = loosen.source_of(step)
        kinds = list(dict.fromkeys(x.kind for x in source.members)) if source is not None else []
        shown = words.listed([f"`{words.kind(kind)}`" for kind in kinds], "or") or "event"
        came = any(i.wire is not None and i.wire.get("kind") in kinds for i in self._asking.probe.inputs)
        if came and passed:
            text = f"no {shown} came after `{passed[-1].step}` at {self._asking.when(passed[-1].time_ms)}"
        elif came:
            text = f"no {shown} could begin a run"
        else:
            text = f"there was no {shown} at all"
        return Miss("absent", text, 20)

    # --- steps that are no single event

    def _absence(self, pattern: m.Pattern, node: m.AbsenceNode) -> Miss:
        voider = self._asking.voider(node.source, pattern)
        if voider is None:
            return Miss("guard", f"it is broken more than once: `{node.source.text}` came", 1)
        kind, time = voider
        return Miss(
            "guard", f"{words.kind(kind)} at {self._asking.when(time)} broke the silence", 1, kind, time
        )

    def _count(self, pattern: m.Pattern, path: Path, node: m.LevelNode) -> Miss | None:
        """The most that was reached of what AT LEAST asks for, by halving."""

        def holds(amount: int | float) -> bool:
            return bool(
                self._asking.ask(
                    trees.changed(
                        pattern,
                        path,
                        lambda s: msgspec.structs.replace(
                            s, node=msgspec.structs.replace(node, amount=amount)
                        ),
                    )
                )
            )

        low, high = 0, int(node.amount) if node.measure != "sum" else 1 << 10
        unit = 1.0 if node.measure != "sum" else node.amount / high
        while high - low > 1:
            middle = (low + high) // 2
            if holds(middle * unit if node.measure == "sum" else middle):
                low = middle
            else:
                high = middle
        if low == 0:
            return None
        of = {"count": "events", "distinct": f"values of {node.field}", "sum": f"as the sum of {node.field}"}
        reached = f"{low:,}" if node.measure != "sum" else f"about {low * unit:,.0f}"
        text = f"{reached} of the {node.amount:,} {of[node.measure]} that it wants came together"
        return Miss("count", text, 2, values={"reached": low * unit, "wanted": node.amount})

    def _branches(self, pattern: m.Pattern, path: Path, node: m.AllOfNode | m.AnyOfNode) -> Miss | None:
        """Which branches are there; of the first that is not, the miss inside it."""
        needed = node.needed if isinstance(node, m.AnyOfNode) else len(node.branches)
        missing: list[m.Pattern] = []
        for branch in node.branches:
            alone = self._branch(pattern, path, branch)
            if not any(self._asking.ask(self._asking.named(line)) for line in trees.lines(alone)):
                missing.append(alone)
        present = len(node.branches) - len(missing)
        if present >= needed or not missing:
            return None
        best: NearestMiss | None = None
        for line in trees.lines(missing[0]):
            named = self._asking.named(line)
            total = sum(1 for _ in trees.leaves(named))
            inside = _Explaining(self._asking, named, total).at(_reached(self._asking, named, total))
            if best is None or inside.step > best.step:
                best = inside
        assert best is not None
        _, _, inner = best.sentence.partition(", ")
        return Miss(
            best.what,
            f"{present} of {needed} branches are there; of the next, {inner}",
            2,
            best.kind,
            best.time_ms,
            best.condition,
            best.values,
            best.missed_by_ms,
        )

    @staticmethod
    def _branch(pattern: m.Pattern, path: Path, branch: m.Pattern) -> m.Pattern:
        return trees.changed(
            pattern, path, lambda s: msgspec.structs.replace(s, node=m.GroupNode(branch), name=None)
        )
