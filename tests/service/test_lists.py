"""LIST ... FROM file REFRESH d: files that change, vanish and break while the service runs."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import dsl
from dsl.model import NamedList
from engine.matcher import ListChange
from engine.service import lists
from engine.service.embedded import EmbeddedServer
from engine.service.lists import HasLists, ListFile, Read, keep_fresh
from engine.service.matching import MatchingProcessor

RULES = """
EVENT start { app: string }
LIST watched FROM "watched.txt" REFRESH 1s
LIST fixed FROM "watched.txt"
RULE seen { WHEN start [app IN LIST watched] }
"""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MIN_REFRESH_SECONDS", 0.01)


class FakeLists:
    """A processor that only remembers what it was given."""

    def __init__(self, path: Path, *, failing: bool = False) -> None:
        self.refreshed: Sequence[NamedList] = (NamedList("l", ("a",), str(path), 10),)
        self.given: list[tuple[str, tuple[str, ...]]] = []
        self._failing = failing

    def replace_list(self, name: str, entries: Iterable[str]) -> ListChange:
        self.given.append((name, tuple(entries)))
        if self._failing:
            raise ValueError("no")
        return ListChange(len(self.given[-1][1]), 0)


def run_with(processor: object, *steps: Callable[[], Any]) -> None:
    """Keep lists fresh; each step acts, or gives a condition to be waited for."""

    async def inside() -> None:
        work = asyncio.ensure_future(keep_fresh(processor))
        try:
            async with asyncio.timeout(30):
                for step in steps:
                    while step() is False:
                        assert not work.done() or work.result() is None
                        await asyncio.sleep(0.005)
                    await asyncio.sleep(0.03)
        finally:
            work.cancel()

    asyncio.run(inside())


def wait_a_little() -> None:
    """A step that does nothing: behind each the file is looked at a few times."""


def test_a_file_is_read_when_it_changed_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\nb # why\n")
    file = ListFile(str(path))
    assert file.read() == Read(entries=("a", "b"))
    assert file.read() == Read()
    path.write_text("a\nb\nc\n")
    assert file.read() == Read(entries=("a", "b", "c"))
    path.write_bytes(b"\xff\xfe")
    assert file.read() == Read(problem="not UTF-8 text")
    assert file.read() == Read()
    path.write_text("?" * 2000)
    assert file.read() == Read(problem="line 1: a pattern with wildcards longer than 1000 characters")
    path.unlink()
    assert file.read() == Read(problem="no such file or directory")
    path.write_text("a\nb\nc\n")
    assert file.read() == Read(entries=("a", "b", "c"))


def test_a_file_that_is_being_written_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\n")

    def half(name: str) -> tuple[tuple[str, ...], str | None]:
        path.write_text("a\nb\nc\n")
        return ("a",), None

    file = ListFile(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(lists, "read_list", half)
        assert file.read() == Read()
    assert file.read() == Read(entries=("a", "b", "c"))


def test_a_bad_file_is_said_once_and_the_old_entries_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\n")
    fake = FakeLists(path)
    with caplog.at_level(logging.INFO, "thenwire.service"):
        run_with(
            fake,
            lambda: len(fake.given) == 1,
            lambda: path.write_bytes(b"\xff") and None,
            lambda: "not UTF-8 text" in caplog.text,
            lambda: path.unlink(),
            lambda: "no such file" in caplog.text,
            *[wait_a_little] * 3,
            lambda: path.write_text("a\nb\n") and None,
            lambda: len(fake.given) == 2,
        )
    assert fake.given == [("l", ("a",)), ("l", ("a", "b"))]
    assert caplog.text.count("not UTF-8 text") == 1
    assert caplog.text.count("no such file") == 1
    assert "LIST l read again: 2 added, 0 removed, 2 in force" in caplog.text


def test_an_empty_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# nothing yet\n")
    processor = _processor(tmp_path, "a\n")
    (tmp_path / "watched.txt").write_text("# nothing yet\n")
    with caplog.at_level(logging.INFO, "thenwire.service"):
        run_with(processor, lambda: "0 in force" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_nothing_raises_out_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\n")
    fake = FakeLists(path, failing=True)
    run_with(
        fake,
        lambda: len(fake.given) == 1,
        lambda: path.write_text("bb\n") and None,
        lambda: len(fake.given) == 2,
    )
    assert "ValueError: no" in caplog.text


def test_a_processor_without_lists_is_left_alone() -> None:
    assert asyncio.run(keep_fresh(object())) is None  # type: ignore[func-returns-value]  # it returns at once


def _processor(folder: Path, entries: str) -> MatchingProcessor:
    (folder / "watched.txt").write_text(entries)
    (folder / "rules.rule").write_text(RULES)
    rules = dsl.load([folder])
    assert not rules.errors
    return MatchingProcessor(rules)


def test_only_lists_with_refresh_are_read_again(tmp_path: Path) -> None:
    processor = _processor(tmp_path, "a\n")
    assert isinstance(processor, HasLists)
    assert [found.name for found in processor.refreshed] == ["watched"]


def test_a_list_changes_between_messages_of_a_running_service(
    tools: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processor = _processor(tmp_path, "a\n")
    lists_of = processor.matcher.plan.lists

    async def scenario(server: EmbeddedServer) -> None:
        async with tools.client(server) as client, tools.service(tools.settings(server), processor):
            stream = client.jetstream()

            async def send(app: str, time: int) -> None:
                wire = {"kind": "start", "device": "d", "time": time, "app": app}
                await stream.publish("events.start", json.dumps(wire).encode())

            await send("b", 1_700_000_000_000)
            await tools.until(lambda: processor.events == 1)
            assert processor.alerts == 0
            (tmp_path / "watched.txt").write_text("b\n")
            await tools.until(lambda: lists_of["watched"].has("b"))
            await send("b", 1_700_000_000_001)
            await send("a", 1_700_000_000_002)
            await tools.until(lambda: processor.events == 3)
            assert processor.alerts == 1
            assert lists_of["fixed"].has("a")

    with caplog.at_level(logging.INFO, "thenwire.service"):
        tools.with_server(scenario)
    assert "LIST watched read again: 1 added, 1 removed, 1 in force" in caplog.text
