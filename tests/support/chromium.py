"""A real Chromium without a window, as a visitor drives it.

Source: Chrome DevTools Protocol, version 1.3.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

PATIENCE_S = 30.0

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Page:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        """Of scripts, of the network and of the content security policy."""

    async def listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if (answer := self._answers.pop(said.get("id", 0), None)) is not None and not answer.done():
                answer.set_result(said)
            match said.get("method"):
                case "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(said["params"]["exceptionDetails"]))
                case "Log.entryAdded":
                    self.complaints.append(said["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_S):
            said = await answer
        if "error" in said:
            raise AssertionError(f"{method}: {said['error']}")
        return dict(said["result"])

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise AssertionError(said["exceptionDetails"])
        return said["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait for an expression to be true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (value := await self.run(script)):
                    await asyncio.sleep(0.02)
                return value
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise AssertionError(
                f"{script} did not become true; {self.complaints}; shown:\n{shown}"
            ) from None

    async def visit(self, url: str) -> None:
        await self.call("Page.enable")
        await self.call("Runtime.enable")
        await self.call("Log.enable")
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def dress(self, *, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """As large as this, in these colours."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def press(self, key: str) -> None:
        code = _KEYS[key]
        text = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more
            )

    async def picture(self, file: Path) -> None:
        said = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(said["data"]))


class Chromium:
    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("chromium is not installed: scripts/test installs it where it may")
        with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
            process = await asyncio.create_subprocess_exec(
                program, *_FLAGS, f"--user-data-dir={folder}", "about:blank",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            try:
                address = await _address(Path(folder) / "DevToolsActivePort", process)
                async with aiohttp.ClientSession() as session:
                    yield cls(address, session)
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # its helpers too
                await process.wait()

    @asynccontextmanager
    async def page(self, headers: Mapping[str, str] | None = None) -> AsyncIterator[Page]:
        """A tab. `headers`: sent with each request."""
        async with self._session.put(f"{self._address}/json/new?about:blank") as answer:
            told = await answer.json()
        async with self._session.ws_connect(told["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(page.listen())
                try:
                    if headers:
                        await page.call("Network.enable")
                        await page.call("Network.setExtraHTTPHeaders", headers=dict(headers))
                    yield page
                finally:
                    listening.cancel()
        async with self._session.get(f"{self._address}/json/close/{told['id']}"):
            pass


async def _address(file: Path, process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while not file.exists() or "\n" not in (text := file.read_text()):
            assert process.returncode is None, "chromium did not start"
            await asyncio.sleep(0.02)
    return f"http://127.0.0.1:{text.splitlines()[0]}"
