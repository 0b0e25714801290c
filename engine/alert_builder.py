"""Match to alert: what the rule says of its evidence, in fields and in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Literal

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.expressions import Value
from dsl.units import format_duration
from engine.alerts import (
    Alert,
    Confidence,
    Dedup,
    Deviation,
    Excluded,
    Plain,
    RuleInfo,
    Severity,
    StepEvidence,
    Timing,
    Window,
    number,
    printable,
    rfc3339,
)
from engine.automaton import Events, Match
from engine.codegen import Emitter, Places, compile_function
from engine.elements import Deadline, Group, first_event, flat
from engine.kept import Kept
from engine.plan import RulePlan
from engine.runtime_functions import ListTest

_Value = Callable[[Events, tuple[object, ...], int], Any]
MAX_EVIDENCE = 64
"""Events of one step that an alert lists; ``count`` is exact."""
_OWN_META = ("version", "attack", "response", "playbook", "status")


class AlertBuilder:
    """Builds the alerts of one rule. Everything about the rule that does not change is worked out once."""

    def __init__(self, plan: RulePlan, lists: dict[str, ListTest]) -> None:
        self._plan = plan
        rule = self._rule = plan.rule
        self._values: list[dict[Value, _Value]] = [
            self._compile(number_, lists) for number_ in range(len(plan.table.chains))
        ]
        meta = rule.meta
        self._info = RuleInfo(rule.name, str(meta.get("version", "")), semantic_hash(rule), dict(rule.params))
        response = meta.get("response", {})
        self._response = dict(response) if isinstance(response, dict) else {"note": str(response)}
        if "playbook" in meta:
            self._response.setdefault("playbook", meta["playbook"])
        self._attack = _attack(meta)
        self._meta = {k: v for k, v in meta.items() if k not in (*_OWN_META, *_ATTACK_KEYS)}

    def _compile(self, chain: int, lists: dict[str, ListTest]) -> dict[Value, _Value]:
        """A function for each value of the rule's SEVERITY, RISK, SUPPRESS and ALERT on one chain."""
        plan, rule = self._plan, self._rule
        emitter = Emitter(lists)
        taken = plan.places[chain]
        every = {name for names in plan.places for name in names}
        places = Places(
            steps={name: taken.get(name) for name in every},
            keys={key: f"key[{i}]" for i, key in enumerate(("device", *plan.key_fields))},
            latest="p",
            elapsed="elapsed",
            loose=plan.loose[chain],
        )
        values = [rule.severity, *([rule.risk] if rule.risk is not None else [])]
        values += rule.suppress.per if rule.suppress is not None else ()
        for template in (rule.alert_title, *(t for _, t in rule.alert_texts)):
            values += [p for p in template.parts if not isinstance(p, str)]
        values += [v for _, v in rule.alert_fields]
        unique = list(dict.fromkeys(values))
        lines: list[str] = []
        for index, value in enumerate(unique):
            lines.append(
                f"def value_{index}(p, key, elapsed):\n    return {emitter.nullable(value, places)}\n"
            )
        compile_function("value_0", "\n".join(lines), emitter.names)
        return {value: emitter.names[f"value_{index}"] for index, value in enumerate(unique)}

    # --- single values

    def _value(self, match: Match, value: Value) -> Any:
        device = None if self._plan.fleet else match.first.event.device
        key = (device, *match.key)
        return self._values[match.chain][value](match.events, key, elapsed_ms(match))

    def severity(self, match: Match) -> Severity:
        """What SEVERITY gives for a match; ``none``: it is not published."""
        found: Severity = self._value(match, self._rule.severity) or "medium"
        return found

    def suppress_key(self, match: Match) -> tuple[Any, ...]:
        """The values SUPPRESS groups by; empty without SUPPRESS."""
        suppress = self._rule.suppress
        return () if suppress is None else tuple(self._value(match, value) for value in suppress.per)

    def _fill(self, match: Match, template: m.Template) -> str:
        parts = [
            part if isinstance(part, str) else shown(self._value(match, part), part)
            for part in template.parts
        ]
        return printable("".join(parts))

    # --- the alert

    def identity(self, match: Match) -> str:
        """The id an alert is born with: a hash of rule, key and completing event (LANGUAGE.md 4.10)."""
        parts: list[Any] = [self._rule.name, self._device(match), list(match.key), match.last.event_id]
        if self._rule.select == "each":
            parts.append(match.first.event_id)
        return blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()

    def _device(self, match: Match) -> str:
        """The device of a match; empty for a fleet rule."""
        return "" if self._plan.fleet else match.first.event.device

    def build(
        self,
        match: Match,
        alert_id: str,
        activity: Literal["create", "update", "close"],
        suppressed: int,
        before: Alert | None = None,
        note: str = "",
        late: str = "",
    ) -> Alert:
        """The alert for a match.

        Args:
            match: what was found; for a close, what had been found.
            alert_id: see :meth:`identity`.
            activity: create, update or close.
            suppressed: matches counted instead of published since the last published one.
            before: the alert as it was published last; None for a create.
            note: why it changed, for update and close.
            late: which event came out of order; empty if none did.
        """
        rule, plan = self._rule, self._plan
        device = self._device(match)
        risk = self._value(match, rule.risk) if rule.risk is not None else None
        severity = self.severity(match)
        names = plan.step_names[match.chain]
        deviations = self._deviations(match, names)
        key: dict[str, Plain] = {"device": device}
        key.update({name: _plain(part) for name, part in zip(plan.key_fields, match.key, strict=True)})
        if "device" not in rule.by:
            del key["device"]
        until = match.last.time + plan.table.horizon_ms + plan.late_ms
        return Alert(
            id=alert_id,
            activity=activity,
            status="closed" if activity == "close" else "open",
            revision=1 if before is None else before.revision + 1,
            revisable_until=rfc3339(until),
            time=rfc3339(match.last.time),
            rule=self._info,
            title=self._fill(match, rule.alert_title),
            reason=self._reason(match, names, deviations, note),
            severity=severity,
            created_severity=severity if before is None else before.created_severity,
            risk=None if risk is None else float(risk),
            confidence=self._confidence(match, deviations),
            device=device,
            key=key,
            window=self._window(match),
            steps=[
                evidence
                for name, element in zip(names, match.events, strict=True)
                for evidence in self._evidences(name, element)
            ],
            fields={name: _plain(self._value(match, value)) for name, value in rule.alert_fields},
            deviation=deviations,
            excluded=self._excluded(),
            gaps=[],
            timing=Timing(late or "in order", _tie(match)),
            response=self._response,
            attack=self._attack,
            meta=self._meta,
            dedup=Dedup("|".join([rule.name, *(str(part) for part in key.values())]), suppressed),
            texts={name: self._fill(match, template) for name, template in rule.alert_texts},
        )

    def _window(self, match: Match) -> Window:
        elapsed = elapsed_ms(match)
        limit = self._plan.table.window_ms
        return Window(
            rfc3339(match.last.time - elapsed),
            rfc3339(match.last.time),
            format_duration(limit),
            limit,
            format_duration(elapsed),
            elapsed,
        )

    def _evidences(self, name: str, element: Kept) -> list[StepEvidence]:
        """The events of a step: none for NO, the newest ones for a step of several, which says how many."""
        if isinstance(element, Deadline):
            return []
        if not isinstance(element, Group):
            return [self._evidence(name, element)]
        shown = [self._evidence(name, kept) for kept in element.events[-MAX_EVIDENCE:]]
        return [msgspec.structs.replace(shown[0], count=element.count), *shown[1:]]

    @staticmethod
    def _evidence(name: str, kept: Kept) -> StepEvidence:
        event = kept.event
        return StepEvidence(
            name=name.replace("_", " "),
            event_id=kept.event_id,
            time=rfc3339(kept.time),
            kind=event.kind,
            source=event.source or "unknown",
            fields=fields_of(kept),
            start=None if kept.begin == kept.time else rfc3339(kept.begin),
            quality=event.quality,
        )

    def _deviations(self, match: Match, names: tuple[str, ...]) -> list[Deviation]:
        found: list[Deviation] = []
        for name, kept in zip(names, match.events, strict=True):
            for baseline in self._plan.baselines:
                reading = None if kept.readings is None else kept.readings.get(baseline)
                if reading is None or reading.score is None:
                    continue
                found.append(
                    Deviation(
                        step=name.replace("_", " "),
                        baseline=baseline.replace("_", " "),
                        value=reading.value,
                        score=_round(reading.score, 3),
                        centre=_round(reading.expected, 1),
                        expected_low=_round(reading.low, 1),
                        expected_high=_round(reading.high, 1),
                        scope=reading.scope,
                        samples=reading.samples,
                        state=reading.state,
                    )
                )
        return found

    def _excluded(self) -> list[Excluded]:
        """Every guard of the rule: had one been found, there would be no alert."""
        found: list[Excluded] = []
        for veto in self._rule.unless:
            before = (
                f"from {format_duration(veto.before_ms)} before the first event to the last"
                if veto.before_ms
                else ("from the first event to the last")
            )
            found.append(Excluded(f"no {veto.source.text}", before))
        for step in _all_steps(self._rule.pattern):
            if isinstance(step.node, m.AbsenceNode):
                duration = format_duration(step.node.duration_ms)
                found.append(Excluded(f"no {step.node.source.text}", f"for {duration}"))
            for guard in step.guards:
                window = "since the step before"
                if guard.lookback_ms is not None:
                    window = f"in the {format_duration(guard.lookback_ms)} before"
                found.append(Excluded(f"no {guard.source.text}", window))
        return found

    def _confidence(self, match: Match, deviations: list[Deviation]) -> Confidence:
        """High, lowered for each weakness of the evidence; the reasons are listed."""
        why: list[str] = []
        if self._plan.key_fields and any(None in kept.key for kept in match.events):
            why.append("a step names no " + " or ".join(k.replace("_", " ") for k in self._plan.key_fields))
        for deviation in deviations:
            if deviation.scope == "peer":
                why.append(f"`{deviation.baseline}` judged against the fleet: the key itself is too young")
            if deviation.state == "shifted":
                why.append(f"`{deviation.baseline}` has just shifted its level")
        if match.capped:
            why.append("capped: choices were dropped before this match")
        events = flat(match.events)
        if any(kept.event.quality == "first_last" for kept in events):
            why.append("an event is known only by its first or last time")
        if any(kept.begin != kept.time for kept in events):
            why.append("an event is an interval")
        level: Literal["low", "medium", "high"] = "high" if not why else "medium" if len(why) == 1 else "low"
        return Confidence(level, why)

    def _reason(self, match: Match, names: tuple[str, ...], deviations: list[Deviation], note: str) -> str:
        """A sentence with numbers: what happened, when, and how far from normal."""
        by_step = {d.step: d for d in reversed(deviations)}
        sources = self._plan.step_sources[match.chain]
        parts: list[str] = []
        previous: Kept | None = None
        for name, source, kept in zip(names, sources, match.events, strict=True):
            text = _in_words(source, kept)
            deviation = by_step.get(name.replace("_", " "))
            if deviation is not None:
                usual = f"{number(deviation.expected_low)} to {number(deviation.expected_high)}"
                text += (
                    f", {deviation.baseline} {number(deviation.value)} where {usual} is usual "
                    f"({number(deviation.score)} spreads)"
                )
            if isinstance(kept, Deadline):
                parts.append(f"then {text} for {format_duration(kept.duration_ms)}")
            elif previous is None:
                parts.append(f"{text} at {rfc3339(kept.time)}")
            else:
                gap = kept.time - previous.time
                parts.append(f"then {text} {format_duration(gap) + ' later' if gap else 'at the same time'}")
            previous = kept
        where = "Across the fleet" if self._plan.fleet else f"On {match.first.event.device}"
        sentence = f"{where}: " + "; ".join(parts)
        if len(match.events) > 1:
            allowed = format_duration(self._plan.table.window_ms)
            sentence += f"; {format_duration(elapsed_ms(match))} in all, {allowed} allowed"
        sentence += "."
        if note:
            sentence += f" {note}"
        return printable(sentence)


def _round(value: float | None, digits: int) -> float:
    """A reading's figure; those of a reading with a score are never missing."""
    return 0.0 if value is None else round(value, digits)


def elapsed_ms(match: Match) -> int:
    """First to last event, measured as bounds are."""
    return match.last.time - min(kept.begin for kept in match.events)


def fields_of(kept: Kept) -> dict[str, Any]:
    """The declared fields that were decoded and are there, by their name in rules."""
    event = kept.event
    return {
        name[2:]: value
        for name in event.__struct_fields__
        if name.startswith("f_") and (value := getattr(event, name)) is not None
    }


def shown(value: Any, node: Value) -> str:
    """A value inside a title: durations and times as people write them, numbers short, missing said."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if node.type.name == e.DURATION:
        return format_duration(int(value))
    if node.type.name == e.TIMESTAMP:
        return rfc3339(int(value))
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).replace(".", " ") if isinstance(node, e.Field) and node.name == "kind" else str(value)


def _details(kept: Kept) -> str:
    """Up to four fields in brackets."""
    found = [(k, v) for k, v in fields_of(kept).items() if not isinstance(v, list)]
    if not found:
        return ""
    inner = ", ".join(
        f"{k} {number(v) if isinstance(v, int | float) and not isinstance(v, bool) else v}"
        for k, v in found[:4]
    )
    return f" [{inner}]"


def _plain(value: Any) -> Plain:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _in_words(source: str, element: Kept) -> str:
    """What completed a step: the event with some fields, how many events there were, or what was absent."""
    what = source.replace("_", " ")
    if isinstance(element, Deadline):
        return f"no {what}"
    if isinstance(element, Group):
        spread = element.time - element.begin
        within = f" within {format_duration(spread)}" if spread else " at once"
        if element.branches:
            kinds = dict.fromkeys(kept.event.kind.replace(".", " ") for kept in element.events)
            return f"{', '.join(kinds)} together{within}"
        return f"{element.count} {what}{within}{_details(element)}"
    kind = element.event.kind.replace(".", " ")
    if kind.startswith("alert:"):
        kind = f"alert of {what}"
    text = what if what == kind else kind if kind.startswith("alert of ") else f"{what} ({kind})"
    return text + _details(element)


def _tie(match: Match) -> bool:
    elements = [x for x in match.events if not isinstance(x, Deadline)]
    pairs = [(a, first_event(b)) for a, b in pairwise(elements)]
    return any(a.time == b.time and a.event.source != b.event.source for a, b in pairs)


def _all_steps(pattern: m.Pattern) -> list[m.Step]:
    """Every step of a pattern, those of groups and branches included."""
    found: list[m.Step] = []
    for step in pattern.steps:
        found.append(step)
        if isinstance(step.node, m.GroupNode):
            found.extend(_all_steps(step.node.pattern))
        elif isinstance(step.node, m.OneOfNode | m.AllOfNode | m.AnyOfNode):
            for branch in step.node.branches:
                found.extend(_all_steps(branch))
    return found


_ATTACK_KEYS = ("strategy", "attack_version", "techniques")


def _attack(meta: dict[str, Any]) -> dict[str, Any]:
    """ATT&CK references as the author wrote them; techniques only where they are written."""
    analytics = meta.get("attack", [])
    found: dict[str, Any] = {"analytics": analytics if isinstance(analytics, list) else [analytics]}
    if "attack_version" in meta:
        found["version"] = str(meta["attack_version"])
    if "strategy" in meta:
        found["strategy"] = meta["strategy"]
    techniques = meta.get("techniques", [])
    found["techniques"] = techniques if isinstance(techniques, list) else [techniques]
    return found


_NOT_MEANING = {"span", "name_span", "file", "text"}
_MEANING = ("name", "by", "pattern", "unless", "select")


def semantic_hash(rule: m.Rule) -> str:
    """A hash of what a rule matches: keys, pattern, bounds, filters, guards; not META, texts or layout."""

    def strip(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            fields = {f: strip(getattr(value, f)) for f in value.__struct_fields__ if f not in _NOT_MEANING}
            return {"is": type(value).__name__, **fields}
        if isinstance(value, tuple | list):
            return [strip(v) for v in value]
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items()}
        return value

    return blake2b(
        msgspec.json.encode({f: strip(getattr(rule, f)) for f in _MEANING}), digest_size=8
    ).hexdigest()
