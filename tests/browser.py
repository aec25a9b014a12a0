"""A headless Chromium for tests, driven through chromedriver's own protocol (W3C WebDriver) by the standard
library alone, so that no package is needed for it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = (
    "no headless browser: Chromium and chromedriver are not installed "
    "(Debian: apt-get install chromium chromium-driver), so the page was not opened"
)
_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
    "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


class Browser:
    """One session. Sizes are CSS pixels."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        options: dict[str, Any] = {
            "binary": BROWSER,
            "args": [*_ARGUMENTS, f"--user-data-dir={profile}"],
            "prefs": {"download.default_directory": str(profile), "download.prompt_for_download": False},
        }
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, content, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                told = error.read().decode()
        raise RuntimeError(told[:500])

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", self._session + path, body)

    def command(self, name: str, **parameters: object) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self._ask("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, address: str) -> None:
        self._ask("/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What the body of a function returns that runs in the page."""
        return self._ask("/execute/sync", {"script": script, "args": arguments})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What has been logged since the last call: "browser" (the console) or "performance"."""
        found: list[dict[str, Any]] = self._ask("/se/log", {"type": kind})
        return found

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call."""
        events = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def show(self, width: int, scheme: str, media: str = "", height: int = 900) -> None:
        """Take a size, a colour scheme and a medium ("" or "print")."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key: str) -> None:
        """A key that a person presses, one of _KEYS."""
        text = {"text": "\r"} if key == "Enter" else {}
        said = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        self.command("Input.dispatchKeyEvent", type="keyDown", **said, **text)
        self.command("Input.dispatchKeyEvent", type="keyUp", **said)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point of the window, move over the others, and let go at the last."""
        self.point(*points[0])
        self._mouse("mousePressed", *points[0], buttons=1)
        for place in points[1:]:
            self._mouse("mouseMoved", *place, buttons=1)
        self._mouse("mouseReleased", *points[-1], buttons=0)

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a point of the window."""
        self._mouse("mouseMoved", x, y, button="none", buttons=0, clickCount=0)

    def _mouse(self, event: str, x: float, y: float, **more: object) -> None:
        said = {"button": "left", "clickCount": 1, **more}
        self.command("Input.dispatchMouseEvent", type=event, x=x, y=y, **said)

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot")["data"])

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self._call("DELETE", self._session)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in the folder `profile`, which is also where it puts downloads."""
    assert DRIVER
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # No proxy between us and our own driver, and no display.
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    opened = None
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(port)
        opened = Browser(address, profile)
        yield opened
    finally:
        if opened is not None:
            opened.close()
        driver.terminate()
        driver.wait(timeout=20)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("chromedriver does not answer")
