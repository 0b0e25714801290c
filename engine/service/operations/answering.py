"""The answers to requests, but for how they come and go. All of these block: they run in a thread.

Rule text of a request is data: it is parsed and compiled as a rule file is, and a LIST in it may not name a
file, which would let a request look at the disk of the service.
"""

from __future__ import annotations

import datetime
import posixpath

import msgspec

from dsl import as_record
from dsl.bind import bind
from dsl.diagnostics import ERROR, did_you_mean, in_order
from dsl.model import RuleSet
from dsl.nodes import ListNode
from dsl.params import PARAMS_FILE
from dsl.parse import ParsedFile, parse
from dsl.units import duration_ms
from engine.alerting.identity import semantic_hash
from engine.events import epoch_ms
from engine.explain import as_text
from engine.explain import explain as explained
from engine.matcher import Matcher
from engine.service.operations import answers as a
from engine.service.operations.reread import NotAnswered, histories_stored, why_stored
from engine.service.settings import Settings
from engine.why.recorded import Answer

LONGEST_TEXT = 128 * 1024
MOST_DIAGNOSTICS = 200


def rules(ruleset: RuleSet, running: tuple[str, ...], request: a.RulesRequest) -> a.RulesAnswer:
    """The rules that run."""
    names = sorted(running)
    skip, most = max(0, request.skip), min(max(0, request.most), 1_000)
    found = []
    for name in names[skip : skip + most]:
        rule = ruleset.rules.get(name)
        if rule is None:
            continue
        meta = rule.meta
        found.append(
            a.RuleInfo(
                name=name,
                title=rule.title,
                status=str(meta.get("status") or "live"),
                version=str(meta.get("version", "")),
                hash=semantic_hash(rule),
                file=posixpath.basename(rule.file),
            )
        )
    return a.RulesAnswer(len(names), found)


def check(ruleset: RuleSet, request: a.CheckRequest) -> a.CheckAnswer:
    """Diagnostics of a rule text; with the running rules, it takes the place of the file of its name.

    Raises:
        NotAnswered: the text may not be checked here.
    """
    if len(request.text) > LONGEST_TEXT:
        raise NotAnswered(f"The text is longer than {LONGEST_TEXT:,} characters.")
    name = request.name[:200] or "request.rule"
    asked = parse(request.text, name)
    _refuse_files(asked)
    files = [asked]
    if request.with_running:
        same = {f for f in ruleset.texts if f == name or posixpath.basename(f) == name}
        files = [
            *(parse(text, f) for f, text in ruleset.texts.items() if f not in same and f != PARAMS_FILE),
            asked,
        ]
    checked = bind(files, ruleset.overrides if request.with_running else None)
    found = [d for d in in_order([*checked.diagnostics, *Matcher(checked).diagnostics]) if d.file == name]
    errors = sum(d.severity == ERROR for d in found)
    return a.CheckAnswer(
        ok=errors == 0,
        errors=errors,
        warnings=len(found) - errors,
        diagnostics=[as_record(d, request.text) for d in found[:MOST_DIAGNOSTICS]],
    )


def _refuse_files(parsed: ParsedFile) -> None:
    for node in parsed.declarations:
        if isinstance(node, ListNode) and node.file is not None:
            raise NotAnswered("A LIST from a file cannot be checked here: give its entries in the text.")


def explain(ruleset: RuleSet, request: a.ExplainRequest) -> a.ExplainAnswer:
    """A rule in words.

    Raises:
        NotAnswered: there is no such rule.
    """
    found = explained(ruleset, rule_name(ruleset, request.rule))
    return a.ExplainAnswer(as_text(found, request.code), msgspec.to_builtins(found))


def why(ruleset: RuleSet, settings: Settings, request: a.WhyRequest, now_ms: int) -> Answer:
    """Why a rule did not alert for a device, by what the stream holds.

    Raises:
        NotAnswered: there is no such rule, the time is none, or the stream cannot be read.
    """
    name = rule_name(ruleset, request.rule)
    if "device" not in ruleset.rules[name].by:
        raise NotAnswered("That rule is about no device in particular.")
    at_ms = None
    if request.at is not None:
        try:
            at_ms = epoch_ms(request.at)
        except ValueError as error:
            raise NotAnswered(f"`at` is a time such as 2026-03-02T11:01:00Z: {error}.") from None
    return why_stored(ruleset, settings, name, request.device, at_ms, _since(request.since, now_ms))


def baseline(
    ruleset: RuleSet, settings: Settings, request: a.BaselineRequest, now_ms: int
) -> a.BaselineAnswer:
    """What baselines have seen of a device, by what the stream holds.

    Raises:
        NotAnswered: there is no such baseline, or the stream cannot be read.
    """
    names = None
    if request.baselines:
        names = tuple("_".join(name.replace("_", " ").split()) for name in request.baselines)
        for name in names:
            if name not in ruleset.baselines:
                hint = did_you_mean(name, ruleset.baselines, f"they are {', '.join(ruleset.baselines)}.")
                raise NotAnswered(f"There is no such baseline; {hint}")
    since = None if request.since is None else _since(request.since, now_ms)
    wanted = {**request.key, "device": request.device}
    found = histories_stored(ruleset, settings, wanted, names, since)
    most = min(max(1, request.most), 100)
    return a.BaselineAnswer(found[:most], max(0, len(found) - most))


def rule_name(ruleset: RuleSet, given: str) -> str:
    """The canonical name of a rule that runs.

    Raises:
        NotAnswered: there is none.
    """
    name = "_".join(given.replace("_", " ").split())
    if name not in ruleset.rules:
        hint = did_you_mean(name, ruleset.rules, "`rules` says which there are.")
        raise NotAnswered(f"There is no such rule; {hint}")
    return name


def _since(text: str, now_ms: int) -> datetime.datetime:
    try:
        back = duration_ms(text)
    except ValueError:
        raise NotAnswered("`since` is a duration such as 30m, 24h or 7d.") from None
    return datetime.datetime.fromtimestamp(max(0, now_ms - back) / 1_000, datetime.UTC)
