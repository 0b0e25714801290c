"""Leases name the device of what a sensor saw of an address: in event time, in any order, within bounds."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsl
from engine.matcher import Matcher
from engine.replay import Recording, Replay
from engine.sources import Refused
from engine.sources import identity as module
from engine.sources.identity import HOLD_MS, OPEN_LEASE_MS, Identity

NOON = 1772452800000
MINUTE = 60_000
IP = "10.0.0.7"


def lease(device: str, begin: int, end: int | None = None, **fields: Any) -> dict[str, Any]:
    event = {"kind": "ident.lease", "device": device, "time": begin, "valid_from": begin, "ip": IP} | fields
    if end is not None:
        event["valid_to"] = end
    return {name: value for name, value in event.items() if value is not None}


def flow(time: int, ip: str = IP, **fields: Any) -> dict[str, Any]:
    return {"kind": "net.flow", "device": ip, "time": time, "attribution": "ip", "client_ip": ip} | fields


def device_of(known: Identity, event: dict[str, Any], now: int = NOON) -> str | None:
    """The device that comes out at once, or None while the event is held."""
    found = known.resolve(event, now)
    return found[0]["device"] if found else None


def test_a_lease_names_the_device_and_the_address_stays() -> None:
    known = Identity()
    assert known.lease(lease("phone-1", NOON, NOON + MINUTE)) == []
    event = flow(NOON)
    del event["client_ip"]
    (found,) = known.resolve(event, NOON)
    assert found == event | {"device": "phone-1", "attribution": "device", "client_ip": IP}
    assert event["device"] == IP, "the event that came in is not changed"
    assert (known.counts.leases, known.counts.resolved) == (1, 1)


@pytest.mark.parametrize(
    ("time", "device"),
    [
        (NOON - 1, None),
        (NOON, "phone-1"),
        (NOON + MINUTE, "phone-1"),
        (NOON + MINUTE + 1, None),
        (NOON + 2 * MINUTE, "phone-2"),
        (NOON + 2 * MINUTE + OPEN_LEASE_MS, "phone-2"),
        (NOON + 2 * MINUTE + OPEN_LEASE_MS + 1, None),
    ],
)
def test_bounds_of_leases_are_inclusive_and_those_without_an_end_have_one(
    time: int, device: str | None
) -> None:
    known = Identity()
    known.lease(lease("phone-1", NOON, NOON + MINUTE))
    known.lease(lease("phone-2", NOON + 2 * MINUTE))
    assert device_of(known, flow(time)) == device


def test_a_new_lease_ends_the_old_one_and_does_not_bring_it_back() -> None:
    known = Identity()
    known.lease(lease("phone-1", NOON, NOON + 60 * MINUTE))
    known.lease(lease("phone-2", NOON + 10 * MINUTE, NOON + 20 * MINUTE))
    assert device_of(known, flow(NOON + 9 * MINUTE)) == "phone-1"
    assert device_of(known, flow(NOON + 15 * MINUTE)) == "phone-2"
    assert device_of(known, flow(NOON + 30 * MINUTE)) is None


def test_of_two_words_about_one_lease_the_later_counts_in_either_order() -> None:
    planned = lease("phone-1", NOON, NOON + 60 * MINUTE)
    given_up = lease("phone-1", NOON, NOON + MINUTE, time=NOON + MINUTE)
    for words in ((planned, given_up), (given_up, planned)):
        known = Identity()
        for word in words:
            known.lease(word)
        assert device_of(known, flow(NOON + MINUTE)) == "phone-1"
        assert device_of(known, flow(NOON + 2 * MINUTE)) is None


def test_a_session_is_surer_than_a_hardware_address_and_that_surer_than_an_ip() -> None:
    known = Identity()
    known.lease(lease("by-ip", NOON))
    known.lease(lease("by-mac", NOON, ip=None, mac="08-00-07-F8-3D-02"))
    known.lease(lease("by-session", NOON, ip=None, session="s1"))
    assert device_of(known, flow(NOON)) == "by-ip"
    assert device_of(known, flow(NOON, client_mac="08:00:07:f8:3d:02")) == "by-mac"
    assert device_of(known, flow(NOON, client_mac="08:00:07:f8:3d:02", client_session="s1")) == "by-session"
    assert device_of(known, flow(NOON, client_mac="00:00:00:00:00:01")) == "by-ip"


def test_addresses_are_compared_and_not_their_spelling() -> None:
    known = Identity()
    known.lease(lease("phone-1", NOON, ip="2001:DB8:0::1"))
    assert device_of(known, flow(NOON, "2001:db8::1")) == "phone-1"


def test_a_late_lease_releases_what_waited_for_it_and_nothing_else() -> None:
    known = Identity()
    known.lease(lease("other", NOON, ip="10.0.0.99"))
    assert known.resolve(flow(NOON + 1), NOON) == []
    assert known.resolve(flow(NOON - 1), NOON) == []
    assert known.resolve(flow(NOON + 2, "10.0.0.8"), NOON) == []
    assert known.resolve(flow(NOON + 3), NOON) == []
    released = known.lease(lease("phone-1", NOON, NOON + MINUTE, time=NOON + 5 * MINUTE))
    assert [(event["time"], event["device"], event["attribution"]) for event in released] == [
        (NOON + 1, "phone-1", "device"),
        (NOON + 3, "phone-1", "device"),
    ]
    assert (known.held, known.counts.resolved_late, known.counts.unresolved) == (2, 2, 0)


def test_the_wait_ends_and_the_event_goes_on_as_it_was() -> None:
    known = Identity()
    known.lease(lease("other", NOON, ip="10.0.0.99"))
    waiting = flow(NOON)
    assert known.resolve(waiting, NOON) == []
    assert known.advance(NOON + HOLD_MS) == []
    assert known.advance(NOON + HOLD_MS + 1) == [waiting]
    assert (known.held, known.counts.unresolved, known.counts.unresolved_full) == (0, 1, 0)
    assert known.lease(lease("phone-1", NOON)) == [], "what went on is not called back"


def test_what_waited_comes_before_the_event_at_which_its_wait_ended() -> None:
    known = Identity()
    known.lease(lease("other", NOON, ip="10.0.0.99"))
    first = flow(NOON)
    known.resolve(first, NOON)
    other = {"kind": "app.exit", "device": "d", "time": NOON}
    assert known.resolve(other, NOON + HOLD_MS + 1) == [first, other]


def test_no_more_than_the_bound_waits() -> None:
    known = Identity(max_held=3)
    known.lease(lease("other", NOON, ip="10.0.0.99"))
    out = [event for n in range(10) for event in known.resolve(flow(NOON + n), NOON)]
    assert [event["time"] for event in out] == [NOON + n for n in range(7)]
    assert (known.held, known.counts.unresolved, known.counts.unresolved_full) == (3, 7, 7)
    assert [event["time"] for event in known.close()] == [NOON + 7, NOON + 8, NOON + 9]
    assert known.held == 0


def test_nothing_waits_where_no_leases_come() -> None:
    known = Identity()
    event = flow(NOON)
    assert known.resolve(event, NOON) == [event]
    assert known.counts.unresolved == 1


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "net.flow", "device": "phone-1", "time": NOON, "attribution": "app"},
        {"kind": "net.flow", "device": IP, "time": NOON},
        {"kind": "net.flow", "device": "no address", "time": NOON, "attribution": "ip"},
        {"kind": "net.flow", "device": IP, "time": "soon", "attribution": "ip"},
    ],
)
def test_what_needs_no_device_or_has_no_address_goes_through(event: dict[str, Any]) -> None:
    known = Identity()
    known.lease(lease("phone-2", NOON))
    assert known.resolve(event, NOON) == [event]


@pytest.mark.parametrize(
    "fields",
    [
        {"ip": None},
        {"ip": "x"},
        {"ip": None, "mac": "zz"},
        {"ip": None, "session": ""},
        {"valid_from": None},
        {"valid_from": "soon"},
        {"valid_to": NOON - 1},
        {"device": None},
        {"device": 5},
        {"time": None},
    ],
)
def test_a_lease_that_cannot_be_used_is_counted(fields: dict[str, Any]) -> None:
    known = Identity()
    bad = {name: value for name, value in (lease("phone-1", NOON) | fields).items() if value is not None}
    assert known.lease(bad) == []
    assert (known.counts.leases, known.counts.bad_leases) == (0, 1)


def test_leases_are_bounded_per_address_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Identity()
    for n in range(module.MAX_LEASES_A_KEY + 5):
        known.lease(lease(f"d{n}", NOON + n))
    assert known.counts.dropped_leases == 5
    assert device_of(known, flow(NOON + 5)) == "d5"
    assert device_of(known, flow(NOON + 4)) is None
    monkeypatch.setattr(module, "MAX_KEYS", 3)
    many = Identity()
    for n in range(5):
        many.lease(lease(f"d{n}", NOON, ip=f"10.0.0.{n}"))
    assert many.counts.dropped_leases == 2
    assert device_of(many, flow(NOON, "10.0.0.4")) == "d4"
    assert device_of(many, flow(NOON, "10.0.0.1")) is None


def test_leases_of_long_ago_are_forgotten_but_not_the_one_that_still_holds() -> None:
    known = Identity()
    for n in range(5):
        known.lease(lease(f"d{n}", NOON + n * MINUTE))
    known.advance(NOON + 48 * 60 * MINUTE)
    known.lease(lease("new", NOON + 48 * 60 * MINUTE))
    assert device_of(known, flow(NOON), NOON + 48 * 60 * MINUTE) is None
    assert device_of(known, flow(NOON + 47 * 60 * MINUTE), NOON + 48 * 60 * MINUTE) == "d4"
    assert known.counts.dropped_leases == 0


TIMES = st.integers(min_value=0, max_value=30)
LEASES = st.builds(
    lambda device, begin, length, said: lease(
        f"d{device}", NOON + begin, None if length is None else NOON + begin + length, time=NOON + said
    ),
    st.integers(0, 3),
    TIMES,
    st.none() | st.integers(0, 10),
    # No two words at one time, of which only the order of arrival could choose.
    st.integers(0, 10**9),
)


@given(
    st.lists(LEASES, max_size=8, unique_by=lambda one: one["time"]),
    st.lists(TIMES, min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
@settings(max_examples=400)
def test_the_order_in_which_leases_and_traffic_come_does_not_matter(
    leases: list[dict[str, Any]], times: list[int], random: Any
) -> None:
    def outcome(items: list[dict[str, Any]]) -> dict[int, str]:
        known = Identity()
        known.expects_leases = True
        found = [
            event
            for item in items
            for event in (known.lease(item) if "valid_from" in item else known.resolve(item, NOON))
        ]
        found += known.close()
        assert known.held == 0
        assert len(found) == len(times)
        return {event["id"]: event["device"] for event in found}

    traffic = [flow(NOON + time, id=number) for number, time in enumerate(times)]
    # A lease that is replaced by a later word may have released an event before: that is not called back.
    distinct = {one["valid_from"]: one for one in sorted(leases, key=lambda one: one["time"])}
    begins = sorted(distinct)
    reference = {}
    for event in traffic:
        past = [begin for begin in begins if begin <= event["time"]]
        last = distinct[past[-1]] if past else None
        covered = last is not None and event["time"] <= last.get("valid_to", event["time"])
        reference[event["id"]] = last["device"] if covered and last is not None else IP
    assert outcome(leases + traffic) == reference
    shuffled = list(distinct.values())
    random.shuffle(shuffled)
    assert outcome(shuffled + traffic) == reference
    if len(distinct) <= 1:
        assert outcome(traffic + shuffled) == reference


ANYTHING = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
FIELDS = st.sampled_from(
    ["kind", "device", "time", "attribution", "client_ip", "client_mac", "client_session", "ip", "mac",
     "session", "valid_from", "valid_to"]
)  # fmt: skip
LIKELY = st.sampled_from([IP, "ip", "phone-1", NOON, NOON + 1, "08:00:07:f8:3d:02", "2026-03-02T12:00:00Z"])
ANY_EVENT = st.dictionaries(FIELDS, LIKELY | ANYTHING | st.lists(ANYTHING, max_size=2))


@given(st.lists(st.tuples(st.booleans(), ANY_EVENT, st.integers(0, NOON * 2)), max_size=20))
@settings(max_examples=300)
def test_no_event_is_lost_doubled_or_raises_whatever_is_in_it(
    items: list[tuple[bool, dict[str, Any], int]],
) -> None:
    known = Identity(hold_ms=1000, max_held=3)
    sent = 0
    out: list[dict[str, Any]] = []
    for is_lease, event, now in items:
        if is_lease:
            out += known.lease(event)
        else:
            sent += 1
            out += known.resolve(event, now)
        assert known.held <= 3
    out += known.close()
    assert len(out) == sent
    counts = known.counts
    assert counts.leases + counts.bad_leases == sum(is_lease for is_lease, _, _ in items)
    by_address = sum(not is_lease and event.get("attribution") == "ip" for is_lease, event, _ in items)
    assert counts.resolved + counts.resolved_late + counts.unresolved == by_address
    for _, event, _ in items:
        try:
            timed = module.with_times(event)
        except Refused:
            continue
        assert timed.keys() == event.keys()


RULES = """
EVENT net flow { ip: ip? bytes_out: int? UNIT bytes client_ip: ip? }
EVENT app exit { class: string }
RULE upload then crash {
  WHEN net flow [bytes_out > 1MB] AS upload THEN app exit [class == "memory_violation"] WITHIN 10m
  ALERT { title: "x" fields: [upload.client_ip] }
}
"""
ZEEK = {
    "ts": NOON / 1000, "uid": "C1", "id.orig_h": IP, "id.resp_h": "203.0.113.7", "id.resp_p": 443,
    "proto": "tcp", "orig_bytes": 9_400_000, "conn_state": "SF",
}  # fmt: skip
EXIT = {"kind": "app.exit", "device": "phone-1", "time": NOON + 3 * MINUTE, "class": "memory_violation"}


def replay(tmp_path: Path, *files: list[dict[str, Any]], rules: str = RULES) -> tuple[list[Any], Replay]:
    (tmp_path / "rules.rule").write_text(rules)
    matcher = Matcher(dsl.load([tmp_path]))
    recordings = [
        Recording(BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows)), f"file-{number}")
        for number, rows in enumerate(files)
    ]
    work = Replay(matcher, recordings)
    return list(work.run()), work


@pytest.mark.parametrize("said", [0, 5 * MINUTE])
@pytest.mark.parametrize("declared", [False, True])
def test_a_replay_joins_zeek_to_devices_by_a_file_of_leases(
    tmp_path: Path, said: int, declared: bool
) -> None:
    leases = [lease("phone-1", NOON - MINUTE, NOON + 60 * MINUTE, time=NOON - MINUTE + said)]
    rules = RULES + ("EVENT ident lease { ip: ip? valid_from: timestamp }" if declared else "")
    alerts, work = replay(tmp_path, [ZEEK], leases, [EXIT], rules=rules)
    assert [(alert.device, alert.activity) for alert in alerts] == [("phone-1", "create")]
    assert work.tally.devices == {"phone-1"}
    known = work.tally.identity
    assert (known.leases, known.resolved, known.resolved_late, known.unresolved) == (
        1,
        int(said == 0),
        int(said > 0),
        0,
    )
    assert (work.tally.unread, work.tally.unknown) == ((1, {}) if declared else (0, {"ident.lease": 1}))


def test_without_a_lease_the_address_remains_the_device(tmp_path: Path) -> None:
    alerts, work = replay(tmp_path, [ZEEK], [EXIT])
    assert alerts == []
    assert work.tally.devices == {IP, "phone-1"}
    assert work.tally.identity.unresolved == 1


def test_a_lease_that_comes_after_the_wait_names_nothing(tmp_path: Path) -> None:
    late = lease("phone-1", NOON - MINUTE, time=NOON + 20 * MINUTE)
    first = lease("phone-2", NOON - MINUTE, ip="10.0.0.99")
    alerts, work = replay(tmp_path, [ZEEK], [first, late], [EXIT])
    assert alerts == []
    assert (work.tally.identity.unresolved, work.tally.events) == (1, 2)


def test_what_still_waits_at_the_end_of_the_input_is_not_lost(tmp_path: Path) -> None:
    _, work = replay(tmp_path, [lease("phone-2", NOON - MINUTE, ip="10.0.0.99")], [ZEEK])
    assert (work.tally.events, work.tally.devices) == (1, {IP})
    assert work.tally.identity.unresolved == 1


def test_canonical_events_are_resolved_too_and_times_may_be_texts(tmp_path: Path) -> None:
    event = flow(0, bytes_out=9_000_000) | {"time": "2026-03-02T12:00:00Z"}
    leases = [lease("phone-1", NOON) | {"valid_from": "2026-03-02T12:00:00Z", "time": "2026-03-02T12:00:00Z"}]
    alerts, work = replay(tmp_path, [*leases, event, EXIT])
    assert [alert.device for alert in alerts] == ["phone-1"]
    assert work.tally.refused == {}


def test_bad_leases_and_events_are_refused_with_their_place(tmp_path: Path) -> None:
    rows = [
        lease("phone-1", NOON) | {"valid_from": "soon"},
        lease("phone-1", NOON, time=None),
        flow(NOON, bytes_out="many"),
        flow(NOON) | {"time": -1},
        lease("x" * 300, NOON),
        flow(NOON),
    ]
    _, work = replay(tmp_path, rows)
    places = sorted(found.origin for some in work.tally.examples.values() for found in some)
    assert places[:4] == ["file-0:1", "file-0:2", "file-0:3", "file-0:4"]
    assert sum(work.tally.refused.values()) == 5, "a device of 300 characters is none"
    assert work.tally.events == 0


def test_what_only_looks_like_a_lease_is_none(tmp_path: Path) -> None:
    lines = (
        b'{"kind":"ident.lease","device":"d","time":1,"valid_from":1,"ip":"10.0.0.7"\n'
        b'{"kind":"other","device":"d","time":1,"note":"ident.lease"}\n'
        b'{"kind":"net.dns","device":"d","time":1,"host":"ident.lease"}\n'
    )
    (tmp_path / "rules.rule").write_text(RULES + "EVENT net dns { host: string }")
    work = Replay(Matcher(dsl.load([tmp_path])), [Recording(BytesIO(lines), "in")])
    assert list(work.run()) == []
    assert (work.tally.unread, work.tally.identity.leases) == (1, 0)
    assert work.tally.unknown == {"other": 1}
    assert sum(work.tally.refused.values()) == 1


def test_events_that_no_rule_reads_do_not_wait(tmp_path: Path) -> None:
    rules = RULES + "EVENT net dns { host: string }"
    dns = flow(NOON, kind="net.dns", host="a.example")
    _, work = replay(tmp_path, [lease("phone-1", NOON)], [dns] * 5, rules=rules)
    assert (work.tally.unread, work.tally.identity.resolved) == (5, 0)
