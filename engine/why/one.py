"""What one thing was in the way of a step: each is taken away in turn, and the engine is asked again."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl import model as m
from engine.explain import words
from engine.why import loosen, trees
from engine.why.miss import Asking, Miss, Timed, bound_miss, distance, said_values, term_values, truth
from engine.why.trees import Path


class OneThing:
    """Asks about the last step of a pattern, which no run completes."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def misses(self, pattern: m.Pattern, path: Path) -> Iterator[Miss]:
        """Each thing without which the step would be completed."""
        ask = self._asking.ask
        for loosened in loosen.without_guards(pattern, path):
            if loosened.guard is not None and ask(loosened.pattern):
                yield self._voided(f"guard `{loosened.guard.text}`", loosened.guard, pattern)
        for place, step in list(trees.leaves(pattern))[:-1]:
            # NO at the beginning looks back from the first event; elsewhere it is a step of its own.
            if not isinstance(step.node, m.AbsenceNode):
                break
            if ask(trees.removed(pattern, place)):
                yield self._voided(f"`NO {step.node.source.text}`", step.node.source, pattern)
        for loosened in loosen.without_bounds(pattern, path):
            miss = bound_miss(
                self._asking, ask(loosened.pattern), loosened, _first_leaf(pattern, loosened.whole)
            )
            if miss is not None:
                yield miss
        alias = trees.at(pattern, path).name or ""
        several = isinstance(trees.at(pattern, path).node, m.LevelNode)
        for loosened in loosen.without_terms(pattern, path):
            values = {} if several else term_values(loosened.condition, alias)
            found = ask(loosened.pattern, values)
            if found:
                nearest = min(found, key=lambda timed: distance(loosened.condition, timed.values))
                said = said_values(nearest.values, values)
                text = words.condition(loosened.condition)
                yield Miss(
                    "filter",
                    f"{self._asking.event(nearest)}: `{text}` was false{': ' if said else ''}{said}",
                    3,
                    nearest.kinds[-1],
                    nearest.times[-1],
                    text,
                    nearest.values,
                )
        yield from self._keys(pattern)
        late = ask(pattern, late=True)
        if late:
            yield Miss(
                "late",
                f"{self._asking.event(late[0])} came later than LATE of its type allows, and was not matched",
                2.5,
                late[0].kinds[-1],
                late[0].times[-1],
            )

    def _voided(self, shown: str, source: m.Source, pattern: m.Pattern) -> Miss:
        voider = self._asking.voider(source, pattern)
        if voider is None:
            return Miss("guard", f"{shown} voided it, more than once", 1)
        kind, time = voider
        text = f"{shown}: {words.kind(kind)} at {self._asking.when(time)} voided it"
        return Miss("guard", text, 1, kind, time)

    def _keys(self, pattern: m.Pattern) -> Iterator[Miss]:
        leaves = list(trees.leaves(pattern))
        alias, first = leaves[-1][1].name, leaves[0][1].name
        for key in self._asking.probe.rule.by:
            if key == "device":
                found = self._asking.ask(pattern, dropped_key=key)
                if found and len(set(found[0].devices) - {None}) > 1:
                    names = [x for x in found[0].devices if x is not None]
                    text = f'is of device "{names[-1]}", the run of "{names[0]}"'
                    yield self._key(found[0], key, text)
                continue
            several = isinstance(leaves[-1][1].node, m.LevelNode | m.AllOfNode | m.AnyOfNode)
            values: dict[str, e.Value] = {}
            if alias is not None and not several:
                values["that"] = e.Field(alias, key, e.Type(e.STRING), True)
            if first is not None and first != alias and isinstance(leaves[0][1].node, m.EventNode):
                values["run"] = e.Field(first, key, e.Type(e.STRING), True)
            found = self._asking.ask(pattern, values, dropped_key=key)
            if found:
                yield self._key(found[0], key, _key_text(key, found[0]))

    def _key(self, timed: Timed, key: str, text: str) -> Miss:
        return Miss("key", f"{self._asking.event(timed)} {text}", 4, timed.kinds[-1], timed.times[-1], key)

    def several(self, pattern: m.Pattern, path: Path) -> Miss | None:
        """The nearest event where more than one thing is in the way, and all that is false of it."""
        """Without the whole filter, then without bounds and guards as well: what is false of that event."""
        step = trees.at(pattern, path)
        source = loosen.source_of(step)
        best: Miss | None = None
        for index, member in enumerate(source.members if source is not None else ()):
            plain = loosen.only_kind(pattern, path, index)
            terms = e.conjuncts(member.condition)
            alias = step.name or ""
            values: dict[str, e.Value] = {f"term {i}": truth(term, alias) for i, term in enumerate(terms)}
            for far, also, loosened in (
                (10, "", plain),
                (11, " and the time does not fit", loosen.without_any_bound(plain, path)),
                (
                    12,
                    " and neither time nor guards let it through",
                    loosen.without_any_guard(loosen.without_any_bound(plain, path), path),
                ),
            ):
                found = self._asking.ask(loosened, values)
                if not found:
                    continue
                timed = found[0]
                false = [t for i, t in enumerate(terms) if timed.values.get(f"term {i}") != 1]
                text = words.listed([f"`{words.condition(term)}`" for term in false], "and")
                wrong = (
                    f"{text} {'was' if len(false) == 1 else 'were'} false" if false else "every term holds"
                )
                miss = Miss(
                    "filter",
                    f"the nearest is {self._asking.event(timed)}, but {wrong}{also}",
                    far + len(false),
                    timed.kinds[-1],
                    timed.times[-1],
                    text or None,
                )
                if best is None or miss.far < best.far:
                    best = miss
                break
        return best


def _first_leaf(pattern: m.Pattern, whole: Path | None) -> int:
    """The leaf that a bound is measured from: the first of its pattern, or the one before the step."""
    paths = [path for path, _ in trees.leaves(pattern)]
    if whole is None:
        return 0
    return next(i for i, path in enumerate(paths) if path[: len(whole)] == whole)


def _key_text(key: str, timed: Timed) -> str:
    that, run = timed.values.get("that"), timed.values.get("run")
    if that is None and "that" in timed.values:
        return f"has no `{key}`, which is a key of the rule"
    if run is None and "run" in timed.values:
        return f"follows an event that has no `{key}`, which is a key of the rule"
    shown = "" if that is None else f': "{that}"' + ("" if run is None else f', the run has "{run}"')
    return f"has another `{key}`{shown}"
