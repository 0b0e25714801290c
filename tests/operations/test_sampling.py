"""Costs from a sample: the matcher is as it was between two samples, and says the same."""

from typing import Any

import msgspec

from engine.service.operations import sampling
from engine.service.operations.sampling import _WAYS, STRIDE, Sampler

TIME_MS = 1_772_438_400_000


def wire(number: int, kind: str, **fields: Any) -> bytes:
    event = {"kind": kind, "device": "d", "time": TIME_MS + 1000 * number, "host": "h", **fields}
    return msgspec.json.encode(event)


def test_between_two_samples_nothing_is_in_the_way(operating: Any) -> None:
    matcher = operating.processor().matcher
    before = [getattr(matcher, way) for way in _WAYS]
    sampler = Sampler(lambda: matcher)
    sampler.arm()
    assert matcher.feed_json is not before[1]
    for number in range(STRIDE):
        matcher.feed_json(wire(number, "flow", bytes_out=1))
    assert [getattr(matcher, way) for way in _WAYS] == before, (
        "it puts the matcher's own back after one sample"
    )
    assert sampler.kinds["flow"].samples == 1
    assert sampler.kinds["flow"].seconds > 0


def test_an_event_goes_to_its_kind_and_the_rules_it_fits(operating: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sampling, "STRIDE", 1)
    matcher = operating.processor().matcher
    sampler = Sampler(lambda: matcher)
    events = [("flow", 5000), ("flow", 1), ("crash", None)]
    for number, (kind, size) in enumerate(events):
        sampler.arm()
        matcher.feed_json(wire(number * 10, kind, **({} if size is None else {"bytes_out": size})))
    assert sampler.kinds["flow"].samples == 2
    assert sampler.kinds["crash"].samples == 1
    # The first flow fits both rules, the second only the one without a filter, the crash the first.
    assert sampler.rules["busy"].samples == 2
    assert sampler.rules["exfil_then_crash"].samples == 2
    of_kinds = sum(cost.seconds for cost in sampler.kinds.values())
    of_rules = sum(cost.seconds for cost in sampler.rules.values())
    assert abs(of_kinds - of_rules) < 1e-9, "an event's time is shared, not counted twice"


def test_sampled_or_not_the_alerts_are_the_same(operating: Any) -> None:
    payloads = [wire(n, "crash" if n % 7 == 6 else "flow", bytes_out=n * 100) for n in range(100)]
    plain = operating.processor().matcher
    wanted = [alert.id for payload in payloads for alert in plain.feed_json(payload)]
    matcher = operating.processor().matcher
    sampler = Sampler(lambda: matcher)
    got = []
    for payload in payloads:
        sampler.arm()
        got += [alert.id for alert in matcher.feed_json(payload)]
    sampler.disarm()
    assert got == wanted
    assert wanted


def test_of_many_events_one_is_timed_and_all_are_fed(operating: Any) -> None:
    payloads = [wire(n, "crash" if n % 7 == 6 else "flow", bytes_out=n * 100) for n in range(100)]
    payloads[50] = b"{nonsense"
    plain = operating.processor().matcher
    bad_before: list[Any] = []
    wanted = plain.feed_many(payloads, 1 << 20, 1, lambda *bad: bad_before.append(bad[0]))
    matcher = operating.processor().matcher
    sampler = Sampler(lambda: matcher)
    got: list[Any] = []
    bad_now: list[Any] = []
    for start in range(0, 100, 10):
        sampler.arm()
        part = payloads[start : start + 10]
        got += matcher.feed_many(part, (1 << 20) + start, 1, lambda *bad: bad_now.append(bad[0]))
    assert [alert.id for alert in got] == [alert.id for alert in wanted]
    assert wanted
    assert len(bad_now) == len(bad_before) == 1
    assert sum(cost.samples for cost in sampler.kinds.values()) == 10


def test_a_new_matcher_is_sampled_and_the_old_one_put_back(operating: Any) -> None:
    first, second = operating.processor().matcher, operating.processor().matcher
    feed = first.feed_json
    in_force = [first]
    sampler = Sampler(lambda: in_force[0])
    sampler.arm()
    in_force[0] = second
    sampler.arm()
    assert first.feed_json is feed
    for number in range(STRIDE):
        second.feed_json(wire(number, "flow", bytes_out=1))
    assert sampler.kinds["flow"].samples == 1


def test_a_running_service_takes_samples(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client, operating.service(tools.settings(server)) as service:

            def sampled() -> bool:
                return any(kind.cost for kind in service.operations.status().kinds)

            number = 0
            while not sampled():
                number += 1
                batch = b"\n".join(wire(number * 50 + n, "flow", bytes_out=1) for n in range(50))
                await client.jetstream().publish("events.x", batch)
            (cost,) = [k.cost for k in service.operations.status().kinds if k.kind == "flow"]
            assert 0 < cost < 0.1

    tools.with_server(scenario)
