"""What a run of the benchmarks found."""

from __future__ import annotations

import msgspec


class AlertCost(msgspec.Struct, frozen=True):
    """Microseconds of CPU for one alert: to build it from its match, and to encode it; bytes encoded."""

    build_us: float
    encode_us: float
    bytes: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One work.

    Attributes:
        alerts: published by the engine in all; ``counted`` of them by the rules of the reference.
        expected: the right number of counted alerts: that of the brute force, else of the reference.
        reference_count: what the hand-written code counts.
        seconds, floor_seconds, reference_seconds: CPU, median of the rounds.
        to_floor, to_reference: engine over floor and over reference, median of the rounds' ratios.
        reference_to_floor: the same for the reference over the floor.
        budget: the most that ``to_floor`` should be; None: no promise.
    """

    work: str
    about: str
    rules: int
    events: int
    bytes_per_event: float
    rounds: int
    alerts: int
    counted: int
    expected: int
    reference_count: int
    seconds: float
    floor_seconds: float
    reference_seconds: float
    to_floor: float
    to_reference: float
    reference_to_floor: float
    budget: float | None
    alert: AlertCost | None

    @property
    def events_per_second(self) -> float:
        """Events per CPU second of the engine, bytes in, encoded alerts out."""
        return self.events / self.seconds

    @property
    def wrong(self) -> str:
        """What is wrong with the counts; empty where nothing is."""
        if self.counted != self.expected:
            return f"{self.work}: the engine gives {self.counted:,} alerts, {self.expected:,} are right"
        if self.reference_count != self.expected:
            return f"{self.work}: the reference gives {self.reference_count:,}, {self.expected:,} are right"
        return ""


class NatsResult(msgspec.Struct, frozen=True, kw_only=True):
    """Reading one stream with an empty callback and with the engine in it; wall-clock and CPU, medians."""

    events_per_message: int
    events: int
    rounds: int
    alerts: int
    expected: int
    empty_events_per_second: float
    engine_events_per_second: float
    share: float
    """Engine over empty callback, in events per second of wall-clock time: the budget is at least 0.9."""
    empty_cpu_us: float
    engine_cpu_us: float

    @property
    def wrong(self) -> str:
        """What is wrong with the counts; empty where nothing is."""
        if self.alerts == self.expected:
            return ""
        size = self.events_per_message
        return f"nats, {size} a message: {self.alerts:,} alerts, {self.expected:,} are right"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one run, and what they were measured on."""

    form: str
    seed: int
    python: str
    msgspec: str
    machine: str
    results: list[Result]
    nats: list[NatsResult] = []

    @property
    def wrong(self) -> list[str]:
        """Every wrong count, a sentence each."""
        return [r.wrong for r in self.results if r.wrong] + [n.wrong for n in self.nats if n.wrong]
