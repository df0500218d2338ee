"""Drive a real headless Chromium: its DevTools protocol over two pipes, so no port, no driver and no library.

https://chromedevtools.github.io/devtools-protocol/ ; messages are JSON with a NUL after each.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",  # which a root user cannot have; the only page that it opens is ours
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--window-size=1400,900",
)
_PATIENCE_SECONDS = 60
_KEYS = {"Tab": ("\t", 9), "Enter": ("\r", 13), " ": (" ", 32)}


class Browser:
    """One tab. ``complaints`` is what its console and its policies said; ``requests`` the URLs that it asked for."""

    def __init__(self, reads: int, writes: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._reads, self._writes = reads, writes
        self._unread = b""
        self._count = 0
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Load a page, to its end."""
        self._ask("Page.navigate", url=url)
        self._until("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys as the keyboard sends them: ``Tab``, ``Enter``, a space."""
        for key in keys:
            text, code = _KEYS[key]
            told = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
            self._ask("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
            self._ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def type(self, text: str) -> None:
        """A text into what has the focus."""
        self._ask("Input.insertText", text=text)

    def prefer(self, scheme: str) -> None:
        """``dark`` or ``light``."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """All of the page, as PNG."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def spoken(self) -> list[tuple[str, str]]:
        """Role and name of each node that assistive technology is told of."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]

    def _ask(self, method: str, **params: object) -> dict[str, Any]:
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while (heard := self._hear()).get("id") != self._count:
            pass
        assert "error" not in heard, heard["error"]
        result: dict[str, Any] = heard["result"]
        return result

    def _until(self, event: str) -> None:
        while self._hear().get("method") != event:
            pass

    def _hear(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._reads], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser has been silent for {_PATIENCE_SECONDS} s"
            chunk = os.read(self._reads, 1 << 20)
            assert chunk, "the browser has ended"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.complaints.append(json.dumps(message["params"]))
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards. ``make test`` installs one where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no chromium here: docker/browser installs it"
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # It reads descriptor 3 and writes 4: the shell moves ours there, from where neither is overwritten by the other.
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (theirs_in, theirs_out)]
    moved = f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}'
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            ["bash", "-c", moved, program, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its own processes end with it
        )
        for one in (theirs_in, theirs_out, *high):
            os.close(one)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours_in)
            os.close(ours_out)
