"""The table of peers that README shows: one line a peer, from one run, and from facts where none was made."""

from __future__ import annotations

from benchmarks.peers.facts import FACTS, FLOOR_SECONDS
from benchmarks.result import PeerResult, Report

_OURS = ("thenwire", "by hand")


def page(report: Report) -> str:
    """Markdown. Ratios of W1 are CPU time over thenwire's in the same round; above 1, thenwire is cheaper."""
    # Of those that were measured beside slow peers too, on fewer events, the run on more events.
    of_peer = {r.peer: r for r in sorted(report.peers, key=lambda r: r.events) if r.work == "w1"}
    on_w1 = list(of_peer.values())
    w1 = next((result for result in report.results if result.work == "w1"), None)
    lines = [
        "| engine | CPU, times thenwire's | wall | counts | how it was measured | what it cannot express |",
        "|---|--:|--:|---|---|---|",
    ]
    in_order = sorted(on_w1, key=lambda one: (one.peer not in _OURS, one.cpu_ratio))
    lines += [_line(result, _others(report, result.peer)) for result in in_order]
    if w1 is not None and on_w1:
        for fact in FACTS:
            # Their floor over ours: what they took then, in today's times of the floor.
            ratio = fact.cpu_seconds / FLOOR_SECONDS / w1.to_floor
            lines.append(
                f"| {fact.peer} | about {ratio:.0f} | | {fact.count} "
                f"| not run here: measured once, 2026-11; {fact.how} | {fact.cannot} |"
            )
    lines += ["", *_notes(report, on_w1)]
    return "\n".join(lines) + "\n"


def _others(report: Report, peer: str) -> str:
    """The other works of a peer in a few words."""
    found = [
        f"{result.work} {result.cpu_ratio:.2g}{'' if result.right else ' WRONG COUNT'}"
        for result in report.peers
        if result.peer == peer and result.work != "w1"
    ]
    return "; ".join(found)


def _line(result: PeerResult, others: str) -> str:
    counts = (
        f"{result.count:,} right"
        if result.right
        else f"{result.count:,} WRONG, {result.expected:,} are right"
    )
    how = f"{result.style}, {result.events:,} events: {result.how}"
    if others and result.peer not in _OURS:
        how += f". Other works: {others}"
    name = f"**{result.peer}**" if result.peer == "thenwire" else f"{result.peer} {result.version}"
    name = "by hand" if result.peer == "by hand" else name
    return (
        f"| {name} | {result.cpu_ratio:.2f} | {result.wall_ratio:.2f} | {counts} ({result.reading}) | {how} "
        f"| {result.cannot or '-'} |"
    )


def _notes(report: Report, on_w1: list[PeerResult]) -> list[str]:
    rounds = on_w1[0].rounds if on_w1 else 0
    said = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    notes = [
        "W1: a flow with a high score, then trouble of the same device and app within 300 s. "
        f"{report.machine}, Python {report.python}; {said}, in turn, a process each; "
        "starting, importing and compiling left out. CPU is user and system time of all threads.",
        "",
        "Engines differ in what they count as a match, and each is held against a brute force in its own "
        "reading: `all` pairs, `first` second event of each first one, `asof`: second events that have a "
        "first one, `latest`: the newest first event wins and is used up. None of the others changes or "
        "closes an alert when a late event comes.",
    ]
    if report.skipped:
        notes += ["", "Not measured in this run: " + "; ".join(report.skipped) + "."]
    return notes
