"""Which sources a rule has and which fields of events they read."""

from __future__ import annotations

from typing import Any

from dsl import expressions as e
from dsl import model as m
from engine.chains import Chain, Gather, Level, chains_of, sources_of


def sources_in(chains: tuple[Chain, ...], rule: m.Rule) -> list[m.Source]:
    """Every source object once, in the order written. One source may stand on several chains."""
    found: dict[int, m.Source] = {}
    for chain in chains:
        for source in sources_of(chain):
            found.setdefault(id(source), source)
    for veto in rule.unless:
        found.setdefault(id(veto.source), veto.source)
    return list(found.values())


def collect_fields(
    rule: m.Rule, keys: tuple[str, ...], kinds: tuple[str, ...], values: list[Any], read: dict[str, set[str]]
) -> None:
    """Note every field of every kind that a rule needs decoded: its keys, filters and ``values``."""
    chains = chains_of(rule.pattern)
    for kind in kinds:
        read.setdefault(kind, set()).update(keys)
    sources = sources_in(chains, rule)
    for source in sources:
        for member in source.members:
            for node in e.walk(member.condition):
                if isinstance(node, e.Field) and node.step is None:
                    read[member.kind].add(node.name)
    counted = _counted_fields(chains)
    parts: list[Any] = [*values, *(x.condition for source in sources for x in source.members)]
    named = set(counted)
    for node in (node for part in parts for node in e.walk(part)):
        if isinstance(node, e.Field) and node.step is not None:
            named.add(node.name)
        elif isinstance(node, e.StepAggregate | e.InStep) and node.field is not None:
            named.add(node.field)
    for kind in kinds:
        read[kind].update(named)


def _counted_fields(chains: tuple[Chain, ...]) -> set[str]:
    """The fields that AT LEAST counts or sums."""
    found: set[str] = set()
    for step in (step for chain in chains for step in chain.steps):
        if isinstance(step.what, Level) and step.what.field is not None:
            found.add(step.what.field)
        elif isinstance(step.what, Gather):
            for branch in step.what.branches:
                found |= _counted_fields(branch)
    return found
