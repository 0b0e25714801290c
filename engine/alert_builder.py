"""Match to alert: puts together what the parts in ``engine.alerting`` say of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dsl.expressions import Choose, Constant, Value
from engine.alerting.authored import authored
from engine.alerting.changes import cause_of, changes, explanation
from engine.alerting.confidence import NO_LONGER_KEPT, confidence
from engine.alerting.create_code import Create, create_code
from engine.alerting.evidence import deviations, steps, timing
from engine.alerting.gaps import Need, gaps_of, needs_of
from engine.alerting.guards import Span, excluded, guards_of
from engine.alerting.identity import alert_id, semantic_hash
from engine.alerting.sentence import reason
from engine.alerting.step_name import StepName
from engine.alerting.values import Text, Values, elapsed_ms
from engine.alerting.words import in_time, plain
from engine.alerts import SCHEMA, Alert, Dedup, Plain, RuleInfo, Severity, Window, rfc3339
from engine.automaton import Match
from engine.chains import chains_of
from engine.elements import flat
from engine.kept import Kept
from engine.plan import RulePlan, rule_values
from engine.runtime_functions import ListTest
from engine.sightings import Sightings


class AlertBuilder:
    """Builds the alerts of one rule. Everything about the rule that does not change is worked out once.

    Args:
        plan: the rule.
        lists: the lists of the rule set.
        sightings: what the engine has seen of each kind and device, for gaps; None: nothing is known.

    Attributes:
        needs: for each chain of the rule the kinds of event that a match needs and need not show.
        may_be_silent: whether SEVERITY can give ``none``.
    """

    def __init__(
        self, plan: RulePlan, lists: dict[str, ListTest], sightings: Sightings | None = None
    ) -> None:
        self._plan = plan
        self._fleet = plan.fleet
        self._key_fields = plan.key_fields
        self._baselines = tuple((name, name.replace("_", " ")) for name in plan.baselines)
        self._window_ms = plan.table.window_ms
        self._sightings = sightings
        rule = self._rule = plan.rule
        # What decides whether there is an alert at all is worked out before the rest.
        self._suppress = Values(plan, () if rule.suppress is None else rule.suppress.per, lists)
        self._severities = Values(plan, (rule.severity,), lists)
        self._values = Values(plan, rule_values(rule), lists)
        self._severity_at = self._values.place(rule.severity)
        self._risk = None if rule.risk is None else self._values.place(rule.risk)
        self._title = Text(rule.alert_title, self._values)
        self._texts = [(name, Text(template, self._values)) for name, template in rule.alert_texts]
        self._fields = [(name, self._values.place(value)) for name, value in rule.alert_fields]
        self._info = RuleInfo(
            rule.name, str(rule.meta.get("version", "")), semantic_hash(rule), dict(rule.params)
        )
        self._authored = authored(rule)
        self._names = tuple(
            tuple(
                StepName(name.replace("_", " "), source.replace("_", " "))
                for name, source in zip(names, sources, strict=True)
            )
            for names, sources in zip(plan.step_names, plan.step_sources, strict=True)
        )
        self._guards = guards_of(plan)
        self.needs: tuple[tuple[Need, ...], ...] = tuple(
            needs_of(plan, guards, number) for number, guards in enumerate(self._guards)
        )
        self._limit = in_time(self._window_ms)
        self._by_device = "device" in rule.by
        self._plain = tuple(
            all(step.what is None for step in chain.steps) for chain in chains_of(rule.pattern)
        )
        severity = rule.severity
        self._severity: Severity | None = severity.value if isinstance(severity, Constant) else None  # type: ignore[assignment]  # dsl has checked that it is one
        answers = _answers(severity)
        self.may_be_silent = answers is None or "none" in answers
        self._revisable_ms = plan.table.horizon_ms + plan.late_ms
        self._creates: list[Create | None] = [None] * len(self._plain)

    def write_out(self, lists: dict[str, ListTest]) -> None:
        """Have creates built by code of their own where all steps are single events."""
        plan = self._plan
        for number, chain in enumerate(chains_of(plan.rule.pattern)):
            names = [step.name for step in self._names[number]]
            # Of steps of one name each tells what baselines say of the other.
            if self._plain[number] and len(set(names)) == len(names):
                self._creates[number] = create_code(
                    plan,
                    number,
                    chain,
                    self._names[number],
                    self._guards[number],
                    self.needs[number],
                    self._info,
                    self._authored,
                    lists,
                )

    @property
    def written_out(self) -> bool:
        """Whether creates have code of their own on every chain."""
        return None not in self._creates

    def look_through(self, sightings: Sightings) -> None:
        """Have gaps judged by other sightings: those of a rule that began later than its matcher."""
        self._sightings = sightings

    def severity(self, match: Match) -> Severity:
        """What SEVERITY gives for a match; ``none``: it is not published."""
        if self._severity is not None:
            return self._severity
        found: Severity = self._severities.of(match)[0] or "medium"
        return found

    def suppress_key(self, match: Match) -> tuple[Any, ...]:
        """The values SUPPRESS groups by; empty without SUPPRESS."""
        return () if self._rule.suppress is None else self._suppress.of(match)

    def identity(self, match: Match) -> str:
        """The id an alert is born with (LANGUAGE.md 4.10)."""
        return alert_id(self._rule, self._device(match), match)

    def _device(self, match: Match) -> str:
        """The device of a match; empty for a fleet rule."""
        return "" if self._fleet else match.events[0].event.device

    def create(self, match: Match, alert_id: str, suppressed: int, cause: Kept | None = None) -> Alert:
        """The first alert for a match. See :meth:`build`."""
        create = self._creates[match.chain]
        if create is None or cause is not None:
            return self.build(match, alert_id, "create", suppressed, None, cause)
        return create(match, alert_id, suppressed, self._sightings)

    def build(
        self,
        match: Match,
        alert_id: str,
        activity: Literal["create", "update", "close"],
        suppressed: int,
        before: Alert | None = None,
        cause: Kept | None = None,
    ) -> Alert:
        """The alert for a match.

        Args:
            match: what was found; for a close, what had been found.
            alert_id: see :meth:`identity`.
            activity: create, update or close.
            suppressed: matches counted instead of published since the last published one.
            before: the alert as it was published last; None for a create.
            cause: the event that came out of order and so caused this; None if none did.
        """
        number, elements = match.chain, match.events
        names, last = self._names[number], elements[-1]
        events = elements if self._plain[number] else flat(elements)
        known = self._values.of(match)
        device = self._device(match)
        severity: Severity = self._severity or known[self._severity_at] or "medium"
        risk = None if self._risk is None else known[self._risk]
        words, shown = steps(names, match)
        judged = deviations(names, match, self._baselines) if self._baselines else []
        guards = self._guards[number]
        spans = [Span(guard, *guard.span(match)) for guard in guards] if guards else []
        gaps, history_since = (
            ([], None)
            if self._sightings is None
            else gaps_of(last.time, events, spans, self.needs[number], self._sightings, device)
        )
        incomplete = match.capped or (before is not None and before.incomplete)
        key = self._key(match, device)
        elapsed = elapsed_ms(match)
        took = in_time(elapsed)
        end = rfc3339(last.time)
        because = told = None
        if before is not None and cause is not None:
            because = cause_of(cause, activity, guards, match)
            told = explanation(activity, because, before, before.status == "closed")
        alert = Alert(
            schema=SCHEMA,
            id=alert_id,
            activity=activity,
            status="closed" if activity == "close" else "open",
            revision=1 if before is None else before.revision + 1,
            revisable_until=rfc3339(last.time + self._revisable_ms),
            time=end,
            rule=self._info,
            title=self._title.fill(known),
            reason=reason(
                f"On {device}" if device else "Across the fleet",
                match,
                names,
                words,
                judged,
                f"{took} in all, {self._limit} allowed" if len(elements) > 1 else "",
                told or "",
            ),
            severity=severity,
            created_severity=severity if before is None else before.created_severity,
            risk=None if risk is None else float(risk),
            confidence=confidence(match, events, names, self._key_fields, judged, history_since, incomplete),
            incomplete=incomplete,
            device=device,
            key=key,
            window=Window(
                rfc3339(last.time - elapsed),
                end,
                self._limit,
                self._window_ms,
                took,
                elapsed,
            ),
            steps=shown,
            fields={name: plain(known[place]) for name, place in self._fields} if self._fields else {},
            deviation=judged,
            excluded=excluded(spans),
            gaps=gaps,
            timing=timing(names, match, events, cause),
            cause=because,
            response=self._authored.response,
            attack=self._authored.attack,
            meta=self._authored.rest,
            dedup=_dedup(self._rule.name, key, suppressed if before is None else before.dedup.suppressed),
            texts={name: text.fill(known) for name, text in self._texts} if self._texts else {},
        )
        if before is None or activity == "close":
            return alert
        return msgspec.structs.replace(alert, changes=changes(before, alert))

    def incomplete(self, before: Alert, match: Match, cause: Kept) -> Alert:
        """The alert again, when an event that could have changed it came and was no longer kept for.

        Args:
            before: the alert as it was published last.
            match: what was found.
            cause: the event.
        """
        because = cause_of(cause, "close", self._guards[match.chain], match)
        alert = msgspec.structs.replace(
            before,
            activity="update",
            revision=before.revision + 1,
            incomplete=True,
            confidence=msgspec.structs.replace(
                before.confidence, level="low", why=[*before.confidence.why, NO_LONGER_KEPT]
            ),
            cause=because,
        )
        return msgspec.structs.replace(alert, changes=changes(before, alert))

    def _key(self, match: Match, device: str) -> dict[str, Plain]:
        key: dict[str, Plain] = {"device": device} if self._by_device else {}
        for name, part in zip(self._key_fields, match.key, strict=True):
            key[name] = part if type(part) is str else plain(part)
        return key


def _answers(value: Value) -> set[object] | None:
    """What a value can be where it is not missing; None if that is not known."""
    if isinstance(value, Constant):
        return {value.value}
    if not isinstance(value, Choose):
        return None
    yes, no = _answers(value.yes), _answers(value.no)
    return None if yes is None or no is None else yes | no


def _dedup(rule: str, key: dict[str, Plain], suppressed: int) -> Dedup:
    return Dedup("|".join([rule, *map(str, key.values())]), suppressed + 1, suppressed)
