"""A nats-server of our own on a fixed port, which can be killed, frozen, told to read its configuration
again, and put on a disk that is too small. It is ended by its own process id.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path


class FaultyServer:
    """A context manager. ``store`` is where JetStream keeps its files, by default below ``directory``."""

    def __init__(
        self, binary: Path, directory: Path, *, configuration: str = "", store: Path | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"nats://127.0.0.1:{self.port}"
        self.configuration = configuration
        """What follows the fixed part of the configuration file; read at `start` and `reload`."""
        self._binary = binary
        self._directory = directory
        self._store = store or directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; the port answers some tens of milliseconds later."""
        self._write()
        self._process = subprocess.Popen(
            [str(self._binary), "-c", str(self._file())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal reaches the whole group, and this must be the last to stop.
            start_new_session=True,
        )

    def kill(self) -> None:
        """SIGKILL: nothing is written that was not."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """It holds its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def reload(self, configuration: str) -> None:
        """Put another configuration in force without a restart."""
        self.configuration = configuration
        self._write()
        self._signal(signal.SIGHUP)

    def log(self) -> str:
        """What it has written so far."""
        return (self._directory / "server.log").read_text(errors="replace")

    def __enter__(self) -> FaultyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _file(self) -> Path:
        return self._directory / "server.conf"

    def _write(self) -> None:
        self._file().write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self._store}" }}\n'
            f'log_file: "{self._directory}/server.log"\n' + self.configuration
        )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
