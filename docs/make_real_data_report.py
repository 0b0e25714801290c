"""Writes docs/reference/real-data.md: how often the shipped rules and signals fire on real recordings.

Run it from the checkout: `python docs/make_real_data_report.py`. Where there are no recordings (real_data.py
says which), it does nothing. A test compares.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

from real_data import (  # noqa: E402
    DATA,
    HISTORY_DAYS,
    NJRAT,
    RECORDINGS,
    Count,
    count,
    events_of,
    injected,
    labelled,
    rules_with_counters,
    with_history,
)

PAGE = ROOT / "docs" / "reference" / "real-data.md"


def page() -> str:
    """The whole page."""
    counts = {recording.name: count(events_of(recording)) for recording in RECORDINGS}
    signals = sorted({name for c in counts.values() for name in c.signals})
    every = sorted(rules_with_counters().signals)
    rules = sorted(name for name in rules_with_counters().rules if not name.startswith("counts_"))
    parts = [
        HEAD,
        "## What was read\n",
        _table(
            ("recording", "is", "events", "device-days"),
            [
                (r.name, r.kind, f"{counts[r.name].events:,}", str(counts[r.name].device_days))
                for r in RECORDINGS
            ],
        ),
    ]
    parts += [SIGNALS, _rates({n: c.signals for n, c in counts.items()}, counts, signals)]
    silent = ", ".join(f"`{n.replace('_', ' ')}`" for n in every if n not in signals)
    parts.append(
        f"\nNever: {silent}. Most of them ask a baseline, and these recordings are too short to warm one: "
        "see [warmed](#warmed). The rest are about management, posture and sensors, of which there is no "
        "recording.\n"
    )
    firsts = {n: {k: v for k, v in c.firsts.items() if v} for n, c in counts.items()}
    began = sorted({k for found in firsts.values() for k in found})
    parts += [STEPS, _rates(firsts, counts, began)]
    done = {k: v for c in counts.values() for k, v in c.matches.items() if v}
    parts.append(
        f"\nCompleted matches, published or not: {sum(done.values())}. Alerts: "
        f"{sum(len(d) for c in counts.values() for d in c.alerts.values())}. "
        f"That is of all {len(rules)} rules, "
        "on all recordings, benign or not.\n"
    )
    parts += [_malicious(counts), _warmed(), _injected()]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _rates(found: dict[str, dict[str, int]], counts: dict[str, Count], names: list[str]) -> str:
    """How often on a device-day, for each recording in which anything was found."""
    shown = [n for n in found if found[n]]
    rows = []
    for name in names:
        cells = []
        for recording in shown:
            number = found[recording].get(name, 0)
            rate = number / counts[recording].device_days
            cells.append(f"{rate:.1f} ({number})" if number else "")
        rows.append((f"`{name.replace('_', ' ')}`", *cells))
    return _table(("", *shown), rows)


def _malicious(counts: dict[str, Count]) -> str:
    lab = labelled()
    fitting = counts[NJRAT.name].fitting
    by_signal = {name: len(ids & lab) for name, ids in fitting.items() if ids & lab}
    among = len(set().union(*fitting.values()) & lab)
    lines = [
        "## The malicious recordings\n",
        f"Of the {len(lab)} NjRAT flows that the capture's authors call malicious, {among} fit a signal "
        "from the first event on, without a history: "
        + ", ".join(f"`{n.replace('_', ' ')}` {c}" for n, c in sorted(by_signal.items()))
        + f". The other {len(lab) - among} are complete TLS connections to port 443, like any other.\n",
    ]
    for recording in RECORDINGS[9:]:
        c = counts[recording.name]
        name, fit = recording.name.partition(",")[0], c.signals["unknown_service"]
        lines.append(
            f"Of the {c.events:,} packets of {name}'s channel {fit:,} ({fit / c.events:.0%}) fit "
            "`unknown service`; the others are ICMP"
            f"{' and one that was taken for a known protocol' if name == 'DroidJack' else ''}.\n"
        )
    return "\n".join(lines)


def _warmed() -> str:
    lab = labelled()
    wires = events_of(NJRAT)
    past, now = with_history(wires, [w for w in wires if w["id"] not in lab])
    c = count(now, past)
    ((rule, devices),) = c.alerts.items()
    victims = {w["device"] for w in wires if w["id"] in lab}
    who = "the infected machine and no other" if devices == victims else f"{len(devices)} devices"
    lines = [
        "## Warmed\n",
        "A novelty baseline answers after 3 days and 50 events; the NjRAT capture lasts 50 minutes. So its "
        f"own background (the {len(wires) - len(lab)} flows that are not labelled malicious) goes in first, "
        f"on each of {HISTORY_DAYS} days before. Then `new unknown service` fits "
        f"{c.signals['new_unknown_service']} event, and `{rule.replace('_', ' ')}` alerts on {who}, of "
        f"{len({w['device'] for w in wires})} devices.\n",
        "The same for the other recordings, each behind itself. That is kind to the baselines, since "
        "nothing in the last turn is really new; what fits all the same shows their limits.\n",
    ]
    rows = []
    for recording in RECORDINGS[:7]:
        wires = events_of(recording)
        past, now = with_history(wires, wires)
        warm = count(now, past)
        cold = count(wires)
        more = {n: v for n, v in warm.signals.items() if v != cold.signals.get(n, 0)}
        shown = ", ".join(
            f"`{n.replace('_', ' ')}` {cold.signals.get(n, 0)} → {v}" for n, v in sorted(more.items())
        )
        rows.append((recording.name, shown or "nothing", str(sum(len(d) for d in warm.alerts.values()))))
    lines += [_table(("recording", "changes, cold → warmed", "alerts"), rows), LIMITS]
    return "\n".join(lines)


def _injected() -> str:
    alerts, wanted = injected()
    rows = [
        (
            d,
            f"`{r.replace('_', ' ')}`",
            ", ".join(f"`{n.replace('_', ' ')}`" for n, ds in sorted(alerts.items()) if d in ds),
        )
        for d, r in wanted.items()
    ]
    others = sorted({d for ds in alerts.values() for d in ds} - set(wanted))
    return "\n".join(
        [
            INJECTED,
            _table(("device", "made-up chain", "alerts"), rows),
            f"Alerts on the other devices: {len(others)}.\n",
        ]
    )


HEAD = """# The rule pack on real recordings

<!-- Written by docs/make_real_data_report.py. -->

How often the rules and signals of [`rules/mobile`](rules-mobile.md) fire on recordings of real devices and
networks. The recordings are public test data of other projects, and no part of this one; the page holds
counts only. `python docs/make_real_data_report.py` writes it anew.

**What this shows, and what not.** There is no public recording of a phone that is being exploited with its
network *and* its crashes. So how well the rules find that is not measured here, and could not be: the
chains in their tests are made up. What can be measured is how they behave on healthy devices, and whether
single signals fire on malware whose traffic was recorded.
"""

SIGNALS = """
## Signals alone

Events that fit a signal, per device-day (a device and a day with any event of it); in brackets the events.
In the recordings of networks every address is a device, so a device-day is a few minutes of a machine that
may be no phone. A recording in which no signal fits is left out.
"""

STEPS = """
## As a first step

Runs that began, per device-day: how often a rule had its first step and waited for the rest.
"""

LIMITS = """
- `rare site` and `new process` fire on names and processes that came every day before: a novelty key keeps
  64 values, and these devices have more. On fleets of 50 devices and more, prevalence decides for `rare
  site`.
- `traffic deviation` never fires: none of these recordings has bytes of apps in intervals of five minutes
  or less, often enough for its 30 buckets. Those of the power log are mostly longer, and the App Privacy
  Report has no bytes.
- `internal service deviation` fits often where machines of a network are scanned by others in it. As a
  first step it costs memory, and alerts nobody.
"""

INJECTED = """## Made-up chains over real histories

Seven devices repeat for five days what real ones did: flows of the NjRAT capture's background, names asked
for in network B, contacts of the App Privacy Report. On the sixth day four of them get a whole chain, two
half of one. A device that was scanned from has made an odd contact inside as well, so two rules alert
there.
"""

if __name__ == "__main__":
    if DATA.is_dir():
        PAGE.write_text(page(), "utf-8")
    else:
        print("there are no recordings in ../shared/data; nothing is written")
