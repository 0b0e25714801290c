"""Runs one program for as long as the parent process lives. Started as a script, with standard library only.

Why this exists: a server started by thenwire must not outlive it, not even when
thenwire is killed with SIGKILL and can run no code of its own. The guardian
holds the read end of a pipe as its standard input and the parent holds the
write end. However the parent ends, the kernel closes that end, and the guardian
stops the program. Stopping on purpose is the same: the parent closes the pipe.

    python guardian.py SECONDS PROGRAM ARGUMENT...

SECONDS is how long the program may take after SIGTERM before it is killed. File
descriptors given to the guardian (the lock of the store) are handed on to the
program, so the lock lives as long as any of the three processes does. The exit
status is the program's, or 0 after an asked-for stop.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading


def _die_with_parent() -> None:
    """Linux only, and only a second net: if the guardian itself is killed, the program gets SIGTERM."""
    prctl_set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(prctl_set_parent_death_signal, signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Run ``arguments[1:]`` until it ends or standard input closes; see the head of this file."""
    patience = float(arguments[0])
    # A service manager may signal the whole group; when to stop is the parent's decision.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    program = subprocess.Popen(
        arguments[1:],
        stdin=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=_prepare_program,
    )

    def end_with_program() -> None:
        status = program.wait()
        if not stopping.is_set():
            os._exit(status if 0 <= status < 256 else 1)

    stopping = threading.Event()
    watcher = threading.Thread(target=end_with_program, daemon=True)
    watcher.start()
    while os.read(0, 4096):
        pass
    stopping.set()
    program.terminate()
    watcher.join(patience)
    if watcher.is_alive():
        program.kill()
        watcher.join()
    return 0


def _prepare_program() -> None:
    # Ignored signals are inherited, and the program must hear SIGTERM.
    for restored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(restored, signal.SIG_DFL)
    if sys.platform == "linux":
        _die_with_parent()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
