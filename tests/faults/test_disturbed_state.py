"""What goes wrong with the place of the state ends in waiting and saying so, or in one sentence and an exit
code; and afterwards nothing is missing and nothing is there twice.
"""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

from disturbing import CANNOT_STORE, equal, play, small_disk, waits_without_acknowledging
from service_running import Run


def test_a_full_disk_under_the_state_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:

        async def scenario(run: Run) -> None:
            await run.more("ALERTS", 20)
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            await run.service.says(CANNOT_STORE)
            assert "state.db: the disk is full." in run.service.log()
            await waits_without_acknowledging(run)
            ballast.unlink()
            await run.service.says("the state can be stored again")
            await equal(run)

        play(binary, tmp_path, scenario, state=disk / "state.db")


def test_a_file_that_may_not_grow_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    """As above, for those who may not mount: the limit on the size of files, which is then taken away."""

    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        run.service.limit_files(64 * 1024)
        await run.service.says(CANNOT_STORE)
        await waits_without_acknowledging(run)
        run.service.limit_files(None)
        await run.service.says("the state can be stored again")
        await equal(run)

    play(binary, tmp_path, scenario)


def test_a_kill_on_a_full_disk_loses_nothing(binary: Path, tmp_path: Path) -> None:
    """What is stored is the last checkpoint before the disk was full, whole."""

    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        run.service.limit_files(64 * 1024)
        await run.service.says(CANNOT_STORE)
        await run.more("ALERTS", 10)
        run.service.kill()
        run.service.start()
        await run.service.ready()
        await equal(run)

    play(binary, tmp_path, scenario)


def test_a_store_that_became_read_only_is_one_sentence_and_nothing_is_lost(
    binary: Path, tmp_path: Path
) -> None:
    """A file system that was mounted again without the right to write, as after a defect of the disk."""
    with small_disk(tmp_path / "disk") as disk:

        def mounted(how: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

        async def scenario(run: Run) -> None:
            await run.more("ALERTS", 20)
            # A file that is open for writing keeps a file system from becoming read-only.
            run.service.kill()
            mounted("ro")
            run.service.start()
            assert await run.service.ended() == 2
            assert "state.db cannot be used: it may not be written to." in run.service.log()
            assert "Traceback" not in run.service.log()
            mounted("rw")
            run.service.start()
            await run.service.ready()
            await equal(run)

        play(binary, tmp_path, scenario, state=disk / "state.db")


def test_a_store_that_another_program_has_locked_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None, timeout=30)
        other.execute("BEGIN IMMEDIATE")
        await run.service.says(CANNOT_STORE, 60)
        assert "another program has it locked" in run.service.log()
        await waits_without_acknowledging(run)
        other.execute("ROLLBACK")
        other.close()
        await run.service.says("the state can be stored again", 60)
        await equal(run)

    play(binary, tmp_path, scenario)


def test_a_full_bucket_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    """The state in a bucket that may hold no more bytes."""

    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        found = await run.jetstream.stream_info("KV_STATE")
        config = found.config
        config.max_bytes = found.state.bytes
        await run.jetstream.update_stream(config)
        await run.service.says(CANNOT_STORE)
        assert "in bucket STATE: maximum bytes exceeded." in run.service.log()
        await waits_without_acknowledging(run)
        config.max_bytes = -1
        await run.jetstream.update_stream(config)
        await run.service.says("the state can be stored again")
        await equal(run)

    play(binary, tmp_path, scenario, state="kv:STATE")


def test_a_deleted_bucket_is_said_and_one_made_anew_is_one_sentence(binary: Path, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        await run.jetstream.delete_key_value("STATE")
        await run.service.says(CANNOT_STORE)
        assert "in bucket STATE: " in run.service.log()
        await waits_without_acknowledging(run)
        await run.jetstream.create_key_value(bucket="STATE", history=1)
        assert await run.service.ended() == 2
        assert "bucket STATE was removed while thenwire was running; start it again." in run.service.log()
        assert "Traceback" not in run.service.log()
        run.service.start()
        await run.service.says("there is no state in bucket STATE yet: beginning without any")
        await run.service.ready()

    play(binary, tmp_path, scenario, state="kv:STATE")
