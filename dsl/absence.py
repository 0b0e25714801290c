"""Where NO may stand (LANGUAGE.md section 3): checked on the syntax tree, for it needs no names.

An absence has no event. So it cannot be put in any order (ALL OF, ANY), cannot be named, and needs
something from which its time counts. Inside ONE OF it may only end a branch, however deep in groups it
stands there: what follows would begin at an event on one branch and at a deadline on the other.
"""

from __future__ import annotations

import msgspec

from dsl import nodes as n
from dsl.scope import Report


class _Place(msgspec.Struct, frozen=True):
    """Where a pattern stands.

    Attributes:
        together: inside ALL OF or ANY, at any depth.
        branch: inside ONE OF, at any depth.
        ends: nothing follows inside the outermost ONE OF.
        first: nothing comes before it in the rule.
    """

    together: bool = False
    branch: bool = False
    ends: bool = True
    first: bool = True


def check_absences(pattern: n.Pattern, report: Report) -> None:
    """Report every NO that stands where it may not (TW403), and patterns that are only NO (TW404)."""
    if not _only_absence(pattern, report):
        _pattern(pattern, _Place(), report)


def _only_absence(pattern: n.Pattern, report: Report) -> bool:
    found = _is_only_absence(pattern)
    if found:
        report.error(
            "TW404",
            "the pattern is only NO",
            pattern.span,
            "nothing starts it",
            "begin with an event: `check in THEN NO check in FOR 4h`",
        )
    return found


def _is_only_absence(pattern: n.Pattern) -> bool:
    return all(isinstance(step.node, n.Absence) for step in pattern.steps)


def _pattern(pattern: n.Pattern, place: _Place, report: Report) -> None:
    first = place.first
    for index, step in enumerate(pattern.steps):
        is_last = index == len(pattern.steps) - 1
        here = msgspec.structs.replace(place, ends=place.ends and is_last, first=first)
        _step(step, here, report)
        # NO at the very beginning looks back from what follows, which is still the first event.
        first = first and isinstance(step.node, n.Absence)


def _step(step: n.Step, place: _Place, report: Report) -> None:
    match step.node:
        case n.Absence():
            _absence(step, place, report)
        case n.Group():
            if place.together or not _only_absence(step.node.pattern, report):
                _pattern(step.node.pattern, place, report)
        case n.AllOf() | n.AnyOf():
            together = msgspec.structs.replace(place, together=True)
            for branch in step.node.branches:
                _pattern(branch, together, report)
        case n.OneOf():
            # What ends a branch of the outermost ONE OF ends it for those inside, too.
            inside = msgspec.structs.replace(place, branch=True, ends=place.ends or not place.branch)
            for branch in step.node.branches:
                if place.first and not place.together and _is_only_absence(branch):
                    report.error(
                        "TW404",
                        "a branch of the first step is only NO",
                        branch.span,
                        "from when would its time count?",
                        "put a step before ONE OF, or begin the branch with an event",
                    )
                else:
                    _pattern(branch, inside, report)
        case _:
            pass


def _absence(step: n.Step, place: _Place, report: Report) -> None:
    if step.guards:  # the grammar allows none; kept for trees built by hand
        report.error("TW402", "NO takes no WITHOUT", step.span, "an absence has no event to guard")
    if step.alias is not None:
        report.error("TW403", "NO has no event to name", step.alias.span, "an absence", "leave AS out")
    if step.gap is not None and (step.gap.lower is not None or step.gap.upper is not None):
        report.error(
            "TW403",
            "a gap before NO has no meaning",
            step.gap.span,
            "NO begins at the step before it",
            "`a THEN NO g FOR 10m`",
        )
    if place.together:
        report.error(
            "TW403",
            "NO may not stand inside ALL OF and ANY",
            step.span,
            "an absence",
            "put it before or after",
        )
    elif place.branch and not place.ends:
        report.error(
            "TW403",
            "inside ONE OF, NO may only end a branch",
            step.span,
            "not the last step",
            "move it to the end",
        )
