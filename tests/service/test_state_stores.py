"""The stores of checkpoints: all of a checkpoint or nothing, one writer, and each trouble in a sentence."""

import asyncio
import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from engine.service.checkpoints import sqlite as sqlite_module
from engine.service.checkpoints.bucket import BucketStore
from engine.service.checkpoints.model import Checkpoint, Mark, Saved, StateStore, StoreUnavailableError
from engine.service.checkpoints.places import default_file, state_store
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.connection import Connection
from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings

HOSTILE = "a'; DROP TABLE devices; -- \x00 .*> é \ud800"


def mark(generation: int, **changes: Any) -> Mark:
    made = Mark(
        generation=generation,
        stream="EVENTS",
        stream_created="today",
        sequence=generation * 10,
        received_ms=1,
        written_ms=2,
        rules="abc",
        lists={"vpn": "1"},
    )
    return msgspec.structs.replace(made, **changes)


def checkpoint(generation: int, devices: dict[str, bytes | None], shared: bytes = b"s") -> Checkpoint:
    return Checkpoint(mark(generation), shared, devices)


async def loaded(store: StateStore) -> Saved:
    found = await store.load()
    assert found is not None
    return found


def _name(state: str) -> str:
    store = state_store(Settings(state=state), {})
    assert store is not None
    return store.name


@asynccontextmanager
async def _connected(tools: Any) -> Any:
    async with tools.embedded("nats") as server:
        connection = Connection(tools.settings(server))
        await connection.open()
        try:
            yield connection
        finally:
            await connection.close()


def _with_stores(
    tools: Any, kind: str, scenario: Callable[[Callable[[], Awaitable[StateStore]]], Awaitable[None]]
) -> None:
    """Run the scenario with a function that opens the same store once more, as another process would."""

    async def inside() -> None:
        opened: list[StateStore] = []

        async def another() -> StateStore:
            if kind == "file":
                store: StateStore = SqliteStore(tools.directory / "state")
                await store.open(None)
            else:
                store = BucketStore("states", "EVENTS_thenwire", create=True)
                await store.open(connection)
            opened.append(store)
            return store

        async with asyncio.timeout(60):
            if kind == "file":
                await scenario(another)
            else:
                async with _connected(tools) as connection:
                    await scenario(another)
            for store in opened:
                await store.close()

    asyncio.run(inside())


BOTH = pytest.mark.parametrize("kind", ["file", "bucket"])


@BOTH
def test_many_changes_and_removals_leave_what_they_should(tools: Any, kind: str) -> None:
    random = Random(1)
    names = [
        f"{head}{number}" for head in ("", "\0l", "\0f1:\xa3", "\ud800", HOSTILE) for number in range(300)
    ]

    async def scenario(another: Any) -> None:
        store = await another()
        right: dict[str, bytes] = {}
        for generation in range(1, 6):
            some = random.sample(names, 900)
            changed = {name: None if random.random() < 0.3 else random.randbytes(20) for name in some}
            await store.commit(checkpoint(generation, changed))
            right = {name: state for name, state in {**right, **changed}.items() if state is not None}
            assert dict((await loaded(await another())).devices) == right

    _with_stores(tools, kind, scenario)


def test_a_checkpoint_is_written_in_the_order_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "_SORTED_AT_ONCE", 7)
    monkeypatch.setattr(sqlite_module, "_ROWS_IN_A_STATEMENT", 3)
    names = [f"d{number:03}" for number in range(50)]
    written: list[bytes] = []

    class Database:
        def execute(self, statement: str, values: list[bytes]) -> None:
            written.extend(values[::2] if statement.startswith("INSERT") else values)

    database: Any = Database()
    shuffled = Random(2).sample(names, 50)
    sqlite_module._write(database, dict.fromkeys(shuffled, b"x"))
    assert written == [name.encode() for name in names]


@BOTH
def test_what_was_stored_is_loaded_by_the_next_process(tools: Any, kind: str) -> None:
    async def scenario(another: Any) -> None:
        store = await another()
        assert await store.load() is None
        await store.commit(checkpoint(1, {"a": b"1", "b": b"1", HOSTILE: b"1"}))
        await store.commit(checkpoint(2, {"a": b"2", "b": None, "c": b"2"}, b"later"))
        expected = Saved(mark(2), b"later", [("a", b"2"), (HOSTILE, b"1"), ("c", b"2")])
        for again in (store, await another()):
            found = await again.load()
            assert msgspec.structs.replace(found, devices=[]) == msgspec.structs.replace(expected, devices=[])
            assert dict(found.devices) == dict(expected.devices)

    _with_stores(tools, kind, scenario)


@BOTH
def test_who_was_replaced_is_told_and_changes_nothing(tools: Any, kind: str) -> None:
    async def scenario(another: Any) -> None:
        first, second = await another(), await another()
        await first.commit(checkpoint(1, {"a": b"first"}))
        with pytest.raises(ServiceError, match=r"Another thenwire has written to .* meanwhile"):
            await second.commit(Checkpoint(mark(1, writer="second"), b"x", {"a": b"second"}))
        await first.commit(checkpoint(2, {}))
        found = await (await another()).load()
        assert found.devices == [("a", b"first")]

    _with_stores(tools, kind, scenario)


@BOTH
def test_the_same_checkpoint_may_be_given_again(tools: Any, kind: str) -> None:
    async def scenario(another: Any) -> None:
        store = await another()
        for _ in range(2):
            await store.commit(checkpoint(1, {"a": b"1"}))
        assert (await store.load()).mark.generation == 1

    _with_stores(tools, kind, scenario)


@BOTH
def test_a_reset_store_begins_anew(tools: Any, kind: str) -> None:
    async def scenario(another: Any) -> None:
        store = await another()
        await store.commit(checkpoint(1, {"a": b"1"}))
        await store.reset()
        assert await store.load() is None
        await store.commit(checkpoint(1, {"b": b"1"}))
        assert (await (await another()).load()).devices == [("b", b"1")]

    _with_stores(tools, kind, scenario)


def test_a_bucket_holds_what_a_message_does_not_and_few_keys(tools: Any) -> None:
    async def inside() -> None:
        async with asyncio.timeout(60), _connected(tools) as connection:
            store = BucketStore("states", "one", create=True)
            await store.open(connection)
            expected: dict[str, bytes | None] = {}
            for generation in range(1, 41):
                changed = {f"d{(generation * 7 + n) % 50}": os.urandom(9_000) for n in range(20)}
                expected |= changed
                # More than the 512 KiB of a piece.
                await store.commit(checkpoint(generation, dict(changed), os.urandom(700_000)))
            found = await loaded(store)
            assert dict(found.devices) == expected
            keys = list(await (await connection.jetstream().key_value("states")).keys())
            assert len(keys) < 20

    asyncio.run(inside())


def test_half_a_checkpoint_in_a_bucket_is_never_read(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside() -> None:
        async with asyncio.timeout(60), _connected(tools) as connection:
            store = BucketStore("states", "one", create=True)
            await store.open(connection)
            await store.commit(checkpoint(1, {"a": b"1"}))

            async def lost(_: Any) -> None:
                raise TimeoutError

            with monkeypatch.context() as patched:
                # Everything is written but the manifest.
                patched.setattr(store, "_swap", lost)
                with pytest.raises(StoreUnavailableError):
                    await store.commit(checkpoint(2, {"a": b"2"}))
            other = BucketStore("states", "one", create=True)
            await other.open(connection)
            assert (await loaded(other)).devices == [("a", b"1")]
            await store.commit(checkpoint(2, {"a": b"2"}))
            assert (await loaded(other)).devices == [("a", b"2")]

    asyncio.run(inside())


@pytest.mark.parametrize("how", ["deleted", "purged", "manifest only"])
def test_a_bucket_that_was_emptied_meanwhile_is_a_sentence(tools: Any, how: str) -> None:
    async def scenario() -> None:
        async with _connected(tools) as connection:
            store = BucketStore("STATE", "x", create=True)
            await store.open(connection)
            for generation in range(1, 4):
                await store.commit(checkpoint(generation, {"d": b"1"}))
            jetstream = connection.jetstream()
            if how == "manifest only":
                await (await jetstream.key_value("STATE")).delete("x.manifest")
            else:
                await jetstream.purge_stream("KV_STATE")
            if how == "deleted":
                await jetstream.delete_key_value("STATE")
                with pytest.raises(StoreUnavailableError, match="no response from stream"):
                    await store.commit(checkpoint(4, {"d": b"1"}))
                await jetstream.create_key_value(bucket="STATE")
            with pytest.raises(ServiceError) as caught:
                await store.commit(checkpoint(4, {"d": b"1"}))
            assert str(caught.value) == (
                "The state in bucket STATE was removed while thenwire was running; start it again."
            )

    asyncio.run(scenario())


def test_a_bucket_that_is_being_deleted_is_waited_for(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment the server has no such stream any more and still answers for its messages."""

    async def nothing(*_: object) -> None:
        raise KeyNotFoundError

    async def stored(*_: object) -> int:
        return 1

    async def scenario() -> None:
        async with _connected(tools) as connection:
            store = BucketStore("STATE", "x", create=True)
            await store.open(connection)
            await store.commit(checkpoint(1, {"d": b"1"}))
            await connection.jetstream().delete_key_value("STATE")
            with monkeypatch.context() as patched:
                patched.setattr(KeyValue, "get", nothing)
                patched.setattr(KeyValue, "put", stored)
                with pytest.raises(StoreUnavailableError, match="stream not found"):
                    await store.commit(checkpoint(2, {"d": b"1"}))
            await connection.jetstream().create_key_value(bucket="STATE")
            with pytest.raises(ServiceError, match="was removed while thenwire was running"):
                await store.commit(checkpoint(2, {"d": b"1"}))

    asyncio.run(scenario())


def test_who_was_replaced_in_a_bucket_is_told_so_though_his_parts_are_gone(tools: Any) -> None:
    async def scenario() -> None:
        async with _connected(tools) as connection:
            first, second = (BucketStore("STATE", "x", create=True) for _ in range(2))
            await first.open(connection)
            await first.commit(checkpoint(1, {"d": b"1"}))
            await second.open(connection)
            for generation in range(2, 6):
                await second.commit(checkpoint(generation, {"d": b"2"}))
            with pytest.raises(ServiceError, match="Another thenwire has written to bucket STATE"):
                await first.commit(checkpoint(2, {"d": b"3"}))

    asyncio.run(scenario())


def test_a_bucket_that_may_not_be_made_is_a_sentence(tools: Any) -> None:
    async def inside() -> None:
        async with asyncio.timeout(60), _connected(tools) as connection:
            with pytest.raises(
                ServiceError, match="no key-value bucket states for the state, and manage_streams"
            ):
                await BucketStore("states", "one", create=False).open(connection)

    asyncio.run(inside())


def _opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    asyncio.run(store.open(None))
    return store


def test_the_file_is_for_its_owner_only_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state"
    _opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 40, b"sql"])
def test_another_file_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ServiceError, match="is damaged, or it is no state of thenwire"):
        _opened(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(ServiceError, match="is damaged, or it is no state of thenwire"):
        _opened(path)


def test_a_format_of_another_version_is_refused(tmp_path: Path) -> None:
    store = _opened(tmp_path / "state")
    asyncio.run(store.commit(Checkpoint(mark(1, format=99, version="9.9"), b"", {})))
    with pytest.raises(
        ServiceError, match=r"has format 99, and this thenwire reads format 1: use the .*\(9.9\)"
    ):
        asyncio.run(store.load())


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.service.checkpoints.sqlite._BUSY_SECONDS", 0.05)
    store = _opened(tmp_path / "state")
    asyncio.run(store.commit(checkpoint(1, {"a": b"1"})))
    other = sqlite3.connect(tmp_path / "state", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match="another program has it locked"):
        asyncio.run(store.commit(checkpoint(2, {"a": b"2"})))
    other.execute("ROLLBACK")
    asyncio.run(store.commit(checkpoint(2, {"a": b"2"})))
    assert asyncio.run(loaded(store)).devices == [("a", b"2")]


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond this: what a full disk looks like without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path: Path) -> None:
    store = _opened(tmp_path / "state")
    asyncio.run(store.commit(checkpoint(1, {"a": b"1"})))
    large = {f"d{n}": os.urandom(10_000) for n in range(100)}
    with _files_up_to(200_000), pytest.raises(StoreUnavailableError):
        asyncio.run(store.commit(checkpoint(2, {**large, "a": None})))
    assert asyncio.run(_read_devices(tmp_path / "state")) == [("a", b"1")]
    asyncio.run(store.commit(checkpoint(2, {**large, "a": None})))
    assert dict(asyncio.run(loaded(store)).devices) == large


async def _read_devices(path: Path) -> list[tuple[str, bytes]]:
    store = SqliteStore(path, readonly=True)
    await store.open(None)
    found = await loaded(store)
    await store.close()
    return found.devices


def test_a_file_that_became_read_only_is_waited_for(tmp_path: Path) -> None:
    store = _opened(tmp_path / "state")
    store._open().execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailableError, match="it may not be written to"):
        asyncio.run(store.commit(checkpoint(1, {"a": b"1"})))
    asyncio.run(store.commit(checkpoint(1, {"a": b"1"})))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_file_that_may_not_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    asyncio.run(_opened(tmp_path / "state").close())
    (tmp_path / "state").chmod(0o400)
    with pytest.raises(StoreUnavailableError, match="it may not be written to"):
        _opened(tmp_path / "state")


def test_a_file_that_was_removed_meanwhile_is_not_written_into_the_void(tmp_path: Path) -> None:
    store = _opened(tmp_path / "state")
    asyncio.run(store.commit(checkpoint(1, {"a": b"1"})))
    (tmp_path / "state").unlink()
    with pytest.raises(ServiceError, match="was removed or replaced while thenwire was running"):
        asyncio.run(store.commit(checkpoint(2, {"b": b"2"})))
    assert not (tmp_path / "state").exists()


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    store = _opened(tmp_path / "state")
    asyncio.run(store.commit(checkpoint(1, {f"d{n}": os.urandom(3000) for n in range(50)})))
    asyncio.run(store.close())
    raw = bytearray((tmp_path / "state").read_bytes())
    raw[4096 * 2 : 4096 * 8] = os.urandom(4096 * 6)
    (tmp_path / "state").write_bytes(raw)
    with pytest.raises(ServiceError, match="is damaged, or it is no state of thenwire"):
        asyncio.run(_load_all(tmp_path / "state"))


async def _load_all(path: Path) -> None:
    store = SqliteStore(path)
    await store.open(None)
    await store.load()


def test_where_the_state_is_kept(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    assert default_file(Settings(), environment) == tmp_path / "thenwire" / "EVENTS.thenwire.state"
    beside = Settings(embedded=True, embedded_directory="/x")
    assert default_file(beside, environment) == Path("/x/EVENTS.thenwire.state")
    assert state_store(Settings(state="none"), {}) is None
    assert _name("kv:states") == "bucket states"
    assert _name("a/b") == "the file a/b"
    for wrong in ("kv:", "kv:a.b", "kv:a b", ""):
        with pytest.raises(SettingsError, match="Setting state"):
            state_store(Settings(state=wrong), {})


_DEVICES = st.dictionaries(st.sampled_from("abcde"), st.none() | st.binary(max_size=40), max_size=5)


@settings(max_examples=20, deadline=None)
@given(st.lists(_DEVICES, max_size=8))
def test_merged_segments_say_what_the_checkpoints_said(history: list[dict[str, bytes | None]]) -> None:
    from engine.service.checkpoints.segments import Slot, merged, must_merge, packed, unpacked

    kept: list[tuple[Slot, dict[str, bytes | None]]] = []
    expected: dict[str, bytes | None] = {}
    for changed in history:
        expected |= changed
        devices = changed
        while must_merge(tuple(slot for slot, _ in kept), len(packed(devices))):
            _, older = kept.pop()
            devices = merged(older, devices, first=not kept)
        kept.append((Slot("w", 0, 1, len(packed(devices)), ""), unpacked(packed(devices))))
    found: dict[str, bytes | None] = {}
    for _, devices in kept:
        found |= devices
    alive = {device: state for device, state in expected.items() if state is not None}
    assert {device: state for device, state in found.items() if state is not None} == alive
