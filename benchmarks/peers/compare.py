"""Every peer on every work it can do, each time in a process of its own, in turn with thenwire and the
floor.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.generate import flows
from benchmarks.peers.peer import Measured, Peer, Task
from benchmarks.peers.readings import expected
from benchmarks.peers.table import PEERS, REFERENCE, THENWIRE
from benchmarks.result import PeerResult
from benchmarks.works import w1, w3

WORKS = {"short": ("w1",), "long": ("w1", "w2", "w3-1", "w3-10", "w3-100", "w3-1000")}
ROUNDS = {"short": 1, "long": 3}
SECONDS = 600
"""What one run may take."""
Say = Callable[[str], None]


class Failed(Exception):
    """A peer ended without saying what it found."""


def missing(peer: Peer) -> str:
    """What this peer lacks on this machine; empty where nothing."""
    absent = [name for name in peer.needs if find_spec(name) is None]
    if peer.java and not (shutil.which("java") and shutil.which("javac")):
        absent.append("a Java development kit")
    return ", ".join(absent)


def compare(
    form: str, seed: int, count: int, say: Say, peers: Sequence[Peer] = PEERS
) -> tuple[list[PeerResult], list[str]]:
    """What was measured, and a sentence on every peer that was not.

    Args:
        count: events; peers that are slow get a share of them.

    Raises:
        Failed: thenwire itself did.
    """
    skipped = [f"{peer.name}: not installed ({lacks})" for peer in peers if (lacks := missing(peer))]
    there = [peer for peer in peers if not missing(peer)]
    if not there:
        return [], skipped
    lines = list(flows.lines(count, seed))
    found: list[PeerResult] = []
    with tempfile.TemporaryDirectory(prefix="thenwire-peers-") as folder:
        for work in WORKS[form]:
            able = [peer for peer in there if work in peer.reading]
            for share in sorted({peer.share for peer in able}, reverse=True):
                part = lines[: round(count * share)]
                path = Path(folder) / f"{len(part)}.ndjson"
                if not path.exists():
                    path.write_bytes(b"\n".join(part) + b"\n")
                of_share = [peer for peer in able if peer.share == share]
                say(f"measuring {work} with {', '.join(peer.name for peer in of_share)} ...")
                found += _work(work, path, part, of_share, ROUNDS[form], skipped)
    return found, skipped


def _work(
    work: str, path: Path, lines: list[bytes], peers: list[Peer], rounds: int, skipped: list[str]
) -> list[PeerResult]:
    pairs = w3.pairs(int(work.removeprefix("w3-"))) if work.startswith("w3-") else [w1.PAIR]
    task = Task(work, str(path), [(p.score, p.port or 0, p.kinds[0], p.window_ms) for p in pairs])
    everyone = [THENWIRE, REFERENCE, *peers]
    runs: dict[str, list[Measured]] = {peer.name: [] for peer in everyone}
    broken: set[str] = set()
    for number in range(rounds):
        for peer in everyone if number % 2 == 0 else everyone[::-1]:
            if peer.name in broken:
                continue
            try:
                runs[peer.name].append(one(peer.module, task))
            except Failed as failed:
                if peer is THENWIRE:
                    raise
                broken.add(peer.name)
                skipped.append(f"{peer.name}, {work}: {failed}")
    right: dict[str, int] = {}
    results: list[PeerResult] = []
    base = runs[THENWIRE.name]
    for peer in everyone:
        of_peer = runs[peer.name]
        if peer.name in broken:
            continue
        reading = peer.reading[work]
        if reading not in right:
            right[reading] = expected(work, lines, pairs, reading)
        counts = {run.count for run in of_peer}
        results.append(
            PeerResult(
                peer=peer.name,
                version=of_peer[0].version,
                work=work,
                style=peer.style,
                reading=reading,
                how=peer.how,
                cannot=peer.cannot,
                events=len(lines),
                rounds=rounds,
                count=of_peer[0].count,
                expected=right[reading],
                same=len(counts) == 1,
                cpu=median(run.cpu for run in of_peer),
                wall=median(run.wall for run in of_peer),
                resident=max(run.resident for run in of_peer),
                cpu_ratio=median(run.cpu / ours.cpu for run, ours in zip(of_peer, base, strict=True)),
                wall_ratio=median(run.wall / ours.wall for run, ours in zip(of_peer, base, strict=True)),
            )
        )
    return results


def one(module: str, task: Task) -> Measured:
    """Run one peer once.

    Raises:
        Failed: see there.
    """
    command = [sys.executable, "-m", "benchmarks.peers.child", module, msgspec.json.encode(task).decode()]
    root = Path(__file__).parents[2]
    environment = dict(os.environ, TMPDIR=str(Path(task.path).parent))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, cwd=root, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done in {SECONDS} s") from None
    try:
        return msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=Measured)
    except msgspec.MsgspecError:
        # Some errors end with a picture of where they are.
        said = [line for line in done.stderr.splitlines() if line.strip(" ^")] or [""]
        last = next((line for line in said if re.match(r"[\w.]+(Error|Exception)\b", line)), said[-1])
        raise Failed(f"ended with code {done.returncode}: {last[:200]}") from None
