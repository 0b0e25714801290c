"""How often events fit the steps and guards of each rule: what tells a silent rule from a blind one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import msgspec

from dsl import model as m
from engine.chains import Absence, Chain, Gather, chains_of
from engine.plan import RulePlan
from engine.plan_fields import sources_in

MAX_DEVICES = 10_000
"""Devices of a rule that are told apart; of those that come later only the events count."""
Part = Literal["step", "guard"]


class SourceFits(msgspec.Struct, frozen=True):
    """One thing that a rule looks for. ``fits``: events that pass what of its filter reads no other step.

    ``part``: a guard (WITHOUT, NO, UNLESS) is better not met. ``name``: what an alert calls the step.
    """

    part: Part
    name: str
    text: str
    kinds: tuple[str, ...]
    fits: int


class Fits:
    """Counts while events go in: give :meth:`note` to the matcher as ``on_fit``."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int]] = Counter()
        self._devices: dict[int, dict[str, int]] = {}

    def note(self, rule: int, mask: int, device: str) -> None:
        """An event of a device fits the sources of a rule whose bits are in the mask."""
        self._counts[rule, mask] += 1
        devices = self._devices.setdefault(rule, {})
        known = devices.get(device)
        if known is not None:
            devices[device] = known | mask
        elif len(devices) < MAX_DEVICES:
            devices[device] = mask

    def furthest(self, plan: RulePlan) -> str | None:
        """The device on which, besides the first, most different steps of a rule were fitted; of several the
        first by name. None if the first step was not.
        """
        steps = sum(1 << bit for bit, source in enumerate(self.of(plan)) if source.part == "step")
        found = sorted(
            (-(mask & steps).bit_count(), device)
            for device, mask in self._devices.get(plan.index, {}).items()
            if mask & plan.table.start_mask
        )
        return found[0][1] if found else None

    def of(self, plan: RulePlan) -> list[SourceFits]:
        """The sources of a rule in the order written, with their counts."""
        chains = chains_of(plan.rule.pattern)
        masks = [(mask, count) for (rule, mask), count in self._counts.items() if rule == plan.index]
        parts = _parts(chains)
        return [
            SourceFits(
                *parts.get(id(source), ("guard", source.text)),
                source.text,
                tuple(dict.fromkeys(member.kind for member in source.members)),
                sum(count for mask, count in masks if mask >> bit & 1),
            )
            for bit, source in enumerate(sources_in(chains, plan.rule))
        ]


def _parts(chains: tuple[Chain, ...]) -> dict[int, tuple[Part, str]]:
    """Of each source of the pattern, by identity, what it is there for. What is missing is an UNLESS."""
    found: dict[int, tuple[Part, str]] = {}
    for part, source, name in _walk(chains):
        found.setdefault(id(source), (part, name))
    return found


def _walk(chains: tuple[Chain, ...]) -> Iterator[tuple[Part, m.Source, str]]:
    for step in (step for chain in chains for step in chain.steps):
        part: Part = "guard" if isinstance(step.what, Absence) else "step"
        for choice in step.choices:
            name = choice.names[-1] if choice.names else choice.source.name
            yield part, choice.source, name.replace("_", " ")
        if isinstance(step.what, Gather):
            for branch in step.what.branches:
                yield from _walk(branch)
        for guard in (*step.guards, *(source for source, _ in step.lookbacks)):
            yield "guard", guard, guard.text
