"""What goes wrong with the server and its streams ends in waiting and saying so, or in one sentence and an
exit code; and afterwards nothing is missing and nothing is there twice.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from checking import floor
from disturbing import equal, play, small_disk, waits_without_acknowledging
from service_running import Run


def test_a_full_disk_under_the_server_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    """JetStream answers nothing to what it cannot write; once there is room again, nothing is missing."""
    with small_disk(tmp_path / "disk", "size=24m") as disk:

        async def scenario(run: Run) -> None:
            await run.more("ALERTS", 20)
            # What causes alerts must be stored before the disk is full.
            os.kill(run.service.pid, signal.SIGSTOP)
            await run.more("EVENTS", 150)
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            os.kill(run.service.pid, signal.SIGCONT)
            await run.service.says("published messages had no answer and are sent again")
            run.service.check()
            assert await floor(run.client) < (await run.jetstream.stream_info("EVENTS")).state.last_seq
            ballast.unlink()
            # A JetStream that met a full disk stays off until it is started again.
            run.server.kill()
            run.server.start()
            await equal(run)

        play(binary, tmp_path, scenario, store=disk)


def test_a_full_alert_stream_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        config = (await run.jetstream.stream_info("ALERTS")).config
        config.max_msgs, config.discard = await run.stored("ALERTS") + 5, "new"
        await run.jetstream.update_stream(config)
        await run.service.says("not stored yet: maximum messages exceeded")
        await waits_without_acknowledging(run)
        config.max_msgs = -1
        await run.jetstream.update_stream(config)
        await equal(run)

    play(binary, tmp_path, scenario)


def test_a_deleted_alert_stream_is_said_and_waited_for(binary: Path, tmp_path: Path) -> None:
    """The alerts in it are gone, by somebody's will; those after it are all there."""

    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        config = (await run.jetstream.stream_info("ALERTS")).config
        stored = await run.stored("ALERTS")
        await run.jetstream.delete_stream("ALERTS")
        await run.service.says("no stream took the message on alerts.")
        await waits_without_acknowledging(run)
        await run.jetstream.add_stream(config)
        found = await run.end()
        assert found.alerts.found > 0
        alerts = found.alerts
        assert (alerts.duplicate, alerts.different, alerts.unexpected, alerts.misordered) == (0, 0, 0, 0)
        # Missing are those that were stored by then; some more may have been meanwhile.
        assert found.alerts.found == found.alerts.expected - found.alerts.missing
        assert stored <= found.alerts.missing <= stored + 20
        assert found.letters.none

    play(binary, tmp_path, scenario)


def test_a_deleted_input_stream_is_one_sentence(binary: Path, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        await run.jetstream.delete_stream("EVENTS")
        assert await run.service.ended() == 2
        assert "There is no stream EVENTS to read from." in run.service.log()
        assert "Traceback" not in run.service.log()

    play(binary, tmp_path, scenario)


_USERS = """
authorization {
  users = [
    { user: op, password: op }
    { user: engine, password: engine, permissions: {
        publish: { allow: ">", deny: [DENIED] }
        subscribe: ">"
    } }
  ]
}
"""


def test_a_revoked_permission_is_one_sentence_and_nothing_is_lost(binary: Path, tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        run.server.reload(_USERS.replace("DENIED", '"alerts.>"'))
        assert await run.service.ended() == 2
        assert 'The NATS user lacks a permission: publish to "alerts.>".' in run.service.log()
        assert "Traceback" not in run.service.log()
        run.service.start()
        # It starts, because nothing is published at the start, and ends with the first alert.
        assert await run.service.ended() == 2
        assert 'The NATS user lacks a permission: publish to "alerts.>".' in run.service.log()
        run.server.reload(_USERS.replace("DENIED", ""))
        run.service.start()
        await run.service.ready()
        await equal(run)

    play(
        binary,
        tmp_path,
        scenario,
        configuration=_USERS.replace("DENIED", ""),
        login={"user": "op", "password": "op"},
        environment={"NATS_USER": "engine", "NATS_PASSWORD": "engine"},
    )


def test_a_server_that_stands_still_for_ten_seconds_is_said_and_waited_for(
    binary: Path, tmp_path: Path
) -> None:
    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        run.server.freeze()
        await asyncio.sleep(10.0)
        run.server.thaw()
        await run.service.says("opening the source again: no sign of life from the server")
        await equal(run)

    play(binary, tmp_path, scenario)


def test_a_service_that_stands_still_for_ten_seconds_loses_nothing(binary: Path, tmp_path: Path) -> None:
    """A suspended virtual machine: the server goes on, and what it says meanwhile waits in buffers."""

    async def scenario(run: Run) -> None:
        await run.more("ALERTS", 20)
        os.kill(run.service.pid, signal.SIGSTOP)
        await asyncio.sleep(10.0)
        os.kill(run.service.pid, signal.SIGCONT)
        await equal(run)

    play(binary, tmp_path, scenario)
