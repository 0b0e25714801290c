"""Alerts for people: a table, and one in full."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.alerting.sentence import judged
from engine.alerts import Alert, Deviation, printable

STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}


def safe(value: object, style: str = "") -> Text:
    """Text from outside: no markup, no control characters."""
    return Text(printable(str(value)), style)


def alert_table(alerts: Iterable[Alert]) -> Table:
    """One line an alert, as it stands at the end."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "severity", "rule", "device", "what"):
        table.add_column(heading, no_wrap=heading != "what", overflow="fold")
    for alert in alerts:
        closed = alert.status == "closed"
        table.add_row(
            alert.time.replace("T", " ").removesuffix("Z"),
            Text("closed" if closed else alert.severity, "dim" if closed else STYLES.get(alert.severity, "")),
            safe(alert.rule.name.replace("_", " ")),
            safe(alert.device),
            safe(alert.title),
        )
    return table


def alert_panel(alert: Alert) -> Panel:
    """Everything an analyst asks first: what, why, how sure, what was excluded."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    risk = "" if alert.risk is None else f", risk {alert.risk:.0f}"
    rows.add_row("severity", safe(f"{alert.severity}{risk}, confidence {alert.confidence.level}"))
    for why in alert.confidence.why:
        rows.add_row("", safe(why))
    rows.add_row("reason", safe(alert.reason))
    for step in alert.steps:
        shown = "  ".join(f"{k}={v}" for k, v in step.fields.items())
        rows.add_row(
            f"step {step.name}", safe(f"{step.time}  {step.kind}  from {step.source}, event {step.event_id}")
        )
        rows.add_row("", safe(shown))
    for deviation in alert.deviation:
        rows.add_row(
            f"deviation of {deviation.step}",
            safe(
                f"{_against(deviation)} "
                f"({deviation.scope} history, {deviation.samples:,} samples, {deviation.state})"
            ),
        )
    for excluded in alert.excluded:
        rows.add_row("excluded", safe(f"{excluded.what}, {excluded.window}"))
    for gap in alert.gaps:
        rows.add_row("gap", safe(f"{gap.need}: {gap.status}; {gap.effect}"))
    for change in alert.changes:
        rows.add_row("changed", safe(f"{change.what}: {change.before}, now {change.after}"))
    rows.add_row("window", safe(f"{alert.window.elapsed} of {alert.window.limit}"))
    attack = ", ".join(map(str, alert.attack.get("analytics", [])))
    if attack:
        rows.add_row("ATT&CK", safe(f"{attack} {alert.attack.get('strategy', '')}".strip()))
    rows.add_row(
        "id", safe(f"{alert.id}, revision {alert.revision}, may change until {alert.revisable_until}")
    )
    return Panel(
        Group(rows), title=safe(alert.title), title_align="left", border_style=STYLES.get(alert.severity, "")
    )


def _against(deviation: Deviation) -> str:
    """What was judged, and against what."""
    value, low, high = deviation.value, deviation.expected_low, deviation.expected_high
    if isinstance(value, str) or low is None or high is None:
        return judged(deviation)
    usual = f"usual {low:,.0f} to {high:,.0f}"
    return f"{deviation.baseline}: {value:,.0f}, {usual}, {deviation.score:.1f} spreads"


def latest(alerts: Iterable[Alert]) -> list[Alert]:
    """Each alert once, in its last revision, in order of birth."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        found[alert.id] = alert
    return list(found.values())


def print_alerts(alerts: Iterable[Alert], console: Console) -> None:
    """The table, or a sentence where there is nothing to show."""
    shown = latest(alerts)
    if shown:
        console.print(alert_table(shown))
    else:
        console.print("no alerts")
