"""Reloads of a running service, with a real server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from service_bench import Bench, scenario, text

from engine.service.errors import ServiceError
from engine.service.rules import watch as watching
from engine.service.rules.bucket import MANIFEST, push, put_text
from engine.service.rules.collect import collect


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)


def test_files_that_change_are_put_in_force(
    tmp_path: Path, binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "thenwire.service")

    async def act(bench: Bench) -> None:
        (bench.rules / "x.rule").write_text(text())
        processor = await bench.start()
        await bench.send("a", x=5)
        await bench.until(lambda: processor.events == 1)

        (bench.rules / "x.rule").write_text(text(severity="high"))
        await bench.until(lambda: processor.reloads == 1)
        (bench.rules / "x.rule").write_text(text(limit=4, severity="high"))
        await bench.until(lambda: processor.reloads == 2)
        (bench.rules / "x.rule").write_text("RULE chain { WHEN nobody }")
        await bench.until(lambda: bool(bench.letters))
        letter = bench.letters[0]
        assert letter.subject == "dlq.thenwire.rules_refused"
        assert json.loads(letter.data)["records"][0]["code"] == "TW201"
        assert processor.reloads == 2

        await bench.send("a", x=4)
        await bench.send("a", x=9)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 2)
        await bench.stop()
        # The old version says the run that began before, in its words of then; the new one the later one.
        first = [alert["steps"][0]["event_id"] for _, alert, _ in bench.said]
        assert first == ["e3", "e1"]
        assert len({alert["id"] for _, alert, _ in bench.said}) == 2
        assert {alert["severity"] for _, alert, _ in bench.said} == {"high"}

    scenario(tmp_path, binary, act)
    assert "1 kept (1 match under way), 0 drained" in caplog.text
    assert "0 kept (0 matches under way), 1 drained (1 match under way)" in caplog.text
    assert "the new rules are refused: it has 1 error; the rules" in caplog.text


def test_after_a_crash_the_old_set_reads_again_what_it_had_read(tmp_path: Path, binary: Path) -> None:
    async def act(bench: Bench) -> None:
        (bench.rules / "x.rule").write_text(text())
        processor = await bench.start(watch=False)
        await bench.send("a", x=4)
        await bench.until(lambda: processor.events == 1)
        await asyncio.sleep(0.3)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        await bench.kill()
        await bench.send("a", x=4)
        before = processor.in_force.bundle.hash

        (bench.rules / "x.rule").write_text(text(limit=7, severity="high"))
        processor = await bench.start()
        assert processor.in_force.bundle.hash == before or processor.reloads
        await bench.until(lambda: processor.reloads == 1)
        # What stood in the stream at the start was the old set's.
        report = processor.in_force.report
        assert report is not None
        assert (report.hash_before, report.sequence >= 3) == (before, True)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 2)
        await bench.stop()
        assert [alert["severity"] for _, alert, _ in bench.said] == ["medium", "medium"]
        info = await bench.client.jetstream().stream_info("ALERTS")
        assert info.state.messages == 2

    scenario(tmp_path, binary, act)


EXCEPTION = """
[[exception]]
rule = "chain"
where = { device = { like = "d*" } }
author = "mara"
reason = "the lab"
expires = 2099-01-31
"""


def test_exceptions_and_the_switch(tmp_path: Path, binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "thenwire.service")

    async def act(bench: Bench) -> None:
        (bench.rules / "x.rule").write_text(text())
        exceptions, off = bench.folder / "exceptions.toml", bench.folder / "off.txt"
        exceptions.write_text(EXCEPTION)
        off.write_text("# nothing\n")
        processor = await bench.start(exceptions=str(exceptions), off=str(off))
        await bench.send("a", x=5)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        subject, _, headers = bench.said[0]
        assert subject == "alerts.excepted.chain.d1"
        assert headers["Thenwire-Exception"] == processor.withheld.exceptions.all[0].id
        off.write_text("chain\n")
        await bench.until(lambda: bool(processor.withheld.off))
        await bench.send("a", x=5)
        await bench.send("b")
        await bench.until(lambda: processor.events == 4)
        await asyncio.sleep(0.2)
        await bench.kill()
        exceptions.write_text("")
        off.write_text("")
        processor = await bench.start(exceptions=str(exceptions), off=str(off))
        await bench.until(lambda: not processor.withheld.off)
        await bench.send("a", x=5)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 2)
        assert bench.said[1][0] == "alerts.medium.chain.d1"
        status = processor.rules_status()
        await bench.stop()
        assert status["off"] == []
        assert processor.withheld.counts.by_rule == {"chain": 1}

    scenario(tmp_path, binary, act)
    assert "rule chain is switched off: its new alerts are not published" in caplog.text
    assert "alerts of rule chain are excepted until the end of 2099-01-31" in caplog.text


def test_a_set_from_a_bucket(tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))

    async def act(bench: Bench) -> None:
        from engine.reload.prepare import Prepared, prepare

        async def pushed(content: str) -> int:
            (bench.rules / "x.rule").write_text(content)
            prepared = prepare([bench.rules], {})
            assert isinstance(prepared, Prepared)
            done = await push(bench.settings, "rules", collect([bench.rules], prepared), {})
            return done.revision

        with pytest.raises(ServiceError, match="There is no key-value bucket rules with rules"):
            await bench.start("kv:rules")
        await pushed(text())
        processor = await bench.start("kv:rules")
        await bench.send("a", x=5)
        await bench.until(lambda: processor.events == 1)
        await pushed(text(severity="high"))
        await bench.until(lambda: processor.reloads == 1)
        await put_text(
            bench.settings, "rules", MANIFEST, b'{"files": [{"name": "../x", "sha256": "", "size": 1}]}'
        )
        await bench.until(lambda: bool(bench.letters))
        assert "names a file in a way that is not allowed" in json.loads(bench.letters[0].data)["sentence"]
        await put_text(bench.settings, "rules", "off", b"chain\n")
        await bench.until(lambda: bool(processor.withheld.off))

        kv = await bench.client.jetstream().key_value("rules")

        async def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads((await kv.get("status.thenwire")).value)
            return found

        while not (await status())["off"]:  # noqa: ASYNC110  # what is waited for is on the server
            await asyncio.sleep(0.02)
        found = await status()
        assert found["hash"] == processor.in_force.bundle.hash
        assert found["refused"]["sentence"].startswith("the manifest names a file")
        await bench.stop()

    scenario(tmp_path, binary, act)


BAD = "EVENT a { host: string }\nRULE chain { WHEN nobody }\n"


def test_a_restart_with_files_that_are_refused_goes_on_with_the_rules_of_the_state(
    tmp_path: Path, binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(bench: Bench) -> None:
        (bench.rules / "x.rule").write_text(BAD)
        with pytest.raises(ServiceError, match="No rule is left to run: it has 1 error"):
            await bench.start()
        (bench.rules / "x.rule").write_text(text())
        processor = await bench.start()
        await bench.send("a", x=5)
        await bench.until(lambda: processor.events == 1)
        await asyncio.sleep(0.3)
        await bench.kill()
        (bench.rules / "x.rule").write_text(BAD)
        processor = await bench.start()
        await bench.until(lambda: bool(bench.letters))
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        (bench.rules / "x.rule").write_text(text(severity="high"))
        await bench.until(lambda: processor.reloads == 1)
        await bench.stop()

    scenario(tmp_path, binary, act)
    assert "the new rules are refused: it has 1 error; the rules" in caplog.text


def test_a_service_with_rules_from_files_says_what_is_in_force(tmp_path: Path, binary: Path) -> None:
    async def act(bench: Bench) -> None:
        (bench.rules / "x.rule").write_text(text())
        bench.settings = msgspec.structs.replace(bench.settings, endpoints=True)
        processor = await bench.start()
        await bench.send("a", x=5)
        (bench.rules / "x.rule").write_text(text(limit=4))
        await bench.until(lambda: processor.reloads == 1)
        (bench.rules / "x.rule").write_text(BAD)
        await bench.until(lambda: bool(bench.letters))
        environment = {**os.environ, "NATS_TOKEN": bench.server.token}
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine.cli", "rules", "status", "--servers", bench.server.url),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asked.communicate()
        await bench.stop()
        lines = said.decode().splitlines()
        assert lines[0].startswith(f"{processor.in_force.bundle.hash}: 1 rule in force since sequence ")
        assert lines[1].endswith(": it has 1 error")
        assert lines[2].startswith("draining until ")

    scenario(tmp_path, binary, act)
