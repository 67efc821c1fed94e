"""What the page shows, told as it changes to everybody who looks: server-sent events, each encoded once for all.

    event: whole       everything; at the beginning, and again for whoever has missed something
    event: change      what is another since the event before

Source: HTML, section 9.2 (Server-sent events).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import orjson

from gateway.web.scene import Scene

TICK_S = 0.5
SHARE = 20
"""To look takes at most so small a part of a core: of many devices it is done less often."""
MOST_VIEWERS = 64


class Viewer:
    """One that looks. It is told what is newest when it has taken what came before: nothing waits for it."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._seen = 0
        self.over = False

    async def events(self) -> AsyncIterator[bytes]:
        """Until the stream ends. There is one with each sample at least, which shows that both are still there."""
        while not self.over:
            if not self._is_behind:
                await self._stream.next()
                continue
            follows = self._seen and self._stream.number == self._seen + 1
            self._seen = self._stream.number
            yield self._stream.change if follows else self._stream.whole()

    @property
    def _is_behind(self) -> bool:
        return self._stream.fresh and self._stream.number > self._seen


class Stream:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.number = 0
        """Of the last event."""
        self.fresh = False
        """Whether it tells how things are: while nobody looks, it does not."""
        self.change = b""
        """The last one, encoded."""
        self._whole = b""
        self._viewers: set[Viewer] = set()
        self._somebody = asyncio.Event()
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Endless. While nobody looks, nothing is done."""
        while True:
            await self._somebody.wait()
            self._wanted.clear()
            begun = time.thread_time()  # while others have the core, it is not us who take it
            change = await self._scene.change()
            spent_s = time.thread_time() - begun
            if change or not self.fresh:
                self.number += 1
                self.fresh = bool(self._viewers)  # the last one may have left meanwhile
                self._whole = b""
                self.change = _event("change", change)
                self._announce()
            try:
                async with asyncio.timeout(max(TICK_S, SHARE * spent_s)):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @contextmanager
    def watched(self) -> Iterator[Viewer | None]:
        """None: too many look already."""
        if len(self._viewers) >= MOST_VIEWERS:
            yield None
            return
        viewer = Viewer(self)
        self._viewers.add(viewer)
        self._somebody.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._somebody.clear()
                self.fresh = False

    def look(self) -> None:
        """Somebody has done something: what has come of it is told at once."""
        self._wanted.set()

    def end(self) -> None:
        """All that look are left."""
        for viewer in self._viewers:
            viewer.over = True
        self._announce()

    def whole(self) -> bytes:
        if not self._whole:
            self._whole = _event("whole", self._scene.whole())
        return self._whole

    async def next(self) -> None:
        await self._news.wait()

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
