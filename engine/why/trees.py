"""Patterns taken apart: lines without ONE OF, their leaves, cut off behind one, changed at one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m

MAX_LINES = 16
"""Combinations of branches of ONE OF that are looked at."""

Path = tuple[int, ...]
"""Where a step stands: its index in each pattern from the outermost, through groups."""


def lines(pattern: m.Pattern) -> list[m.Pattern]:
    """The pattern with one branch in place of each ONE OF, in every combination, the first ones."""
    return [_known_names(line) for line in islice(_lines(pattern), MAX_LINES)]


def _lines(pattern: m.Pattern) -> Iterator[m.Pattern]:
    options = [list(islice(_step_lines(step), MAX_LINES)) for step in pattern.steps]
    for steps in product(*options):
        yield msgspec.structs.replace(pattern, steps=steps)


def _step_lines(step: m.Step) -> Iterator[m.Step]:
    match step.node:
        case m.GroupNode():
            inside: Iterator[m.Pattern] = _lines(step.node.pattern)
        case m.OneOfNode():
            inside = (line for branch in step.node.branches for line in _lines(branch))
        case _:
            yield step
            return
    for line in inside:
        yield msgspec.structs.replace(step, node=m.GroupNode(line))


def leaves(pattern: m.Pattern, path: Path = ()) -> Iterator[tuple[Path, m.Step]]:
    """The steps that are no groups, in order, with their places."""
    for index, step in enumerate(pattern.steps):
        if isinstance(step.node, m.GroupNode):
            yield from leaves(step.node.pattern, (*path, index))
        else:
            yield (*path, index), step


def cut(pattern: m.Pattern, count: int) -> m.Pattern:
    """The first so many leaves; bounds and guards stay as they are."""
    steps: list[m.Step] = []
    for step in pattern.steps:
        if count <= 0:
            break
        if isinstance(step.node, m.GroupNode):
            inner = cut(step.node.pattern, count)
            count -= sum(1 for _ in leaves(inner))
            step = msgspec.structs.replace(step, node=m.GroupNode(inner))
        else:
            count -= 1
        steps.append(step)
    return msgspec.structs.replace(pattern, steps=tuple(steps))


def changed(pattern: m.Pattern, path: Path, change: Callable[[m.Step], m.Step]) -> m.Pattern:
    """The pattern with another step, or group, at a place."""
    index, *rest = path
    step = pattern.steps[index]
    if rest:
        assert isinstance(step.node, m.GroupNode)
        inner = changed(step.node.pattern, tuple(rest), change)
        step = msgspec.structs.replace(step, node=m.GroupNode(inner))
    else:
        step = change(step)
    return msgspec.structs.replace(pattern, steps=(*pattern.steps[:index], step, *pattern.steps[index + 1 :]))


def changed_pattern(pattern: m.Pattern, path: Path, change: Callable[[m.Pattern], m.Pattern]) -> m.Pattern:
    """The pattern with another group pattern at a place; the place () is the whole."""
    if not path:
        return change(pattern)

    def inside(step: m.Step) -> m.Step:
        assert isinstance(step.node, m.GroupNode)
        return msgspec.structs.replace(step, node=m.GroupNode(change(step.node.pattern)))

    return changed(pattern, path, inside)


def removed(pattern: m.Pattern, path: Path) -> m.Pattern:
    """The pattern without the step at a place."""

    def change(inner: m.Pattern) -> m.Pattern:
        steps = (*inner.steps[: path[-1]], *inner.steps[path[-1] + 1 :])
        return msgspec.structs.replace(inner, steps=steps)

    return changed_pattern(pattern, path[:-1], change)


def at(pattern: m.Pattern, path: Path) -> m.Step:
    """The step or group at a place."""
    step = pattern.steps[path[0]]
    for index in path[1:]:
        assert isinstance(step.node, m.GroupNode)
        step = step.node.pattern.steps[index]
    return step


def rewritten(node: Any, change: Callable[[Any], Any]) -> Any:
    """A tree of structs with parts put in place of others: ``change`` gives the new part, or None."""
    new = change(node)
    if new is not None:
        return new
    if isinstance(node, tuple):
        return tuple(rewritten(item, change) for item in node)
    if isinstance(node, msgspec.Struct):
        fields = {name: getattr(node, name) for name in node.__struct_fields__}
        found = {name: rewritten(value, change) for name, value in fields.items()}
        if any(found[name] is not fields[name] for name in fields):
            return msgspec.structs.replace(node, **found)
    return node


def _names(pattern: m.Pattern) -> Iterator[str]:
    for step in pattern.steps:
        if step.name is not None:
            yield step.name
        match step.node:
            case m.GroupNode():
                yield from _names(step.node.pattern)
            case m.AllOfNode() | m.AnyOfNode() | m.OneOfNode():
                for branch in step.node.branches:
                    yield from _names(branch)
            case _:
                pass


def _known_names(pattern: m.Pattern) -> m.Pattern:
    """Fields of steps that stand on another branch are missing on this line."""
    known = frozenset(_names(pattern))

    def change(node: Any) -> Any:
        if isinstance(node, e.InStep) and node.step not in known:
            return e.NEVER
        if (
            isinstance(node, e.Field | e.StepAggregate | e.BaselineValue)
            and node.step is not None
            and node.step not in known
        ):
            return e.Missing(node.type)
        return None

    result: m.Pattern = rewritten(pattern, change)
    return result
