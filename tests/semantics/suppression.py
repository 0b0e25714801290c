"""SUPPRESS by definition: LANGUAGE.md section 4 item 13, for input in order and without closes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oracle import Match

Group = tuple[str, ...]


def published(
    found: Iterable[Match], duration_ms: int, group_of: Callable[[Match], Group]
) -> list[tuple[Match, int]]:
    """The matches that are published, each with how many the next before it had suppressed.

    Args:
        found: the matches in the order of publication.
        duration_ms: how long after a published alert further matches are only counted, inclusive.
        group_of: the values of the PER keys.
    """
    out: list[tuple[Match, int]] = []
    last: dict[Group, Match] = {}
    counts: dict[Group, int] = {}
    for match in found:
        group = group_of(match)
        if group in last and match.moment[0] - last[group].moment[0] <= duration_ms:
            counts[group] = counts.get(group, 0) + 1
        else:
            last[group] = match
            out.append((match, counts.pop(group, 0)))
    return out
