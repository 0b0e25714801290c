"""The commonest alert written out for its rule: a create, of single events, that no late event caused.

``AlertBuilder.build`` asks for every part of an alert anew what the rule decides once: how many steps there
are, which guards look where, which values stand in its texts. Here a function is generated for each chain
that has these answers in its code; it says the same, byte for byte, in half the time or less. What is rare in
a create (an address for an app, a clock that is wrong, a kind that is watched since later) is left to the
same functions that ``build`` calls.

An author's texts reach the code through its globals only, as in ``engine.codegen``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dsl import expressions as e
from dsl import model as m
from dsl.expressions import Constant, Value
from engine.alerting.authored import Authored
from engine.alerting.confidence import SURE, confidence, confidence_in_history
from engine.alerting.evidence import deviations_of, timing
from engine.alerting.gaps import Need
from engine.alerting.guard_code import gap_lines, guard_lines
from engine.alerting.guards import Guard
from engine.alerting.sentence import judged
from engine.alerting.step_name import StepName
from engine.alerting.words import in_time, plain, value_in_words
from engine.alerts import SCHEMA, Alert, Dedup, RuleInfo, Timing, Window, printable, rfc3339
from engine.automaton import Match
from engine.chains import Chain
from engine.codegen import Emitter, Places, compile_function
from engine.plan import RulePlan
from engine.runtime_functions import ListTest
from engine.sightings import Sightings

Create = Callable[[Match, str, int, Sightings | None], Alert]
"""Given a match, the id of its alert, the matches suppressed before it, and what the engine has seen."""
_SIMPLE = frozenset({e.STRING, e.INT, e.FLOAT, e.BOOL, e.IP, e.TIMESTAMP, e.DURATION})
_TIMES = {e.DURATION: "in_time", e.TIMESTAMP: "rfc3339"}
_GIVEN: dict[str, Any] = {
    "Alert": Alert,
    "Dedup": Dedup,
    "IN_ORDER": (Timing("in order", False), Timing("in order", True)),
    "SCHEMA": SCHEMA,
    "SURE": SURE,
    "Window": Window,
    "confidence": confidence,
    "confidence_in_history": confidence_in_history,
    "deviations_of": deviations_of,
    "in_time": in_time,
    "judged": judged,
    "plain": plain,
    "printable": printable,
    "rfc3339": rfc3339,
    "timing": timing,
    "value_in_words": value_in_words,
}


def create_code(
    plan: RulePlan,
    number: int,
    chain: Chain,
    names: tuple[StepName, ...],
    guards: tuple[Guard, ...],
    needs: tuple[Need, ...],
    info: RuleInfo,
    meta: Authored,
    lists: Mapping[str, ListTest],
) -> Create:
    """The function for one chain of a rule, all steps of which are single events.

    Args:
        plan: the rule.
        number: of the chain.
        chain: its steps.
        names: what alerts call them.
        guards: those of the chain.
        needs: the kinds of event that a match on it needs and need not show.
        info: what every alert says of the rule.
        meta: what its author wrote.
        lists: the lists of the rule set.
    """
    code = _CreateCode(plan, number, chain, names, guards, needs, lists)
    code.names |= {"info": info, "meta": meta.rest, "response": meta.response, "attack": meta.attack}
    made: Create = compile_function("create", code.source(), code.names)
    return made


class _CreateCode:
    """Writes the source; ``names`` collects the globals."""

    def __init__(
        self,
        plan: RulePlan,
        number: int,
        chain: Chain,
        names: tuple[StepName, ...],
        guards: tuple[Guard, ...],
        needs: tuple[Need, ...],
        lists: Mapping[str, ListTest],
    ) -> None:
        self._plan, self._rule, self._number, self._chain = plan, plan.rule, number, chain
        self._guards, self._needs = guards, needs
        self._steps = range(len(chain.steps))
        self._last = len(chain.steps) - 1
        self._emitter = Emitter(lists)
        self.names = self._emitter.names
        self.names |= _GIVEN
        self.names |= {
            "names": names,
            "guards": guards,
            "needs": needs,
            "baselines": tuple((name, name.replace("_", " ")) for name in plan.baselines),
        }
        self.names |= {f"know{i}": step.know for i, step in enumerate(names)}
        self.names |= {f"name{i}": step.name for i, step in enumerate(names)}
        self.names |= {f"known{i}": step.known.get for i, step in enumerate(names)}
        self._values: dict[Value, str] = {}
        self._texts = 0

    def source(self) -> str:
        """The whole function."""
        lines = [
            *self._events(),
            *self._value_lines(),
            *self._evidence(),
            *guard_lines(self._guards, self._last, self.names),
            *gap_lines(self._chain, self._guards, self._needs, self.names),
            *self._confidence(),
            *self._timing(),
            *self._key(),
            *self._reason(),
        ]
        title = self._text(self._rule.alert_title, lines)
        texts = [(name, self._text(template, lines)) for name, template in self._rule.alert_texts]
        lines += self._alert(title, texts)
        return "def create(match, id, suppressed, sightings):\n" + "".join(f"    {line}\n" for line in lines)

    def _constant(self, text: str) -> str:
        """A global that holds an author's text."""
        self._texts += 1
        name = f"text{self._texts}"
        self.names[name] = text
        return name

    def _events(self) -> list[str]:
        keys = "".join(f"key{i}, " for i in range(len(self._plan.key_fields)))
        lines = ["p = match.events", "".join(f"kept{i}, " for i in self._steps) + "= p"]
        lines += [
            f"event{i}, time{i}, begin{i} = kept{i}.event, kept{i}.time, kept{i}.begin" for i in self._steps
        ]
        lines.append("begin = begin0")
        for i in self._steps[1:]:
            lines += [f"if begin{i} < begin:", f"    begin = begin{i}"]
        lines += [
            f"elapsed = time{self._last} - begin",
            "took = in_time(elapsed)",
            "device = ''" if self._plan.fleet else "device = event0.device",
            *(f"at{i} = rfc3339(time{i})" for i in self._steps),
            "start = at0 if begin == time0 else rfc3339(begin)",
        ]
        return [*lines, f"{keys}= match.key"] if keys else lines

    def _value_lines(self) -> list[str]:
        plan = self._plan
        taken = {name: _local(place) for name, place in plan.places[self._number].items()}
        every = {name for names in plan.places for name in names}
        places = Places(
            steps={name: taken.get(name) for name in every},
            keys={"device": "None" if plan.fleet else "device"}
            | {key: f"key{i}" for i, key in enumerate(plan.key_fields)},
            latest="p",
            elapsed="elapsed",
            loose=plan.loose[self._number],
        )
        lines = []
        for value in dict.fromkeys(_said(self._rule)):
            self._values[value] = name = f"value{len(self._values)}"
            lines.append(f"{name} = {self._emitter.nullable(value, places)}")
        return lines

    def _evidence(self) -> list[str]:
        lines = []
        for i in self._steps:
            lines += [
                f"step{i} = (known{i}(type(event{i})) or know{i}(type(event{i})))(kept{i}, event{i}, at{i})",
                f"words{i} = step{i}.summary",
            ]
        if not self._plan.baselines:
            return [*lines, "judgements = []"]
        lines.append("judgements = []")
        for i in self._steps:
            lines += [
                f"if kept{i}.readings is not None:",
                f"    said = deviations_of(name{i}, kept{i}.readings, baselines)",
                "    if said:",
                "        judgements += said",
                f"        words{i} += ', ' + printable(judged(said[0]))",
            ]
        return lines

    def _confidence(self) -> list[str]:
        odd = ["match.capped"]
        for i in self._steps:
            odd.append(f"begin{i} != time{i} or event{i}.quality == 'first_last'")
            attributions = "('ip', 'device')" if self._plan.key_fields else "('ip',)"
            odd.append(f"event{i}.attribution in {attributions}")
            if self._plan.key_fields:
                odd.append(f"None in kept{i}.key")
        return [
            f"if {' or '.join(odd)}:",
            "    sure = confidence(",
            f"        match, p, names, {self._plan.key_fields!r}, judgements, short, match.capped",
            "    )",
            "elif judgements or short is not None:",
            "    sure = confidence_in_history(judgements, short)",
            "else:",
            "    sure = SURE",
        ]

    def _timing(self) -> list[str]:
        seen = " and ".join(f"event{i}.seen is None" for i in self._steps)
        ties = [f"time{i} == time{i - 1} and event{i}.source != event{i - 1}.source" for i in self._steps[1:]]
        return [
            f"if {seen}:",
            f"    in_order = IN_ORDER[{' or '.join(ties) or 'False'}]",
            "else:",
            "    in_order = timing(names, match, p, None)",
        ]

    def _key(self) -> list[str]:
        lines, parts, entries = [], [self._constant(self._rule.name)], []
        if "device" in self._rule.by:
            parts.append("device")
            entries.append("'device': device")
        for i, name in enumerate(self._plan.key_fields):
            lines += [f"if type(key{i}) is not str:", f"    key{i} = plain(key{i})"]
            parts.append(f"key{i}")
            entries.append(f"{name!r}: key{i}")
        shown = "|".join(f"{{{part}}}" for part in parts)
        return [*lines, f"key = {{{', '.join(entries)}}}", f'one = f"{shown}"']

    def _reason(self) -> list[str]:
        where = "'Across the fleet'" if self._plan.fleet else "'On ' + device"
        lines = [f"where = {where}", "if not where.isprintable():", "    where = printable(where)"]
        parts = ["{where}: {words0} at {at0}"]
        for i in self._steps[1:]:
            gap = f"time{i} - time{i - 1}"
            lines.append(f"later{i} = in_time({gap}) + ' later' if {gap} else 'at the same time'")
            parts.append(f"then {{words{i}}} {{later{i}}}")
        if self._last:
            parts.append(f"{{took}} in all, {in_time(self._plan.table.window_ms)} allowed")
        return [*lines, f'reason = f"{"; ".join(parts)}."']

    def _text(self, template: m.Template, lines: list[str]) -> str:
        """A text of the rule: gives the name that holds it, and adds the lines that fill it in."""
        if all(isinstance(part, str) for part in template.parts):
            return self._constant(printable("".join(map(str, template.parts))))
        parts = [
            self._constant(part) if isinstance(part, str) else self._in_words(part) for part in template.parts
        ]
        self._texts += 1
        name = f"text{self._texts}"
        lines += [f"{name} = ''.join(({', '.join(parts)},))"]
        lines += [f"if not {name}.isprintable():", f"    {name} = printable({name})"]
        return name

    def _in_words(self, value: Value) -> str:
        """Source of a value in words: what is usual at once, the rest by ``value_in_words``."""
        name, node = self._values[value], f"node{len(self.names)}"
        self.names[node] = value
        asked = f"value_in_words({name}, {node})"
        if value.type.name in _TIMES:
            return f"({_TIMES[value.type.name]}({name}) if type({name}) is int else {asked})"
        if isinstance(value, e.Field) and value.name == "kind":
            return f"({name}.replace('.', ' ') if type({name}) is str else {asked})"
        return f"({name} if type({name}) is str else {asked})"

    def _alert(self, title: str, texts: list[tuple[str, str]]) -> list[str]:
        rule, last = self._rule, self._last
        severity = self._values[rule.severity]
        if not isinstance(rule.severity, Constant):
            severity = f"{severity} or 'medium'"
        risk = "None"
        if rule.risk is not None:
            name = self._values[rule.risk]
            risk = f"None if {name} is None else float({name})"
        fields = [
            (name, self._values[value] if value.type.name in _SIMPLE else f"plain({self._values[value]})")
            for name, value in rule.alert_fields
        ]
        revisable = self._plan.table.horizon_ms + self._plan.late_ms
        limit, limit_ms = in_time(self._plan.table.window_ms), self._plan.table.window_ms
        return [
            f"severity = {severity}",
            "return Alert(",
            "    schema=SCHEMA, id=id, activity='create', status='open', revision=1,",
            f"    revisable_until=rfc3339(time{last} + {revisable}), time=at{last}, rule=info,",
            f"    title={title}, reason=reason, severity=severity, created_severity=severity,",
            f"    risk={risk}, confidence=sure, incomplete=match.capped, device=device, key=key,",
            f"    window=Window(start, at{last}, {limit!r}, {limit_ms}, took, elapsed),",
            f"    steps=[{', '.join(f'step{i}' for i in self._steps)}], fields={_table(fields)},",
            "    deviation=judgements,",
            f"    excluded=[{', '.join(f'excluded{i}' for i in range(len(self._guards)))}],",
            "    gaps=gaps, timing=in_order, response=response, attack=attack, meta=meta,",
            f"    dedup=Dedup(one, suppressed + 1, suppressed), texts={_table(texts)},",
            ")",
        ]


def _said(rule: m.Rule) -> list[Value]:
    """The values that an alert says. Those that only group the suppressed are asked before there is one."""
    values = [rule.severity] if rule.risk is None else [rule.severity, rule.risk]
    for template in (rule.alert_title, *(template for _, template in rule.alert_texts)):
        values += [part for part in template.parts if not isinstance(part, str)]
    return [*values, *(value for _, value in rule.alert_fields)]


def _local(place: str) -> str:
    """The local variable that holds an element: ``kept1`` for ``p[1]``."""
    return f"kept{place[2:-1]}"


def _table(entries: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name!r}: {value}" for name, value in entries) + "}"
