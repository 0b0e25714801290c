"""What a run of the benchmarks found."""

from __future__ import annotations

import msgspec


class AlertCost(msgspec.Struct, frozen=True):
    """Microseconds of CPU for one alert.

    Attributes:
        build_us: to build it from its match.
        encode_us: to encode it; ``bytes`` encoded.
        whole_us: what a chain that alerts costs more than one that misses: to complete the match, to build
            the alert, and to remember it.
    """

    build_us: float
    encode_us: float
    bytes: int
    whole_us: float = 0.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One work.

    Attributes:
        alerts: published by the engine in all; ``counted`` of them by the rules of the reference.
        expected: the right number of counted alerts: that of the brute force, else of the reference.
        reference_count: what the hand-written code counts.
        seconds, floor_seconds, reference_seconds: CPU, median of the rounds; ``wall`` is the engine's time by
            the clock on the wall.
        to_floor, to_reference: engine over floor and over reference, median of the rounds' ratios; None where
            the reference does only a part of the work.
        reference_to_floor: the same for the reference over the floor.
        to_keeping, keeping_to_floor: the same for the hand-written code that keeps what late events may
            change; None where there is none of its own.
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
    wall: float
    floor_seconds: float
    reference_seconds: float
    to_floor: float
    to_reference: float | None
    reference_to_floor: float
    budget: float | None
    alert: AlertCost | None
    keeping_count: int | None = None
    to_keeping: float | None = None
    keeping_to_floor: float | None = None

    @property
    def events_per_second(self) -> float:
        """Events per CPU second of the engine, bytes in, encoded alerts out."""
        return self.events / self.seconds

    @property
    def wrong(self) -> str:
        """What is wrong with the counts; empty where nothing is."""
        if self.counted != self.expected:
            return f"{self.work}: the engine gives {self.counted:,} alerts, {self.expected:,} are right"
        if self.keeping_count not in (None, self.expected):
            return (
                f"{self.work}: the code that keeps gives {self.keeping_count:,}, {self.expected:,} are right"
            )
        if self.reference_count != self.expected:
            return f"{self.work}: the reference gives {self.reference_count:,}, {self.expected:,} are right"
        return ""


class NatsResult(msgspec.Struct, frozen=True, kw_only=True):
    """Reading one stream with an empty callback, with one that decodes and with the engine in it; by the
    clock on
    the wall and in CPU, medians.
    """

    events_per_message: int
    events: int
    rounds: int
    alerts: int
    expected: int
    empty_events_per_second: float
    decode_events_per_second: float
    engine_events_per_second: float
    share: float
    """Engine over empty callback, in events per second of wall-clock time: the budget for single events is at
    least 0.9.
    """
    share_of_decode: float
    """Engine over decoding alone, likewise: the budget for messages of 100 events is at least 0.6."""
    empty_cpu_us: float
    decode_cpu_us: float
    engine_cpu_us: float

    @property
    def wrong(self) -> str:
        """What is wrong with the counts; empty where nothing is."""
        if self.alerts == self.expected:
            return ""
        size = self.events_per_message
        return f"nats, {size} a message: {self.alerts:,} alerts, {self.expected:,} are right"


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """From an event published to its alert received, at half of the most events a second.

    ``alerts`` and ``expected`` are those of both halves of the run, at full rate and at half of it.
    """

    events: int
    most_per_second: float
    per_second: float
    alerts: int
    expected: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def wrong(self) -> str:
        """What is wrong with the counts; empty where nothing is."""
        if self.alerts == self.expected:
            return ""
        return f"latency: {self.alerts:,} alerts, {self.expected:,} are right"


class DevicesResult(msgspec.Struct, frozen=True, kw_only=True):
    """What many devices cost, in a process of its own.

    Attributes:
        state: what is known of each device (``benchmarks/devices.py``).
        events: that were fed, of all devices together.
        bytes_per_device: of resident memory, over that of the engine without devices.
        held_per_device: the same by the sizes of the objects; None where there are too many to look at.
        things: what is counted of each device, such as ``a kept event``; ``device`` for the device itself.
        of_device: how many of them each device has.
        microseconds: of CPU an event.
        longest_collection_ms: of Python's collector while events flow, as the service has set it.
        full_collection_ms: of one collection over all there is.
    """

    state: str
    about: str
    devices: int
    events: int
    bytes_per_device: float
    microseconds: float
    longest_collection_ms: float
    resident: int
    full_collection_ms: float = 0.0
    held_per_device: float | None = None
    things: str = "device"
    of_device: int = 1

    @property
    def bytes_each(self) -> float:
        """Of one of the things, by the sizes of the objects where those are known."""
        held = self.held_per_device
        return (self.bytes_per_device if held is None else held) / self.of_device


class PeerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do one work, in a process of its own.

    Attributes:
        style: ``per event``, ``batch`` or ``micro-batch``.
        reading: what it counts (``peers/readings.py``); ``expected`` is the right number in that reading.
        same: it gave the same count in all rounds.
        cpu, wall: seconds, medians of the rounds.
        resident: the most memory its process had, in bytes.
        cpu_ratio, wall_ratio: its time over thenwire's in the same round, medians: above 1, thenwire is
        faster.
    """

    peer: str
    version: str
    work: str
    style: str
    reading: str
    how: str
    cannot: str
    events: int
    rounds: int
    count: int
    expected: int
    same: bool
    cpu: float
    wall: float
    resident: int
    cpu_ratio: float
    wall_ratio: float

    @property
    def right(self) -> bool:
        """Whether it counts right in its own reading."""
        return self.same and self.count == self.expected


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one run, and what they were measured on."""

    form: str
    seed: int
    python: str
    msgspec: str
    machine: str
    results: list[Result]
    nats: list[NatsResult] = []
    latency: LatencyResult | None = None
    devices: list[DevicesResult] = []
    peers: list[PeerResult] = []
    skipped: list[str] = []

    @property
    def wrong(self) -> list[str]:
        """Every wrong count, a sentence each."""
        ours = [p for p in self.peers if p.peer == "thenwire" and not p.right]
        found = [r.wrong for r in self.results] + [n.wrong for n in self.nats]
        found += [f"{p.work}: {p.count:,} alerts beside the peers, {p.expected:,} are right" for p in ours]
        if self.latency is not None:
            found.append(self.latency.wrong)
        return [sentence for sentence in found if sentence]
