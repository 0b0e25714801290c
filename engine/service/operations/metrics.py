"""/metrics: the status in the form of Prometheus, and OpenMetrics where a scraper asks for it.

`METRICS` is the list of what is exported; docs/reference/operations.md is written from it. Names follow the
conventions of Prometheus: base units, ``_total`` for counters. Labels hold names from rule files, reasons of
ours and kinds that an EVENT declares, never what an event brings, so that no sender can make series.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from engine.service.operations.status import Status

Values = Iterable[tuple[tuple[str, ...], float]]


class Metric(msgspec.Struct, frozen=True):
    """One family: ``values`` gives label values and the number of each series; none at all is allowed."""

    name: str
    kind: str
    """``counter`` or ``gauge``."""
    labels: tuple[str, ...]
    help: str
    values: Callable[[Status], Values]


def _one(value: Callable[[Status], float | None]) -> Callable[[Status], Values]:
    def values(status: Status) -> Values:
        found = value(status)
        return [] if found is None else [((), float(found))]

    return values


def _rules(field: str) -> Callable[[Status], Values]:
    return lambda status: [((rule.name,), float(getattr(rule, field))) for rule in status.rules]


def _costs(which: str) -> Callable[[Status], Values]:
    def values(status: Status) -> Values:
        for one in getattr(status, which):
            if one.cost is not None:
                yield (one.kind if which == "kinds" else one.name,), one.cost

    return values


def _counter(name: str, text: str, value: Callable[[Status], float | None]) -> Metric:
    return Metric(name, "counter", (), text, _one(value))


def _gauge(name: str, text: str, value: Callable[[Status], float | None]) -> Metric:
    return Metric(name, "gauge", (), text, _one(value))


METRICS: tuple[Metric, ...] = (
    Metric(
        "thenwire_build_info",
        "gauge",
        ("version", "python"),
        "Always 1; the labels say what runs",
        lambda s: [((s.version, platform.python_version()), 1.0)],
    ),
    _gauge("thenwire_ready", "1 if /readyz says yes", lambda s: float(s.ready)),
    _gauge("thenwire_uptime_seconds", "Seconds since the start", lambda s: s.uptime),
    _gauge(
        "thenwire_loop_delay_seconds",
        "The longest that the event loop was held in the last minute",
        lambda s: s.loop_delay,
    ),
    _gauge(
        "thenwire_behind",
        "1 while deadlines or late events that came in great number are still being worked off",
        lambda s: float(s.behind),
    ),
    _gauge("thenwire_connected", "1 while there is a connection to NATS", lambda s: float(s.input.connected)),
    _counter("thenwire_reconnects_total", "Connections to NATS made again", lambda s: s.input.reconnects),
    _counter("thenwire_messages_total", "Messages of the input processed", lambda s: s.input.messages),
    _counter(
        "thenwire_messages_skipped_total",
        "Messages delivered again by the server and recognised",
        lambda s: s.input.skipped,
    ),
    _counter(
        "thenwire_messages_lost_total",
        "Messages that a limit of the stream removed before they were read",
        lambda s: s.input.lost,
    ),
    _counter(
        "thenwire_processor_failures_total",
        "Messages at which the engine failed; each became a dead letter",
        lambda s: s.input.failed,
    ),
    _counter(
        "thenwire_source_reopened_total",
        "How often the reading of the input was opened again",
        lambda s: s.input.reopened,
    ),
    _gauge("thenwire_input_sequence", "Stream sequence last processed", lambda s: s.input.position),
    _gauge(
        "thenwire_input_acknowledged_sequence",
        "Stream sequence up to which the input is acknowledged",
        lambda s: s.input.acknowledged,
    ),
    _gauge(
        "thenwire_lag_messages",
        "Messages in the input stream that are not processed yet, asked every 5 seconds",
        lambda s: s.input.lag_messages,
    ),
    _gauge(
        "thenwire_lag_seconds",
        "Age of the newest processed message while others wait, else 0",
        lambda s: s.input.lag_seconds,
    ),
    Metric(
        "thenwire_events_total",
        "counter",
        ("kind",),
        "Events given to the rules, by kind",
        lambda s: [((kind.kind,), float(kind.seen)) for kind in s.kinds],
    ),
    Metric(
        "thenwire_events_late_total",
        "counter",
        ("kind",),
        "Events that came later than LATE of their kind and were not matched",
        lambda s: [((kind.kind,), float(kind.late)) for kind in s.kinds],
    ),
    _counter("thenwire_events_unread_total", "Events of kinds that no rule reads", lambda s: s.unread),
    _counter("thenwire_events_unknown_total", "Events of kinds that no EVENT declares", lambda s: s.unknown),
    Metric(
        "thenwire_event_cost_seconds",
        "gauge",
        ("kind",),
        "Mean time in the engine of one event, from a sample",
        _costs("kinds"),
    ),
    _gauge("thenwire_rules", "Rules that run", lambda s: len(s.rules)),
    Metric(
        "thenwire_rule_fits_total", "counter", ("rule",), "Events that fit a step or guard", _rules("fits")
    ),
    Metric("thenwire_rule_starts_total", "counter", ("rule",), "Events that begin a run", _rules("starts")),
    Metric("thenwire_rule_matches_total", "counter", ("rule",), "Completed matches", _rules("matches")),
    Metric(
        "thenwire_rule_suppressed_total",
        "counter",
        ("rule",),
        "Matches that SUPPRESS kept from being an alert",
        _rules("suppressed"),
    ),
    Metric(
        "thenwire_rule_unkeyed_total",
        "counter",
        ("rule",),
        "Events that fit and lack a field of the key",
        _rules("unkeyed"),
    ),
    Metric(
        "thenwire_rule_duplicates_total",
        "counter",
        ("rule",),
        "Kept events that came a second time",
        _rules("duplicates"),
    ),
    Metric(
        "thenwire_rule_dropped_total",
        "counter",
        ("rule",),
        "Choices or kept events dropped at a cap",
        _rules("dropped"),
    ),
    Metric(
        "thenwire_rule_reruns_total", "counter", ("rule",), "Runs again after late events", _rules("reruns")
    ),
    Metric(
        "thenwire_rule_devices",
        "gauge",
        ("rule",),
        "Devices of which the rule keeps anything",
        _rules("devices"),
    ),
    Metric(
        "thenwire_rule_cost_seconds",
        "gauge",
        ("rule",),
        "Mean time of an event that fits the rule, from a sample; shared where it fits several",
        _costs("rules"),
    ),
    Metric(
        "thenwire_baseline_keys",
        "gauge",
        ("baseline",),
        "Keys that a baseline knows",
        lambda s: [((one.name,), float(one.keys)) for one in s.baselines],
    ),
    Metric(
        "thenwire_baseline_evicted_total",
        "counter",
        ("baseline",),
        "Keys of a baseline dropped at a cap",
        lambda s: [((one.name,), float(one.evicted)) for one in s.baselines],
    ),
    Metric(
        "thenwire_baseline_dropped_values_total",
        "counter",
        ("baseline",),
        "Values of a baseline dropped because a key had too many",
        lambda s: [((one.name,), float(one.dropped_values)) for one in s.baselines],
    ),
    _counter("thenwire_alerts_total", "Alerts caused, updates and closes included", lambda s: s.alerts),
    Metric(
        "thenwire_published_total",
        "counter",
        ("to",),
        "Messages that JetStream has stored, by the first token of their subject",
        lambda s: [((to,), float(count)) for to, count in s.output.stored.items()],
    ),
    _counter(
        "thenwire_published_duplicates_total",
        "Messages that JetStream already had",
        lambda s: s.output.duplicates,
    ),
    _counter(
        "thenwire_published_again_total",
        "Messages published again because no answer came",
        lambda s: s.output.resent,
    ),
    _counter(
        "thenwire_published_refused_total",
        "Messages dropped because no stream takes one of that size",
        lambda s: s.output.refused,
    ),
    _gauge(
        "thenwire_published_unsettled",
        "Messages not yet known to be stored",
        lambda s: s.output.unsettled,
    ),
    Metric(
        "thenwire_dead_letters_total",
        "counter",
        ("reason",),
        "Messages and events that could not be processed",
        lambda s: [((reason,), float(count)) for reason, count in s.dead_letters.items()],
    ),
    _counter(
        "thenwire_checkpoints_total",
        "Checkpoints written",
        lambda s: s.checkpoint.committed if s.checkpoint else None,
    ),
    _counter(
        "thenwire_checkpoint_failures_total",
        "Attempts to write a checkpoint that failed",
        lambda s: s.checkpoint.failures if s.checkpoint else None,
    ),
    _gauge(
        "thenwire_checkpoint_age_seconds",
        "Seconds since the last checkpoint",
        lambda s: s.checkpoint.age if s.checkpoint else None,
    ),
    _gauge(
        "thenwire_checkpoint_bytes",
        "Bytes that the last checkpoint wrote",
        lambda s: s.checkpoint.bytes if s.checkpoint else None,
    ),
    _gauge(
        "thenwire_checkpoint_duration_seconds",
        "How long the last checkpoint took",
        lambda s: s.checkpoint.seconds if s.checkpoint else None,
    ),
    _gauge(
        "thenwire_checkpoint_hold_seconds",
        "The longest that a checkpoint has held the event loop at a time",
        lambda s: s.checkpoint.hold if s.checkpoint else None,
    ),
    Metric(
        "thenwire_list_entries",
        "gauge",
        ("list",),
        "Entries of a LIST with a REFRESH",
        lambda s: [((one.name,), float(one.entries)) for one in s.lists],
    ),
    Metric(
        "thenwire_list_age_seconds",
        "gauge",
        ("list",),
        "Seconds since the file of the LIST was changed",
        lambda s: [((one.name,), one.age) for one in s.lists if one.age is not None],
    ),
    _gauge(
        "thenwire_fill_messages_read",
        "Messages of the past read while rules of a new set are filled",
        lambda s: None if s.fill is None else s.fill.read,
    ),
    _gauge(
        "thenwire_fill_messages",
        "About how many a fill will read",
        lambda s: None if s.fill is None else s.fill.of,
    ),
)


class StatusCollector(Collector):
    """Gives the families of one status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for metric in METRICS:
            family: CounterMetricFamily | GaugeMetricFamily
            if metric.kind == "counter":
                family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            else:
                family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in metric.values(self._status):
                family.add_metric(labels, value)
            yield family


def render(status: Status, accept: str) -> tuple[bytes, str]:
    """The text of a scrape and its content type, in the form that the ``Accept`` header prefers.

    With a thousand rules it takes a tenth of a second: not for the event loop.
    """
    registry = CollectorRegistry()
    registry.register(StatusCollector(status))
    # CPU, memory, open files of this process; on Linux only, and nothing elsewhere.
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    text: bytes = encode(registry)
    return text, content_type
