"""A headless Chromium, spoken to by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "there is no chromium here: install the package chromium (.ci/run does as root)"
_SECONDS = 60.0
# It must ask nobody but us: no updates, no lists of bad sites, no names of other hosts.
_OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--lang=en-GB",
)


class Page:
    """One page of the browser. `complaints` holds what its console and its network said."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(_SECONDS):
            told = await answer
        if "error" in told:
            raise RuntimeError(told["error"])
        result: dict[str, Any] = told["result"]
        return result

    async def listen(self) -> None:
        """Take what the browser says until it goes away."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded":
                self.complaints.append(told["params"]["entry"]["text"])
            elif told["method"] == "Network.requestWillBeSent":
                request = told["params"]["request"]
                self.requests.append((request["method"], request["url"]))

    async def open(self, url: str, *, width: int = 1280, height: int = 900) -> None:
        """Load an address in a window of that size."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height)
        await self.call("Page.navigate", url=url)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def resize(self, width: int, height: int, *, scale: float = 1.0) -> None:
        """Give the window another size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    async def prefer(self, **features: str) -> None:
        """Let the reader prefer something, such as `prefers_color_scheme="dark"`."""
        wanted = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=wanted)

    async def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever JavaScript says
        """Return what an expression of JavaScript gives, waited for."""
        told = await self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in told:
            raise RuntimeError(json.dumps(told["exceptionDetails"]))
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.value(f"Boolean({expression})"):  # noqa: ASYNC110 - the page sets no event of ours
                    await asyncio.sleep(0.1)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise AssertionError(f"{expression} never held; the page shows: {shown}") from None

    async def screenshot(self, file: Path) -> None:
        """Write what the window shows to a PNG file."""
        told = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(file.write_bytes, base64.b64decode(told["data"]))


@asynccontextmanager
async def chromium() -> AsyncIterator[Page]:
    """Start a browser with one page; both end with the block."""
    assert PROGRAM is not None, MISSING
    with tempfile.TemporaryDirectory(
        prefix="sealyard-chromium-", ignore_cleanup_errors=True
    ) as folder:
        # As root there is no sandbox to be had; what it shows is our own page.
        options = (*_OPTIONS, *(("--no-sandbox",) if os.geteuid() == 0 else ()))
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *options,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as session:
                port = await _port(Path(folder) / "DevToolsActivePort")
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [one for one in await answer.json() if one["type"] == "page"]
                url = pages[0]["webSocketDebuggerUrl"]
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.get_running_loop().create_task(page.listen())
                    try:
                        yield page
                    finally:
                        listening.cancel()
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    async with asyncio.timeout(_SECONDS):
        while True:
            lines = await asyncio.to_thread(_lines, file)
            if len(lines) > 1:
                return int(lines[0])
            await asyncio.sleep(0.1)


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
