"""A real browser without a window, driven through the pipe of the Chrome DevTools Protocol.

`--remote-debugging-pipe` makes the browser read commands from file descriptor 3 and write answers to 4,
each a JSON text that ends in NUL: no port and no websocket. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
"""The browser has hung when it has not answered by then."""


def find() -> str | None:
    """The browser's path; None where there is none. THENWIRE_BROWSER names another one."""
    wanted = os.environ.get("THENWIRE_BROWSER")
    return wanted or next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """The browser has refused a command, ended, or not answered."""


class Chromium:
    """One page in one browser. A context manager.

    Attributes:
        errors: what the page has complained about: exceptions, console errors, refusals of its own policy.
        requests: every address that the page has asked for.
    """

    def __init__(self, binary: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._home = tempfile.TemporaryDirectory(prefix="thenwire-browser-", ignore_cleanup_errors=True)
        theirs_in, ours_out = map(_high, os.pipe())
        ours_in, theirs_out = map(_high, os.pipe())
        arguments = [
            *(binary, "--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
            *(
                "--disable-dev-shm-usage",
                f"--user-data-dir={self._home.name}",
                f"--window-size={width},{height}",
            ),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "about:blank",
        ]
        log = os.open(Path(self._home.name) / "log", os.O_CREAT | os.O_WRONLY)
        actions = [
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        self._process = os.posix_spawn(
            binary, arguments, {**os.environ, "HOME": self._home.name}, file_actions=actions, setsid=True
        )
        for descriptor in (theirs_in, theirs_out, log):
            os.close(descriptor)
        self._out, self._in = ours_out, ours_in
        self._buffer = b""
        self._number = 0
        self._loaded = False
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session: str | None = None
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        self.size(width, height)
        self.dark(dark)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all that it has started."""
        os.close(self._out)
        os.close(self._in)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._home.cleanup()

    # --- what a person does

    def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        self._loaded = False
        self._send("Page.navigate", {"url": url})
        until = time.monotonic() + SECONDS
        while not self._loaded:
            self._receive(until)

    def size(self, width: int, height: int) -> None:
        values = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._send("Emulation.setDeviceMetricsOverride", values)

    def dark(self, on: bool) -> None:
        """Ask for the dark or the light form of pages."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self._send("Emulation.setEmulatedMedia", {"features": [feature]})

    def scripts(self, on: bool) -> None:
        """Let the pages that are opened next run scripts, or not."""
        self._send("Emulation.setScriptExecutionDisabled", {"value": not on})

    def media(self, name: str) -> None:
        """Show the page as for ``screen`` or ``print``."""
        self._send("Emulation.setEmulatedMedia", {"media": name})

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key, by its name and its Windows key code."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._send("Input.dispatchKeyEvent", {"type": "keyDown", "text": text, **common})
        self._send("Input.dispatchKeyEvent", {"type": "keyUp", **common})

    def type(self, text: str) -> None:
        """Write text where the focus is."""
        self._send("Input.insertText", {"text": text})

    def click(self, selector: str) -> None:
        """Click in the middle of the first element that a selector finds."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            self._send("Input.dispatchMouseEvent", {"type": kind, **place})

    # --- what a test asks

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        values = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._send("Runtime.evaluate", values)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:2_000])
        return answer["result"].get("value")

    def picture(self, selector: str | None = None, whole: bool = False) -> bytes:
        """What is to be seen, as PNG: the window, one element, or the whole page."""
        values: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole or selector is not None}
        if selector is not None:
            values["clip"] = self.run(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)})"
                ".getBoundingClientRect(); return {x: b.x + scrollX, y: b.y + scrollY, "
                "width: b.width, height: b.height, scale: 1}; })()"
            )
        return base64.b64decode(self._send("Page.captureScreenshot", values)["data"])

    def accessibility(self) -> list[dict[str, Any]]:
        """The page as a screen reader gets it."""
        nodes: list[dict[str, Any]] = self._send("Accessibility.getFullAXTree")["nodes"]
        return nodes

    # --- the protocol

    def _send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters or {}}
        if getattr(self, "_session", None) is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            answer = self._receive(until)
            if answer.get("id") != self._number:
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, until - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise BrowserError("the browser has ended" if ready else "the browser does not answer")
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, values: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(values["exceptionDetails"])[:2_000])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(values["args"])[:2_000])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.errors.append(values["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])


def _high(descriptor: int) -> int:
    """The same, out of the way of the two that the browser wants."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
