"""What the project has promised of a run's figures, and whether they hold."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.result import Report

TO_REFERENCE = 1.15
TO_PEERS = 2.0
ALERT_US = 25.0
NATS_SHARE = 0.9
NATS_SHARE_OF_DECODE = 0.6
LATENCY_P99_MS = 20.0
IDLE_BYTES = 400.0
QUIET_BYTES = 2**30 / 1_000_000
APPS_BYTES = 8 * 2**30 / 1_000_000
EACH_BYTES = {"kept": 250.0, "robust": 130.0, "robust-3": 234.0, "novelty": 250.0}
"""Of one kept event, and of the row of one app: its first robust baseline and 52 bytes for each further; a
novelty baseline with as many values as were measured.
"""
DEVICE_BYTES = {"idle": IDLE_BYTES, "ended": IDLE_BYTES, "quiet": QUIET_BYTES, "apps": APPS_BYTES}
COLLECTION_MS = 20.0


class Promise(NamedTuple):
    """One promise: what it is about, its figure, its bound, and whether it holds."""

    about: str
    figure: float
    bound: float
    holds: bool


def promises(report: Report) -> list[Promise]:
    """All promises that this run says something about."""
    found: list[Promise] = []

    def most(about: str, figure: float, bound: float) -> None:
        found.append(Promise(about, figure, bound, figure <= bound))

    def least(about: str, figure: float, bound: float) -> None:
        found.append(Promise(about, figure, bound, figure >= bound))

    for result in report.results:
        if result.budget is not None:
            most(f"{result.work}: times the decode floor, at most", result.to_floor, result.budget)
        if result.to_reference is not None:
            most(f"{result.work}: times the hand-written code, at most", result.to_reference, TO_REFERENCE)
        if result.alert is not None:
            cost = result.alert.build_us + result.alert.encode_us
            most(f"{result.work}: microseconds to build and encode an alert, at most", cost, ALERT_US)
    for nats in report.nats:
        if nats.events_per_message == 1:
            least("NATS, single events: share of an empty callback, at least", nats.share, NATS_SHARE)
        else:
            about = f"NATS, {nats.events_per_message} events a message: share of decoding alone, at least"
            least(about, nats.share_of_decode, NATS_SHARE_OF_DECODE)
    if report.latency is not None:
        most("latency at half load: p99 in ms, at most", report.latency.p99_ms, LATENCY_P99_MS)
    for devices in report.devices:
        if devices.state in DEVICE_BYTES:
            about = f"{devices.devices:,} {devices.state}: bytes a device, at most"
            # What has been forgotten leaves gaps behind, which the next device fills.
            gone = devices.state == "ended"
            most(about, devices.bytes_each if gone else devices.bytes_per_device, DEVICE_BYTES[devices.state])
        if devices.state in EACH_BYTES:
            about = f"{devices.devices:,} {devices.state}: bytes of {devices.things}, at most"
            most(about, devices.bytes_each, EACH_BYTES[devices.state])
        about = f"{devices.devices:,} {devices.state}: longest garbage collection in ms, at most"
        most(about, devices.longest_collection_ms, COLLECTION_MS)
    for peer in report.peers:
        if peer.style == "per event" and peer.peer not in ("thenwire", "by hand"):
            least(f"{peer.work}: throughput, times that of {peer.peer}, at least", peer.wall_ratio, TO_PEERS)
        if (peer.peer, peer.work) == ("DuckDB", "w1"):
            about = "w1: CPU an event, times that of DuckDB's batch, at most"
            most(about, 1 / peer.cpu_ratio, 1.0)
    return found
