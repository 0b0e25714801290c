"""What happens to an event that fits something: which rules are told, and that it is kept.

Most rules an event fits need not be told: it is of no use to a rule of which no run is open on the device
and that it does not begin. So the cost grows with the rules that are at work on the device, not with those
that are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsl import model as m
from engine.alerts import Alert
from engine.baselines import Reading
from engine.debt import PAID_BY_EVENT, Debt
from engine.device_log import DeviceLog, DeviceLogs, Fits, Logged
from engine.events import Event
from engine.keys import KeyOf, may_lack_key
from engine.rule_runtime import RuleRuntime

_NONE: dict[int, None] = {}


class KindFit:
    """Takes the events of one kind that fit a rule.

    Args:
        event: the kind.
        always: for each rule that every event of the kind fits, the bits of its sources.
        logs: of the rules that share them.
        sharing: the rules that share the logs.
        runtimes: all rules.
        asking: some rule asks something of the events of the kind.
        changed: told of a device before anything that is known of it changes.
        debt: of reruns; every event that fits something pays a little back.

    Attributes:
        taken: events that came in here.
        duplicates: those that had come before.
        ends_only: rules only wait for this kind, and none has to be told of it where no run is open: then
            generated code only keeps it (``engine.kind_code``).
        unkeyed: for each group of rules that every event of the kind fits, by their key fields: events
            without a key.
    """

    def __init__(
        self,
        event: m.EventType,
        always: dict[int, int],
        logs: DeviceLogs,
        sharing: frozenset[int],
        runtimes: Sequence[RuleRuntime],
        asking: bool,
        changed: Callable[[str], None],
        debt: Debt,
    ) -> None:
        self._changed = changed
        self._debt = debt
        self._logs = logs
        self._runtimes = runtimes
        self._sharing = sharing
        self.always = always
        self.taken = self.duplicates = 0
        # Bits with which an event is news to a rule that has no state: those that may start a run.
        self._begins = [
            runtime.plan.table.start_mask if index in sharing else -1
            for index, runtime in enumerate(runtimes)
        ]
        self._visits: Fits = tuple(
            (rule, mask) for rule, mask in sorted(always.items()) if mask & self._begins[rule]
        )
        visited = {rule for rule, _ in self._visits}
        self._ends = {rule: mask for rule, mask in always.items() if rule not in visited}
        self._logs_all = any(rule in sharing for rule in always)
        # Rules that are not told of an event count it all the same, where it lacks their key.
        groups: dict[tuple[str, ...], list[int]] = {}
        for rule in self._ends:
            if may_lack_key(event, runtimes[rule].plan.key_fields):
                groups.setdefault(runtimes[rule].plan.key_fields, []).append(rule)
        kind = event.kind
        self._groups: list[tuple[KeyOf, tuple[int, ...]]] = [
            (runtimes[rules[0]].keys[kind], tuple(rules)) for rules in groups.values()
        ]
        self.unkeyed = [0] * len(self._groups)
        self._counted = frozenset(rule for _, rules in self._groups for rule in rules)
        self._kind = kind
        self.ends_only = bool(self._ends) and self._logs_all and not (self._visits or self._groups or asking)

    def names(self, number: str) -> dict[str, object]:
        """What the code needs that keeps an event without asking here."""
        logs = self._logs
        return {
            f"fit{number}": self,
            "log_of": logs.logs.get,
            "open_log": logs.open,
            "Logged": Logged,
            "changed": self._changed,
            "debt": self._debt,
            "PAID_BY_EVENT": PAID_BY_EVENT,
            "trim": logs.trim,
        }

    def take(
        self,
        event: Event,
        position: int,
        fits: Fits,
        readings: dict[str, Reading] | None,
        out: list[Alert],
    ) -> None:
        """An event. ``fits``: the rules it fits besides those that every event of the kind does."""
        self.taken += 1
        self._changed(event.device)
        if self._debt.owed:
            self._debt.pay(PAID_BY_EVENT, out)
        runtimes = self._runtimes
        active: dict[int, None] = _NONE
        log = None
        late = False
        told: list[tuple[int, int]] = []
        device = event.device
        shared = self._logs_all
        if not shared:
            for rule, _ in fits:
                if rule in self._sharing:
                    shared = True
        if shared:
            logs = self._logs
            log = logs.logs.get(device)
            if log is None:
                log = logs.open(device, event.time)  # type: ignore[arg-type]  # the decoder has made it an int
            active = log.active
            entries = log.entries
            if entries and event.time <= entries[-1].time:  # type: ignore[operator]  # likewise
                if event.id is not None and log.has_duplicate(event):
                    self._again(event, position, fits, readings, out)
                    return
                late = True
                active = log.states
                self._keep(log, event, position, fits, readings)
        begins = self._begins
        for fit in fits:
            rule, mask = fit
            runtimes[rule].fits += 1
            if mask & begins[rule] or rule in active:
                told.append(fit)
        if active and self._ends:
            ends = self._ends
            for rule in active:
                bits = ends.get(rule)
                if bits is not None:
                    told.append((rule, bits))
        if self._visits:
            told.extend(self._visits)
        if len(told) > 1:
            told.sort()
        for number, (key_of, _) in enumerate(self._groups):
            if key_of(event) is None:
                self.unkeyed[number] += 1
        kind = self._kind
        for rule, mask in told:
            runtime = runtimes[rule]
            key = runtime.keys[kind](event)
            if key is not None:
                if rule in self._sharing:
                    runtime.take(event, position, mask, key, readings, out, log, late)
                else:
                    runtime.take(event, position, mask, key, readings, out)
            elif rule not in self._counted:
                runtime.no_key()
        if log is not None and not late:
            self._keep(log, event, position, fits, readings)

    def _keep(
        self,
        log: DeviceLog,
        event: Event,
        position: int,
        fits: Fits,
        readings: dict[str, Reading] | None,
    ) -> None:
        if event.start is not None:
            log.longest = max(log.longest, event.time - event.start)  # type: ignore[operator]  # both are ints
        # Its name is kept once, however many events of it are.
        event.device = log.device
        self._logs.add(log, Logged(event.time, position, event, fits, readings))  # type: ignore[arg-type]  # an int

    def _again(
        self,
        event: Event,
        position: int,
        fits: Fits,
        readings: dict[str, Reading] | None,
        out: list[Alert],
    ) -> None:
        """An event that is kept already. Rules that do not share the logs see to it themselves."""
        self.duplicates += 1
        for rule, mask in sorted((*fits, *self._visits)):
            runtime = self._runtimes[rule]
            if rule not in self.always:
                runtime.fits += 1
            if rule in self._sharing:
                runtime.duplicates += 1
                continue
            key = runtime.keys[self._kind](event)
            if key is not None:
                runtime.take(event, position, mask, key, readings, out)

    def counts(self, rule: int) -> tuple[int, int, int]:
        """Of the events a rule is not told of one by one: those that fit it, came twice, lacked its key."""
        if rule not in self.always:
            return 0, 0, 0
        unkeyed = sum(
            count for count, (_, rules) in zip(self.unkeyed, self._groups, strict=True) if rule in rules
        )
        return self.taken, self.duplicates if rule in self._ends else 0, unkeyed

    def state(self) -> list[object]:
        """The counters, for snapshots."""
        return [self.taken, self.duplicates, self.unkeyed]

    def restore(self, state: list[object]) -> None:
        """Go on from what :meth:`state` gave."""
        self.taken, self.duplicates, self.unkeyed = state  # type: ignore[assignment]  # as it was written
