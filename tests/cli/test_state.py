"""`thenwire state`: what a stored state says of itself, and what is wrong with it in a sentence."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import dsl
from engine.cli import main
from engine.service.checkpoints.model import Checkpoint, Mark
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.matching import MatchingProcessor

RULES = """
EVENT upload GRACE 0ms { app: string }
EVENT crash GRACE 0ms { app: string }
RULE crash after upload { BY device, app  WHEN upload AS u THEN crash AS c WITHIN 10m  SEVERITY high }
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "x.rule"
    path.write_text(RULES)
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What a service has stored after it saw an upload of two devices."""
    processor = MatchingProcessor(dsl.load_text(RULES))
    for number, device in enumerate(("phone", "evil\x1b[31m"), 1):
        raw = json.dumps({"kind": "upload", "device": device, "time": 1000, "app": "a"}).encode()
        processor.process(raw, None, number, "EVENTS", "events.x", 2000)
    path = tmp_path / "state"
    asyncio.run(_store(path, processor))
    return path


async def _store(path: Path, processor: Any, **changes: Any) -> None:
    cut = processor.cut()
    devices = dict(cut.pack(1000)) | {"evil\x1b[31m": msgspec.msgpack.encode({"x": b"\xff"}), "raw": b"\xc1"}
    mark = Mark(
        generation=1,
        stream="EVENTS",
        stream_created="2026-11-23",
        sequence=2,
        received_ms=2000,
        written_ms=3000,
        rules=processor.state_digest(),
        rule_names=processor.rule_names,
        notes={"rules.since": "1"},
        version="0",
    )
    store = SqliteStore(path)
    await store.open(None)
    await store.commit(Checkpoint(msgspec.structs.replace(mark, **changes), cut.shared, devices))
    await store.close()


async def _honest(path: Path) -> None:
    """Only what the engine itself stores."""
    processor = MatchingProcessor(dsl.load_text(RULES))
    raw = b'{"kind":"upload","device":"phone","time":1000,"app":"a"}'
    processor.process(raw, None, 1, "EVENTS", "events.x", 2000)
    cut = processor.cut()
    devices: dict[str, bytes | None] = {}
    while rows := cut.pack(10):
        devices.update(rows)
    mark = Mark(
        generation=1,
        stream="EVENTS",
        stream_created="x",
        sequence=1,
        received_ms=2000,
        written_ms=3000,
        rules=processor.state_digest(),
    )
    store = SqliteStore(path)
    await store.open(None)
    await store.commit(Checkpoint(mark, cut.shared, devices))
    await store.close()


def test_inspect_says_what_it_is_of_without_steering_the_terminal(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["state", "inspect", str(state)]) == 0
    text = capsys.readouterr().out
    for word in (
        "EVENTS, created 2026-11-23",
        "1970-01-01T00:00:02.000Z",
        "crash_after_upload",
        "rules.since",
    ):
        assert word in text
    assert "\x1b[31m" not in text
    assert "evil?[31m" in text


def test_inspect_for_programs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "inspect", str(state), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sequence"], found["generation"], found["stream"]) == (2, 1, "EVENTS")
    assert found["shared_bytes"] > 0
    assert {"device": "raw", "bytes": 1} in found["largest"]


def test_one_device(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "inspect", str(state), "--device", "raw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"device": "raw", "bytes": 1, "state": "wQ=="}
    assert main(["state", "inspect", str(state), "--device", "other"]) == 1
    assert "nothing is known of the device `other`" in capsys.readouterr().err


def test_export_is_json_lines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "export", str(state)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["mark"]["sequence"] == 2
    assert "shared" in lines[1]
    assert {line["device"]: line["state"] for line in lines[2:]}["evil\x1b[31m"] == {"x": "/w=="}


def test_verify_loads_it_and_writes_it_again(
    tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "honest"
    asyncio.run(_honest(path))
    assert main(["state", "verify", str(path), "--rules", str(rules)]) == 0
    assert "is whole: 1 rule, 1 device in partial matches or alerts" in capsys.readouterr().out


def test_verify_finds_other_rules(tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "honest"
    asyncio.run(_honest(path))
    rules.write_text(RULES.replace("10m", "11m"))
    assert main(["state", "verify", str(path), "--rules", str(rules)]) == 1
    assert "is of other rules or PARAMs than these" in capsys.readouterr().err


def test_verify_finds_damage(tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "honest"
    asyncio.run(_honest(path))
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute("UPDATE checkpoint SET shared = substr(shared, 1, length(shared) - 3)")
    assert main(["state", "verify", str(path), "--rules", str(rules)]) == 1
    assert "cannot be loaded: the state is damaged" in capsys.readouterr().err
    path.write_bytes(b"rubbish" * 100)
    for words in (["inspect"], ["export"], ["verify", "--rules", str(rules)], ["reset"]):
        assert main(["state", words[0], str(path), *words[1:]]) == 1
        assert "is damaged, or it is no state of thenwire" in capsys.readouterr().err


def test_reset_forgets(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "reset", str(state)]) == 0
    assert main(["state", "inspect", str(state)]) == 1
    assert "there is no state in" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "export", "reset"])
def test_a_file_that_is_not_there_is_not_made(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["state", command, str(tmp_path / "none")]) == 2
    assert "here is no file" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
