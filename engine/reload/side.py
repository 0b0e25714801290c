"""Rules that would begin cold at a reload, getting to know the past beside those that are in force.

They run in a matcher of their own, which is fed with what the stream holds of the past, up to the message
after which they come into force. What it says meanwhile is for nobody (``engine.unsaid``).
"""

from __future__ import annotations

import msgspec

from dsl import model as m
from engine.matcher import Matcher
from engine.reload.baselines import kept_baselines
from engine.reload.compare import compare
from engine.reload.prepare import Prepared, make_matcher
from engine.reload.report import FilledWith, state_of
from engine.reload.transfer import Filled
from engine.why.probe import rules_with_read


def keep_entries(old: Matcher, of_old: m.RuleSet, new: Matcher, of_new: m.RuleSet) -> None:
    """Give LISTs of a new matcher the entries that are in force: a file was read when its set was loaded, and
    the running set may have read it since. Not those that it declares otherwise.
    """
    for name, test in new.plan.lists.items():
        was = of_old.lists.get(name)
        if was is not None and was == of_new.lists[name]:
            test.replace(tuple(sorted(old.plan.lists[name].entries)))


def begin_cold(old: Matcher, new: Matcher) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the rules and of the baselines of a set that would begin cold."""
    states = {change.rule: state_of(change) for change in compare(old, new)}
    rules = frozenset(name for name in new.rules if states[name] != "kept")
    return rules, frozenset(new.baselines.declared) - kept_baselines(old.baselines, new.baselines)


class Side:
    """The rules of a set that would begin cold. To be told of every message that its matcher takes.

    Args:
        old: in force.
        of_old: its set.
        prepared: the set that is to follow.

    Attributes:
        rules: names of those that would begin cold, and
        baselines: those of baselines.
        ruleset: these rules, and those whose alerts they read: of the past, these begin cold as well.
        matcher: of this set. LISTs have the entries that are in force now, and keep them.
    """

    def __init__(self, old: Matcher, of_old: m.RuleSet, prepared: Prepared) -> None:
        new = prepared.matcher
        self.rules, self.baselines = begin_cold(old, new)
        needed: dict[str, m.Rule] = {}
        for name in new.rules:
            if name in self.rules:
                needed |= rules_with_read(prepared.ruleset, name)
        self.ruleset = msgspec.structs.replace(prepared.ruleset, rules=needed)
        # With the fields that the others read, so that its alerts look the same before and after.
        self.matcher = make_matcher(self.ruleset, new.plan.read)
        keep_entries(old, of_old, self.matcher, self.ruleset)
        self.first = 0
        """The first message that it took; 0 before it."""
        self.last = 0
        self.stored_ms = 0
        """When the first was stored."""
        self.messages = 0

    def took(self, first: int, count: int, stored_ms: int) -> None:
        """It has taken so many messages that follow each other, the first of which was stored then."""
        if not self.first:
            self.first, self.stored_ms = first, stored_ms
        self.last = first + count - 1
        self.messages += count

    @property
    def filled(self) -> Filled:
        """What there is to be had from it."""
        return Filled(self.matcher, self.rules)

    @property
    def filled_with(self) -> FilledWith:
        """The part of the stream that it has read."""
        return FilledWith(self.first, self.stored_ms, self.messages)
