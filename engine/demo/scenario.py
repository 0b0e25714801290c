"""The synthetic part of the demo: a fleet with a history, AN1756 chains on a few devices, and look-alikes.

Nothing in it is harmful or was recorded: every event has the source "synthetic", every device's name says
what it is, apps and hosts are of `example`, addresses are those reserved for documentation (RFC 5737).
"""

from random import Random
from typing import Any

import msgspec

START = 1_772_438_400_000
"""2026-03-02T08:00:00Z in epoch milliseconds. Fixed, so that every run of the demo shows the same."""

MINUTE = 60_000
HOUR = 60 * MINUTE

HISTORY_BUCKETS = 36
"""Five-minute buckets with traffic before anything happens: three hours, and more than the 30 that the
baseline `app egress` needs."""

ACT = START + HISTORY_BUCKETS * 5 * MINUTE
"""When the chains and look-alikes begin, a few seconds apart."""

SPACING = 17_000
"""Milliseconds from one device's act to the next one's, so that they interleave."""

CHAT = "com.example.chat"
MAIL = "com.example.mail"
BACKUP = "com.example.backup"
GAME = "com.example.game"
NEWCOMER = "com.example.newcomer"

USUAL_BYTES = {CHAT: (9_000, 16_000), MAIL: (14_000, 26_000), BACKUP: (7_000_000, 9_000_000)}
"""Least and most bytes of one flow of an app that has a history."""

SPIKE_BYTES = 9_400_000
"""Hundreds of times what the chat app sends: no threshold in a sane range changes what the demo shows."""


class Act(msgspec.Struct, frozen=True):
    """One event of a device's story."""

    after_ms: int
    """Counted from the traffic that deviates; negative before it."""
    kind: str
    fields: dict[str, Any]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What happens on one device."""

    device: str
    shows: str
    acts: tuple[Act, ...]
    apps: tuple[str, ...] = (CHAT,)
    """Apps with a history on the device."""


class Chain(Story, frozen=True, kw_only=True):
    """A device on which `an1756 ios` must alert."""

    severity: str


class Lookalike(Story, frozen=True, kw_only=True):
    """A device that looks like one of the chains, and on which no rule of the pack may alert."""

    why: str
    """Why it must stay silent."""


def _spike(app: str = CHAT) -> Act:
    target = {"host": "files.example", "ip": "203.0.113.7", "port": 443, "service": "ssl", "internal": False}
    return Act(0, "net.flow", {"app": app, "bytes_out": SPIKE_BYTES, "bytes_in": 4_100, **target})


def _exit(after_ms: int, exit_class: str, app: str = CHAT, **fields: str) -> Act:
    process = app.rpartition(".")[2].capitalize()
    return Act(after_ms, "app.exit", {"app": app, "process": process, "class": exit_class, **fields})


def _crash(after_ms: int, app: str = CHAT) -> Act:
    return _exit(after_ms, "memory_violation", app, exception="EXC_BAD_ACCESS", signal="SIGSEGV")


CHAINS: tuple[Chain, ...] = (
    Chain(
        device="synthetic-01",
        shows="the chat app sends far more than ever and dies of a memory violation 3 min 32 s later",
        severity="high",
        acts=(_spike(), _crash(212_000)),
    ),
    Chain(
        device="synthetic-02",
        shows="the chat app sends far more than ever; 4 min later the device is called compromised",
        severity="medium",
        acts=(_spike(), Act(4 * MINUTE, "device.posture", {"compromised": True, "risk": "high"})),
    ),
    Chain(
        device="synthetic-03",
        shows="the mail app sends far more than ever and is stopped for its signature, exactly 10 min later",
        severity="high",
        acts=(_spike(MAIL), _exit(10 * MINUTE, "codesign", MAIL, namespace="CODESIGNING")),
        apps=(CHAT, MAIL),
    ),
)
"""The devices that alert."""

LOOKALIKES: tuple[Lookalike, ...] = (
    Lookalike(
        device="lookalike-app-update",
        shows="the same traffic and the same crash, an hour after an update of the app",
        why="guard: the app was updated within 48 h",
        acts=(
            Act(-HOUR, "app.lifecycle", {"app": CHAT, "phase": "update", "app_version": "7.2"}),
            _spike(),
            _crash(3 * MINUTE),
        ),
    ),
    Lookalike(
        device="lookalike-os-update",
        shows="the same traffic and the same crash, two hours after a system update",
        why="guard: the system was updated within 72 h",
        acts=(
            Act(-2 * HOUR, "device.config", {"item": "os_version", "from": "18.6", "to": "18.6.1"}),
            _spike(),
            _crash(3 * MINUTE),
        ),
    ),
    Lookalike(
        device="lookalike-vpn-change",
        shows="the same traffic and the same crash, 5 min after the device left its VPN",
        why="guard: the VPN changed within 15 min",
        acts=(
            Act(-5 * MINUTE, "device.state", {"item": "vpn", "vpn": False}),
            _spike(),
            _crash(3 * MINUTE),
        ),
    ),
    Lookalike(
        device="lookalike-watchdog",
        shows="the same traffic, then the app is killed for being slow",
        why="a watchdog kill is no sign of exploitation",
        acts=(_spike(), _exit(2 * MINUTE, "watchdog", namespace="FRONTBOARD", code="0x8badf00d")),
    ),
    Lookalike(
        device="lookalike-jetsam",
        shows="the same traffic, then the app is killed for its memory",
        why="a resource kill is no sign of exploitation",
        acts=(_spike(), _exit(2 * MINUTE, "resource", namespace="JETSAM", code="per-process-limit")),
    ),
    Lookalike(
        device="lookalike-user-closes",
        shows="the same traffic, then the user closes the app",
        why="an end by the user is no sign of exploitation",
        acts=(_spike(), _exit(2 * MINUTE, "user_reset", code="0xdeadfa11")),
    ),
    Lookalike(
        device="lookalike-wrong-app",
        shows="the chat app has the same traffic, a game crashes",
        why="the rule follows one app: BY device, app",
        acts=(_spike(), _crash(3 * MINUTE, GAME)),
    ),
    Lookalike(
        device="lookalike-too-late",
        shows="the same traffic and the same crash, 10 min and 1 ms later",
        why="the window is 10 min, and ends with its last millisecond",
        acts=(_spike(), _crash(10 * MINUTE + 1)),
    ),
    Lookalike(
        device="lookalike-crash-first",
        shows="the crash comes first, the same traffic 3 min after it",
        why="what comes before the traffic does not follow from it",
        acts=(_crash(-3 * MINUTE), _spike()),
    ),
    Lookalike(
        device="lookalike-upload-only",
        shows="the same traffic, and nothing after it",
        why="a deviation alone is everyday life",
        acts=(_spike(),),
    ),
    Lookalike(
        device="lookalike-crash-only",
        shows="the same crash, after traffic as usual",
        why="a crash alone is everyday life",
        acts=(_crash(0),),
    ),
    Lookalike(
        device="lookalike-posture",
        shows="the same traffic, then the device breaks a rule of the organisation: no passcode",
        why="not compliant is not compromised",
        acts=(
            _spike(),
            Act(
                4 * MINUTE,
                "device.posture",
                {"item": "passcode", "compliant": False, "compromised": False, "risk": "low"},
            ),
        ),
    ),
    Lookalike(
        device="lookalike-first-launch",
        shows="an app that nobody in the fleet has used before sends as much and crashes",
        why="there is no history to deviate from, on the device or in the fleet",
        acts=(_spike(NEWCOMER), _crash(3 * MINUTE, NEWCOMER)),
    ),
    Lookalike(
        device="lookalike-backup",
        shows="a backup app sends as much as the chains do, and crashes",
        why="it always sends that much",
        acts=(_spike(BACKUP), _crash(3 * MINUTE, BACKUP)),
        apps=(BACKUP,),
    ),
)
"""The devices that stay silent, each for one reason."""

QUIET = ("synthetic-04", "synthetic-05", "synthetic-06")
"""Devices to which nothing happens."""


def events(seed: int = 1) -> list[dict[str, Any]]:
    """All synthetic events as canonical wire events, by time.

    The same for the same seed, on every machine. The seed changes the usual traffic, never what happens.
    """
    found: list[dict[str, Any]] = []
    stories: tuple[Story, ...] = (*CHAINS, *LOOKALIKES)
    for place, story in enumerate(stories):
        found += _history(story.device, story.apps, seed)
        begin = ACT + MINUTE + place * SPACING
        for act in story.acts:
            found.append(_event(act.kind, story.device, begin + act.after_ms, act.fields))
    for device in QUIET:
        found += _history(device, (CHAT, MAIL), seed)
    found.sort(key=lambda event: (event["time"], event["device"], event["kind"]))
    for number, event in enumerate(found):
        event["id"] = f"synthetic-{seed}-{number:05}"
    return found


def _history(device: str, apps: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    """Traffic as usual: one or two flows of each app in every bucket before the act."""
    # One generator for each device: a device more changes nothing for the others. A text as seed is hashed
    # the same everywhere.
    random = Random(f"{seed} {device}")
    found: list[dict[str, Any]] = []
    for bucket in range(HISTORY_BUCKETS):
        for app in apps:
            for _ in range(random.choice((1, 1, 2))):
                fields = {
                    "app": app,
                    "host": f"{app.rpartition('.')[2]}.example",
                    "ip": "198.51.100.20",
                    "port": 443,
                    "service": "ssl",
                    "internal": False,
                    "bytes_out": random.randint(*USUAL_BYTES[app]),
                    "bytes_in": random.randint(20_000, 90_000),
                }
                time = START + bucket * 5 * MINUTE + random.randrange(5 * MINUTE)
                found.append(_event("net.flow", device, time, fields))
    return found


def _event(kind: str, device: str, time: int, fields: dict[str, Any]) -> dict[str, Any]:
    attribution = "app" if "app" in fields else "device"
    return {
        "kind": kind,
        "device": device,
        "time": time,
        "source": "synthetic",
        "quality": "exact",
        "attribution": attribution,
        **fields,
    }
