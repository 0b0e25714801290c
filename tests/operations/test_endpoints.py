"""Requests to a running service over a real server."""

import asyncio
import json
from typing import Any

import pytest
from nats.errors import NoRespondersError

from engine.service.operations.endpoints import ENDPOINTS, LARGEST_REQUEST

TIME_MS = 1_772_438_400_000


def flow(second: int, bytes_out: int = 10, device: str = "d1", **fields: Any) -> bytes:
    event = {"kind": "flow", "device": device, "time": TIME_MS + 1_000 * second, "host": "h"}
    return json.dumps({**event, "bytes_out": bytes_out, **fields}).encode()


def crash(second: int, device: str = "d1") -> bytes:
    return json.dumps({"kind": "crash", "device": device, "time": TIME_MS + 1_000 * second}).encode()


def test_the_status_says_what_was_done(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            jetstream = client.jetstream()
            for payload in (
                flow(0, 2000),
                crash(60),
                b"{nonsense",
                b'{"kind":"other","device":"d","time":1}',
            ):
                await jetstream.publish("events.x", payload)
            await tools.until(lambda: service.processor.alerts == 1)
            await tools.until(lambda: service.operations.status().input.messages == 4)
            found = await operating.ask(client, "status")
        assert (found["ready"], found["reason"]) == (True, "")
        assert found["input"]["position"] == 4
        assert found["input"]["stream"] == "EVENTS"
        assert found["events"] == 2
        assert found["unknown"] == 1
        assert found["dead_letters"] == {"malformed_json": 1}
        rules = {rule["name"]: rule for rule in found["rules"]}
        assert rules["exfil_then_crash"]["matches"] == 1
        assert rules["exfil_then_crash"]["fits"] == 2
        assert rules["busy"]["matches"] == 0
        assert {kind["kind"]: kind["seen"] for kind in found["kinds"]} == {"flow": 1, "crash": 1}
        assert found["output"]["stored"] == {"alerts": 1, "dlq": 1}

    tools.with_server(scenario)


def test_the_lag_is_what_waits_in_the_stream(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            for number in range(5):
                await client.jetstream().publish("events.x", flow(number * 10))
            await tools.until(lambda: service.operations.status().input.messages == 5)
            sources = service.operations._sources
            assert sources is not None
            await sources.backlog.ask()
            assert service.operations.status().input.lag_messages == 0
            assert service.operations.status().input.lag_seconds == 0
            assert sources.backlog.messages(position=2) == 3
            # Newer than the last message by a little: the clock of this machine is that of the server.
            assert 0 <= (sources.backlog.seconds(2, service.operations.status().time_ms / 1000) or -1) < 60

    tools.with_server(scenario)


def test_check_gives_diagnostics_and_changes_nothing(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            bad = await operating.ask(client, "check", {"text": "RULE x { WHEN nope THEN crash WITHIN 5m }"})
            assert not bad["ok"]
            assert [d["code"] for d in bad["diagnostics"] if d["severity"] == "error"] == ["TW201"]
            assert {d["file"] for d in bad["diagnostics"]} == {"request.rule"}, "not what was said before"
            good = await operating.ask(
                client, "check", {"text": "RULE x { WHEN flow AS a THEN crash AS b WITHIN 5m }"}
            )
            assert good["ok"], good
            alone = await operating.ask(
                client, "check", {"text": "RULE x { WHEN flow THEN crash WITHIN 5m }", "with_running": False}
            )
            assert not alone["ok"], "without the running rules nobody declares the events"
            assert service.processor.matcher.rules == ("exfil_then_crash", "busy")

    tools.with_server(scenario)


def test_check_reads_no_file_of_the_service(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings):
            answer = await operating.ask(client, "check", {"text": 'LIST users FROM "/etc/passwd"'})
        assert answer == (
            "422",
            "A LIST from a file cannot be checked here: give its entries in the text.",
        )

    tools.with_server(scenario)


def test_rules_and_explain(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings):
            found = await operating.ask(client, "rules", {"most": 1})
            assert found["total"] == 2
            assert [rule["name"] for rule in found["rules"]] == ["busy"]
            told = await operating.ask(client, "explain", {"rule": "exfil then crash"})
            assert "In words" in told["text"]
            assert await operating.ask(client, "explain", {"rule": "exfil then crush"}) == (
                "422",
                "There is no such rule; did you mean `exfil then crash`?",
            )

    tools.with_server(scenario)


def test_why_reads_the_stream_again(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            await client.jetstream().publish("events.x", flow(0, 2000))
            # An array over several lines, with the crash six minutes after the flow: one too late. Then
            # one event over several lines, and two of a line each.
            pretty = crash(360).replace(b",", b",\n ")
            await client.jetstream().publish("events.x", b"[\n" + pretty + b",\n" + flow(900) + b"]")
            await client.jetstream().publish("events.x", crash(361).replace(b",", b",\n "))
            await client.jetstream().publish("events.x", crash(362) + b"\n" + crash(363))
            await tools.until(lambda: service.processor.events == 6)
            answer = await operating.ask(client, "why", {"rule": "exfil then crash", "device": "d1"})
        assert answer["alerts"] == []
        assert answer["events"] == 5, "all but the flow long after"
        assert "5m" in answer["miss"]["sentence"] or "300" in answer["miss"]["sentence"], answer["miss"]

    tools.with_server(scenario)


def test_baseline_gives_the_histories_of_a_device(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            for hour in range(4):
                await client.jetstream().publish("events.x", flow(3600 * hour, 100 + hour))
            await client.jetstream().publish("events.x", flow(1, 7, device="d2"))
            await tools.until(lambda: service.processor.events == 5)
            answer = await operating.ask(client, "baseline", {"device": "d1"})
            assert [history["key"] for history in answer["histories"]] == [{"device": "d1"}]
            assert [point["value"] for point in answer["histories"][0]["points"]] == [100, 101, 102, 103]
            assert await operating.ask(client, "baseline", {"device": "d1", "baselines": ["egres"]}) == (
                "422",
                "There is no such baseline; did you mean `egress`?",
            )

    tools.with_server(scenario)


def test_bad_requests_are_refused_in_a_sentence(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings):
            ask = operating.ask
            for request in (["a"], {"text": 5}, {"rule": "x", "more": 1}, "x"):
                code, sentence = await ask(client, "check", request)
                assert code == "400"
                assert sentence.startswith("The request is not understood: ")
            deep = "[" * 100_000
            answer = await client.request("thenwire.api.thenwire.status", deep.encode(), timeout=10)
            assert answer.headers["Nats-Service-Error-Code"] == "400"
            assert await ask(client, "check", {"text": "x" * LARGEST_REQUEST}) == (
                "413",
                "A request has at most 262,144 bytes.",
            )
            assert await ask(client, "check", {"text": "x" * 200_000}) == (
                "422",
                "The text is longer than 131,072 characters.",
            )
            assert await ask(client, "why", {"rule": "busy", "device": "d", "since": "ever"}) == (
                "422",
                "`since` is a duration such as 30m, 24h or 7d.",
            )
            assert await ask(client, "reload") == (
                "501",
                "This service reads its rules once, at the start.",
            )

    tools.with_server(scenario)


def test_reload_calls_the_hook(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        async def look() -> str:
            return "Two rules are new."

        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings, reload=look):
            assert await operating.ask(client, "reload") == {"message": "Two rules are new."}

    tools.with_server(scenario)


def test_no_request_can_have_its_answer_stored_as_an_alert(tools: Any, operating: Any) -> None:
    """The service may publish what its clients may not: it must not lend them its rights."""

    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings):
            jetstream = client.jetstream()
            await jetstream.create_key_value(bucket="b")
            for reply in ("alerts.high.x.y", "events.x", "late.thenwire.x", "$KV.b.key"):
                await client.publish("thenwire.api.thenwire.status", b"", reply=reply)
            assert (await operating.ask(client, "status"))["ready"]
            for stream in ("ALERTS", "EVENTS", "DLQ", "KV_b"):
                assert (await jetstream.stream_info(stream)).state.messages == 0

    tools.with_server(scenario)


def test_drain_finishes_acknowledges_and_ends(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True, http_address="127.0.0.1:0")
        async with tools.client(server) as client, operating.service(settings) as service:
            await client.jetstream().publish("events.x", flow(0))
            await tools.until(lambda: service.processor.events == 1)
            answer = await operating.ask(client, "drain")
            assert answer == {"message": "The service finishes what is queued and ends."}
            report = await service.task
            assert report.last_sequence_acked == 1

    tools.with_server(scenario)


def test_each_consumer_has_its_own_endpoints(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        first = tools.settings(server, endpoints=True)
        second = tools.settings(server, endpoints=True, consumer="second")
        async with (
            tools.client(server) as client,
            operating.service(first),
            operating.service(second),
        ):
            for consumer in ("thenwire", "second"):
                found = await operating.ask(client, "status", consumer=consumer)
                assert found["input"]["consumer"] == consumer
            answers: list[Any] = []

            async def keep(message: Any) -> None:
                answers.append(json.loads(message.data))

            inbox = client.new_inbox()
            await client.subscribe(inbox, cb=keep)
            await client.publish("$SRV.INFO.thenwire", b"", reply=inbox)
            await tools.until(lambda: len(answers) == 2)
            for answer in answers:
                assert {e["name"] for e in answer["endpoints"]} == {e.name for e in ENDPOINTS}

    tools.with_server(scenario)


def test_off_unless_asked_for(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client, operating.service(tools.settings(server)) as service:
            with pytest.raises(NoRespondersError):
                await operating.ask(client, "status")
            assert service.operations.address == ""

    tools.with_server(scenario)


def test_heavy_work_does_not_hold_the_loop(tools: Any, operating: Any) -> None:
    """What a request takes long for runs elsewhere: the loop turns many times before the answer is there."""

    async def scenario(server: Any) -> None:
        settings = tools.settings(server, endpoints=True)
        text = "\n".join(
            f"RULE r{number} {{ WHEN flow[bytes_out > {number}] AS f THEN crash AS c WITHIN 5m }}"
            for number in range(150)
        )
        async with tools.client(server) as client, operating.service(settings):
            asking = asyncio.ensure_future(operating.ask(client, "check", {"text": text}))
            turns = 0
            while not asking.done():
                await asyncio.sleep(0)
                turns += 1
            assert asking.result()["ok"]
            assert turns > 20

    tools.with_server(scenario)
