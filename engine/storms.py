"""Absence storms: where the source went silent, not the devices.

A rule that ends in NO, over a heartbeat say, would alert for every device at once when the collector
of the heartbeats stops. So when more than a tenth of the devices that wait for a deadline of one rule
would alert in one step of the clock, and at least ``LEAST`` of them, their alerts are held and one alert
says that the source is silent (DESIGN.md section 3).

The storm ends when the source was heard again and, as long as the absence lasts, went on being heard,
so that each device had its chance. Devices that were heard meanwhile are not said: it was the source.
Those that are still silent are said, each with its own alert. The end of input ends no storm and
begins none.
"""

from __future__ import annotations

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
"""The share of the waiting devices, from DESIGN.md section 3."""
NAMED: Final = 64
"""Devices that the alert of a storm names."""


class Storm(msgspec.Struct):
    """One source that is silent for one rule.

    Attributes:
        clock: the rule's clock whose types are silent.
        since: the first deadline that is held.
        back: when the source was heard again; None while it is silent.
        alert: as it was said last.
    """

    clock: int
    since: int
    alert: Alert
    back: int | None = None


class Storms:
    """The storms of one rule, one for each of its clocks at most."""

    def __init__(self, plan: RulePlan) -> None:
        self._plan = plan
        rule = plan.rule
        version = str(rule.meta.get("version", ""))
        self._info = RuleInfo(rule.name, version, semantic_hash(rule), dict(rule.params))
        self._active: dict[int, Storm] = {}
        self.devices: dict[str, None] = {}
        """Devices with held matches, in the order in which they were held."""

    def __bool__(self) -> bool:
        return bool(self._active)

    def is_storm(self, completing: int, waiting: int) -> bool:
        """Whether so many devices of those that wait are a storm if they alert together."""
        return completing >= LEAST and completing > SHARE * waiting

    def holds(self, match: Match) -> bool:
        """Whether a match rests on a deadline of a storm."""
        if not self._active:
            return False
        for deadline, clock in match.waits:
            storm = self._active.get(clock)
            if storm is not None and storm.since <= deadline:
                return True
        return False

    @property
    def all(self) -> list[Storm]:
        """Those that last."""
        return list(self._active.values())

    def put(self, storm: Storm) -> None:
        """A storm that was known before."""
        self._active[storm.clock] = storm

    def active(self, clock: int) -> Storm | None:
        """The storm of a clock."""
        return self._active.get(clock)

    def silent(self, kind: str) -> list[Storm]:
        """Storms that wait for a type to be heard again."""
        kinds = self._plan.clock_kinds
        return [s for s in self._active.values() if s.back is None and kind in kinds[s.clock]]

    def begin(self, clock: int, since: int, passed: int, completing: list[str], waiting: int) -> Alert:
        """A storm begins.

        Args:
            clock: which of the rule's clocks moved.
            since: the first deadline it passed.
            passed: the time that the clock has passed now.
            completing: devices that would alert.
            waiting: devices that wait on this clock, those included.
        """
        what = self._what(clock)
        text = (
            f"Source silent: no {what} from {len(completing):,} of the {waiting:,} devices that wait for one"
        )
        born = "|".join([self._plan.rule.name, "source silent", str(clock), str(since)])
        alert = self._alert(
            blake2b(born.encode(), digest_size=12).hexdigest(),
            since,
            max(since, passed),
            "create",
            1,
            text,
            {"silent": len(completing), "waiting": waiting, "devices": ", ".join(completing[:NAMED])},
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

    def end(self, clock: int, now: int, heard: int, silent: int) -> Alert:
        """The source is back and each device had its chance."""
        storm = self._active.pop(clock)
        text = (
            f"Source heard again: {self._what(clock)}. Of the devices held, {heard:,} were heard meanwhile "
            f"and are not said; {silent:,} are still silent and said one by one"
        )
        before = storm.alert
        return self._alert(
            before.id,
            storm.since,
            max(storm.since, now),
            "close",
            before.revision + 1,
            text,
            {"heard": heard, "silent": silent},
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
