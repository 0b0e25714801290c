"""Absence storms: where the source went silent, not the devices.

A rule that ends in NO, over a heartbeat say, would alert for every device at once when the collector
of the heartbeats stops. So their alerts are held, and one alert says that the source is silent, when more
than a tenth of the devices that wait for a deadline of one rule would alert, and at least ``LEAST`` of them,

- in one step of the clock (DESIGN.md section 3), or
- within ``SHARE`` of the absence, while nobody sends what they wait for. Devices send their heartbeats one
  after another, and so do their deadlines pass; but where nothing was heard of any device for half of the
  absence it is hardly the devices. Their alerts are held while that is being found out.

The storm ends when the source was heard again and, as long as the absence lasts, went on being heard,
so that each device had its chance. Devices that were heard meanwhile are not said: it was the source.
Those that are still silent are said, each with its own alert. The end of input begins no storm, and ends
one only if its source was heard for long enough.

Judging a hundred thousand devices takes its time, so a long step of the clock (``engine.deadlines``) is
suspected, too: what its deadlines complete is held until all of them are judged. The end of a large storm is
told from its devices a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from dsl.units import format_duration
from engine.alerting.identity import semantic_hash
from engine.alerts import (
    SCHEMA,
    Alert,
    Confidence,
    Dedup,
    Plain,
    RuleInfo,
    Timing,
    Window,
    rfc3339,
)
from engine.automaton import Match
from engine.plan import RulePlan
from engine.search_table import SearchTable

LEAST: Final = 20
"""Devices that alert together before it can be a storm: in a small fleet a tenth is one or two."""
SHARE: Final = 0.1
"""The share of the waiting devices, from DESIGN.md section 3; and of the absence: where devices send evenly
spread, this share of them reaches its deadlines meanwhile.
"""
NAMED: Final = 64
"""Devices that the alert of a storm names."""


class Ending(msgspec.Struct):
    """A storm that is ending: its devices are looked at one by one.

    Attributes:
        now: the time at which it ends.
        heard: matches that are not said, as their device was heard again.
        silent: those that will be.
    """

    now: int
    heard: int = 0
    silent: int = 0


class Storm(msgspec.Struct):
    """One source that is silent for one rule.

    Attributes:
        clock: the rule's clock whose types are silent.
        since: the first deadline that is held.
        back: when the source was heard again; None while it is silent.
        alert: as it was said last.
        ending: set while it ends.
    """

    clock: int
    since: int
    alert: Alert
    back: int | None = None
    ending: Ending | None = None


class Suspicion(msgspec.Struct):
    """What may be a storm.

    Attributes:
        clock: of the rule.
        waiting: devices that waited on it at the beginning.
        until: how long it is suspected, where nobody sends the types of the clock; None for a long step,
            which ends when its deadlines are judged.
        since: the first deadline of this rule that it holds; None before that is met.
        completing: devices that would alert, so far.
        named: the first of them.
    """

    clock: int
    waiting: int
    until: int | None = None
    since: int | None = None
    completing: int = 0
    named: list[str] = []


class Storms:
    """The storms of one rule, one for each of its clocks at most."""

    def __init__(self, plan: RulePlan) -> None:
        self._plan = plan
        rule = plan.rule
        version = str(rule.meta.get("version", ""))
        self._info = RuleInfo(rule.name, version, semantic_hash(rule), dict(rule.params))
        self._active: dict[int, Storm] = {}
        self._suspected: dict[int, Suspicion] = {}
        self.devices: dict[str, None] = {}
        """Devices with held matches, in the order in which they were held."""
        # The first of them, last one first: a dict takes ever longer to give its first.
        self._front: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._active or self._suspected)

    def is_storm(self, completing: int, waiting: int) -> bool:
        """Whether so many devices of those that wait are a storm if they alert together."""
        return completing >= LEAST and completing > SHARE * waiting

    def holds(self, match: Match) -> bool:
        """Whether a match rests on a deadline of a storm, or of what may be one."""
        if not (self._active or self._suspected):
            return False
        for deadline, clock in match.waits:
            suspicion = self._suspected.get(clock)
            if suspicion is not None and suspicion.since is not None and suspicion.since <= deadline:
                return True
        return self.silences(match)

    def silences(self, match: Match) -> bool:
        """Whether a match rests on a deadline of a storm."""
        for deadline, clock in match.waits:
            storm = self._active.get(clock)
            if storm is not None and storm.since <= deadline:
                return True
        return False

    @property
    def all(self) -> list[Storm]:
        """Those that last."""
        return list(self._active.values())

    @property
    def suspicions(self) -> list[Suspicion]:
        """What may be one."""
        return list(self._suspected.values())

    @property
    def working(self) -> bool:
        """Whether a storm is ending, or devices are to be settled."""
        return bool(self._front) or self.ending is not None

    @property
    def ending(self) -> Storm | None:
        """One that is ending."""
        return next((storm for storm in self._active.values() if storm.ending is not None), None)

    @property
    def left(self) -> int:
        """How many of the devices, from the first on, are to be looked at: whether they were heard, while a
        storm is ending, else whether what they hold may be said.
        """
        return len(self._front)

    def look_at_all(self) -> None:
        """What is held may be no longer: look at every device. While a storm ends that comes after it."""
        if self.ending is None:
            self._front = list(reversed(self.devices))

    def next(self) -> str | None:
        """Take out the next device that is to be looked at; None after the last."""
        if not self._front:
            return None
        device = self._front.pop()
        del self.devices[device]
        return device

    def restore(self, known: Iterable[Storm | Suspicion], devices: Iterable[str], left: int) -> None:
        """Go on from what was known before."""
        self.devices = dict.fromkeys(devices)
        self._front = list(self.devices)[:left][::-1]
        for one in known:
            if isinstance(one, Storm):
                self._active[one.clock] = one
            else:
                self._suspected[one.clock] = one

    def suspect(self, clock: int, waiting: int, until: int | None = None) -> None:
        """What a clock has passed, on which so many devices wait, may be a storm; for ``until`` see
        `Suspicion`.
        """
        if clock not in self._active and clock not in self._suspected:
            self._suspected[clock] = Suspicion(clock, waiting, until)

    def suspicion(self, clock: int) -> Suspicion | None:
        """What may be a storm of a clock."""
        return self._suspected.get(clock)

    def decided(self, clock: int) -> Suspicion | None:
        """What was suspected of a clock no longer is."""
        return self._suspected.pop(clock, None)

    def active(self, clock: int) -> Storm | None:
        """The storm of a clock."""
        return self._active.get(clock)

    def silent(self, kind: str) -> list[Storm]:
        """Storms that wait for a type to be heard again."""
        kinds = self._plan.clock_kinds
        return [s for s in self._active.values() if s.back is None and kind in kinds[s.clock]]

    def begin(
        self, clock: int, since: int, passed: int, completing: int, named: list[str], waiting: int
    ) -> Alert:
        """A storm begins.

        Args:
            clock: which of the rule's clocks moved.
            since: the first deadline it passed.
            passed: the time that the clock has passed now.
            completing: how many devices would alert.
            named: the first ``NAMED`` of them.
            waiting: devices that wait on this clock, those included.
        """
        what = self._what(clock)
        text = f"Source silent: no {what} from {completing:,} of the {waiting:,} devices that wait for one"
        born = "|".join([self._plan.rule.name, "source silent", str(clock), str(since)])
        alert = self._alert(
            blake2b(born.encode(), digest_size=12).hexdigest(),
            since,
            max(since, passed),
            "create",
            1,
            text,
            {"silent": completing, "waiting": waiting, "devices": ", ".join(named)},
        )
        self._active[clock] = Storm(clock, since, alert)
        return alert

    def duration_ms(self, clock: int) -> int:
        """The longest NO that waits on a clock: how long a device has to be heard again."""
        table = self._plan.table
        assert isinstance(table, SearchTable)
        return max(
            position.absence.duration_ms
            for chain in table.chains
            for position in chain.positions
            if position.absence is not None and position.absence.clocks == clock
        )

    def end_begins(self, storm: Storm, now: int) -> None:
        """The source is back and each device had its chance: its devices are to be looked at."""
        self._front = list(reversed(self.devices))
        storm.ending = Ending(now)

    def end(self, storm: Storm) -> Alert:
        """A storm that was ending is over."""
        ending, before = storm.ending, storm.alert
        assert ending is not None
        del self._active[storm.clock]
        self.look_at_all()
        text = (
            f"Source heard again: {self._what(storm.clock)}. Of the devices held, {ending.heard:,} were "
            f"heard meanwhile and are not said; {ending.silent:,} are still silent and said one by one"
        )
        return self._alert(
            before.id,
            storm.since,
            max(storm.since, ending.now),
            "close",
            before.revision + 1,
            text,
            {"heard": ending.heard, "silent": ending.silent},
        )

    def _what(self, clock: int) -> str:
        kinds = self._plan.clock_kinds[clock]
        return (
            "`" + "` or `".join(kind.replace(".", " ").replace("alert:", "alert of ") for kind in kinds) + "`"
        )

    def _alert(
        self,
        id_: str,
        since: int,
        time: int,
        activity: Literal["create", "close"],
        revision: int,
        text: str,
        fields: dict[str, Plain],
    ) -> Alert:
        rule = self._plan.rule
        name = rule.name.replace("_", " ")
        elapsed = time - since
        return Alert(
            schema=SCHEMA,
            id=id_,
            activity=activity,
            status="closed" if activity == "close" else "open",
            revision=revision,
            revisable_until=rfc3339(time),
            time=rfc3339(time),
            rule=self._info,
            title=f"{name}: {text.partition(':')[0].lower()}",
            reason=f"{text}.",
            severity="medium",
            created_severity="medium",
            risk=None,
            confidence=Confidence("medium", ["the source may be silent, not the devices"]),
            device="",
            key={},
            window=Window(
                rfc3339(since),
                rfc3339(time),
                format_duration(elapsed),
                elapsed,
                format_duration(elapsed),
                elapsed,
            ),
            steps=[],
            fields=fields,
            deviation=[],
            excluded=[],
            gaps=[],
            timing=Timing("in order", False),
            response={},
            attack={},
            meta={},
            dedup=Dedup(f"{rule.name}|source silent", 1, 0),
            texts={},
        )
