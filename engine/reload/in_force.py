"""The rules that are in force: one matcher, and old versions that still drain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from dsl import model as m
from engine.alerts import Alert
from engine.baselines.declared import OtherState
from engine.matcher import Matcher
from engine.reload.bundle import Bundle, bundle_of
from engine.reload.compare import Change, compare
from engine.reload.draining import Drain, DrainRecord
from engine.reload.leftovers import Leftovers
from engine.reload.prepare import Prepared, make_matcher
from engine.reload.report import ReloadReport, RuleReport, state_of
from engine.reload.side import Side, begin_cold, keep_entries
from engine.reload.since import Begin, look_back
from engine.reload.transfer import Known, Transferred, known_of, latest, transfer
from engine.state import parts
from engine.state.device_parts import all_keys

MOST_DRAINS: Final = 8
"""Old sets that drain at a time; each decodes every message once more. Beyond it the oldest ends early."""
RECORD_VERSION: Final = 2


class Record(msgspec.Struct, frozen=True):
    """Which rules are in force, since when, and what drains: all but the state of the current matcher.

    ``since``: for rules that began cold, when that was. ``begun``: drains that ever were. With each drain the
    state of its matcher: whole, or what belongs to no device.
    """

    version: int
    bundle: Bundle
    sequence: int
    at_ms: int
    since: dict[str, Begin]
    begun: int
    drains: tuple[tuple[DrainRecord, bytes], ...]


class InForce:
    """The rules in force. A reload is :meth:`swap`, between two messages.

    Args:
        bundle: the set.
        ruleset: the same, loaded.
        matcher: of it, new; made here if it is left out.
    """

    def __init__(self, bundle: Bundle, ruleset: m.RuleSet, matcher: Matcher | None = None) -> None:
        self.bundle = bundle
        self.ruleset = ruleset
        self.matcher = make_matcher(ruleset) if matcher is None else matcher
        self.drains: list[Drain] = []
        self.sequence = 0
        """The message after which the set came into force; 0: it was there from the beginning."""
        self.at_ms = 0
        self.report: ReloadReport | None = None
        """Of the last reload in this process."""
        self.leftovers = Leftovers()
        """What is no longer in force and is to be taken apart."""
        self.unread: frozenset[str] = frozenset()
        """Paths of LIST files that could not be read again; the state has their entries."""
        self._since: dict[str, Begin] = {}
        self._begun = 0

    @classmethod
    def of(cls, ruleset: m.RuleSet) -> InForce:
        """A set that is loaded, from the beginning."""
        return cls(bundle_of(ruleset), ruleset)

    @property
    def begins(self) -> Mapping[str, Begin]:
        """For rules that were not there from the beginning, since when they know anything. Where that is
        before they came into force, they were filled with all from there on.
        """
        return self._since

    def drained(
        self, payload: bytes, content_type: str | None, sequence: int, received_ms: int, latest_ms: int
    ) -> list[Alert]:
        """What the old versions say of a message, once the matcher has had it. Those that are over go."""
        found: list[Alert] = []
        for drain in self.drains:
            found += drain.take(payload, content_type, sequence, received_ms, latest_ms)
        self._end(received_ms)
        return found

    def advance(self, now_ms: int) -> list[Alert]:
        """The wall clock shows a time: the alerts of all versions."""
        found = self.matcher.advance(now_ms)
        for drain in self.drains:
            found += drain.advance(now_ms)
        self._end(now_ms)
        return found

    def _end(self, now_ms: int) -> None:
        over = [drain for drain in self.drains if drain.over(now_ms)]
        if over:
            self.drains = [drain for drain in self.drains if drain not in over]
            self.leftovers.add(drain.matcher for drain in over)

    def end_drains(self) -> None:
        """All old versions are over at once."""
        self.leftovers.add(drain.matcher for drain in self.drains)
        self.drains = []

    def begins_cold(self, prepared: Prepared) -> bool:
        """Whether any rule or baseline of a set would know nothing of what was before."""
        return any(begin_cold(self.matcher, prepared.matcher))

    def beside(self, prepared: Prepared) -> Side:
        """The rules of a set that would begin cold, to be filled with the past before it comes into force. It
        takes as long as making a set ready.
        """
        return Side(self.matcher, self.ruleset, prepared)

    def swap(self, prepared: Prepared, sequence: int, at_ms: int, side: Side | None = None) -> ReloadReport:
        """Put another set in force after the message ``sequence``, which was stored at ``at_ms``.

        ``side``: of that set, with what its rules are to know; it has taken the messages up to that one, and
        what it said is unsaid. One that has taken none leaves them cold.

        Takes time by the number of devices, so the service has it done beside the event loop, while it takes
        in nothing. If it raises, nothing has changed.
        """
        old, new = self.matcher, prepared.matcher
        changes = compare(old, new)
        kept = [change.rule for change in changes if state_of(change) == "kept"]
        if side is not None and not side.first:
            side = None
        if side is not None and side.rules != set(new.rules) - set(kept):
            raise ValueError("the rules that were filled are not those that begin cold")
        keep_entries(old, self.ruleset, new, prepared.ruleset)
        moved = transfer(old, new, kept, None if side is None else side.filled)
        drains = self.drains
        changed = [change.rule for change in changes if state_of(change) == "drained"]
        known = {runtime.plan.rule.name: known_of(runtime) for runtime in old.runtimes}
        draining = [name for name in changed if known[name].devices]
        if draining:
            drain = Drain(
                str(self._begun + 1), self.bundle, self.ruleset, draining, sequence, at_ms, self._since
            )
            transfer(old, drain.matcher, drain.transferred)
            for name, test in drain.matcher.plan.lists.items():
                # Its set was loaded long ago; the entries may have been read anew since.
                test.replace(tuple(sorted(old.plan.lists[name].entries)))
            drain.look_back()
            drains = [*drains, drain]
        early = tuple(f"{name} (sequence {d.sequence})" for d in drains[:-MOST_DRAINS] for name in d.rules)
        report = ReloadReport(
            sequence,
            at_ms,
            self.bundle.hash,
            prepared.bundle.hash,
            tuple(_of_rule(change, moved, known) for change in changes),
            tuple(sorted(moved.baselines)),
            tuple(sorted(new.baselines.declared.keys() - moved.baselines - moved.filled)),
            early,
            None if side is None else side.filled_with,
            tuple(sorted(moved.filled)),
        )
        since = {name: self._since[name] for name in kept if name in self._since}
        begin = _begin(old, sequence, side)
        since |= {name: begin for name in new.rules if name not in kept}
        # What is stored of a device may be of the old set, and is written anew or removed.
        new.changes.note_all([*old.changes.touched, *all_keys(old)])
        self._begun += bool(draining)
        self.leftovers.add([old, *(drain.matcher for drain in drains[:-MOST_DRAINS])])
        if side is not None:
            self.leftovers.add([side.matcher])
        self.drains = drains[-MOST_DRAINS:]
        self.bundle, self.ruleset, self.matcher = prepared.bundle, prepared.ruleset, new
        self.sequence, self.at_ms, self.report = sequence, at_ms, report
        self._since = since
        self._follow()
        self.look_back()
        return report

    def _follow(self) -> None:
        """What changes in old versions is told to who notes it for the next cut."""
        for drain in self.drains:
            drain.matcher.changes.follow(self.matcher.changes)

    # --- state

    def cut(self) -> tuple[bytes, parts.Cut]:
        """The state now, in parts: the record for :meth:`restore_parts`, and the cut of all matchers."""
        cut = parts.cut(self.matcher, {drain.name: drain.matcher for drain in self.drains})
        return self._record(cut.others), cut

    def _record(self, states: Mapping[str, bytes]) -> bytes:
        """All but the state of the current matcher, with those of the old versions by name."""
        drains = tuple((drain.record(), states[drain.name]) for drain in self.drains)
        return msgspec.msgpack.encode(
            Record(RECORD_VERSION, self.bundle, self.sequence, self.at_ms, self._since, self._begun, drains)
        )

    @classmethod
    def _resume(cls, record: bytes, loaded: InForce | None = None) -> tuple[InForce, dict[str, bytes]]:
        """The rules of a record, and the states of old versions by name. The states of all matchers are to be
        restored then, and `look_back` called.

        Args:
            record: what :meth:`_record` gave.
            loaded: rules that have seen no event; they serve if they are the same.

        Raises:
            OtherState: the record is damaged or of another version, or its rules do not load as they did.
        """
        try:
            known = msgspec.msgpack.decode(record, type=Record)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise OtherState("the record of the rules in force is damaged") from error
        if known.version != RECORD_VERSION:
            raise OtherState(
                f"the record of the rules in force has version {known.version}, and this program reads "
                f"version {RECORD_VERSION}"
            )
        if loaded is not None and loaded.bundle.hash == known.bundle.hash and not loaded.ruleset.errors:
            found = cls(loaded.bundle, loaded.ruleset, loaded.matcher)
        else:
            ruleset, unread = known.bundle.load_again()
            found = cls(known.bundle, ruleset)
            found.unread = unread
        found.sequence, found.at_ms = known.sequence, known.at_ms
        for of_drain, _ in known.drains:
            ruleset, _ = of_drain.bundle.load_again()
            gone = [name for name in of_drain.rules if name not in ruleset.rules]
            if gone:
                raise OtherState(f"the draining rule {gone[0]} does not load any more")
            where = of_drain.sequence, of_drain.at_ms, of_drain.since
            drain = Drain(of_drain.name, of_drain.bundle, ruleset, of_drain.rules, *where)
            drain.resume(of_drain)
            found.drains.append(drain)
        found._since, found._begun = known.since, known.begun
        return found, {of_drain.name: state for of_drain, state in known.drains}

    def look_back(self) -> None:
        """Have the gaps of rules that began later say since when they know anything."""
        look_back(self.matcher, self._since)

    def snapshot(self) -> tuple[bytes, bytes]:
        """The record and the state of the matcher."""
        states = {drain.name: drain.matcher.snapshot() for drain in self.drains}
        return self._record(states), self.matcher.snapshot()

    @classmethod
    def restore(cls, record: bytes, state: bytes) -> InForce:
        """From what :meth:`snapshot` gave. Raises `OtherState`."""
        found, states = cls._resume(record)
        found.matcher.restore(state)
        for drain in found.drains:
            drain.matcher.restore(states[drain.name])
        found._restored()
        return found

    @classmethod
    def restore_parts(
        cls,
        record: bytes,
        shared: bytes,
        devices: Iterable[tuple[str, bytes]],
        loaded: InForce | None = None,
    ) -> InForce:
        """From what :meth:`cut` gave.

        Args:
            record: of the last cut.
            shared: what belonged to no device then.
            devices: for each device the newest part that any cut gave, unless that was None.
            loaded: rules that have seen no event; they serve if they are the same.

        Raises:
            OtherState: the state is damaged or of another version, or its rules do not load as they did.
        """
        found, states = cls._resume(record, loaded)
        beside = {drain.name: (drain.matcher, states[drain.name]) for drain in found.drains}
        parts.restore(found.matcher, shared, devices, beside)
        found._restored()
        return found

    def _restored(self) -> None:
        for drain in self.drains:
            drain.look_back()
        self._follow()
        self.look_back()


def _begin(old: Matcher, sequence: int, side: Side | None) -> Begin:
    """Since when rules know anything that were not in force before the message ``sequence`` was read."""
    since = None if side is None else side.matcher.sightings.since
    if side is not None and since is not None:
        return Begin(side.first - 1, since)
    time = latest(old)
    return Begin(sequence, 0 if time is None else time + 1)


def _of_rule(change: Change, moved: Transferred, known: dict[str, Known]) -> RuleReport:
    state, anew = state_of(change), moved.rules.get(change.rule)
    if state == "cold" and anew is not None:
        state = "filled"
    of_rule = known.get(change.rule, Known()) if state in ("drained", "dropped") else anew or Known()
    return RuleReport(
        *(change.rule, change.fate, state, of_rule.devices, of_rule.partial, of_rule.alerts, change.why),
        anew=anew.partial if state == "drained" and anew is not None else None,
    )
