import asyncio

from gateway.publish.publisher import Message


class Noticeboard:
    """Retained messages: only the newest on each topic counts, and each new connection wants them all."""

    def __init__(self) -> None:
        self._notices: dict[str, Message] = {}
        self._due: dict[str, Message] = {}
        self._posted = asyncio.Event()

    def post(self, message: Message) -> None:
        self._notices[message.topic] = self._due[message.topic] = message
        self._posted.set()

    def clear(self, topic: str) -> None:
        """Nothing is to stand there any more; repeated on each new connection until it has been `seen`."""
        self.post(Message(topic, b"", retain=True))

    def seen(self, message: Message) -> None:
        """The broker has taken this notice."""
        if not message.payload and self._notices.get(message.topic) is message:
            del self._notices[message.topic]

    def take_down_all(self) -> None:
        """Forget what was to stand there, for topics that will be others."""
        self._notices.clear()
        self._due.clear()

    def repost_all(self) -> None:
        """A new connection: the broker may have forgotten everything."""
        self._due = dict(self._notices)
        self._posted.set()

    async def next(self) -> Message:
        """The notice that has waited longest; waits for one."""
        while not self._due:
            self._posted.clear()
            await self._posted.wait()
        return self._due.pop(next(iter(self._due)))

    def __len__(self) -> int:
        """Notices that are still to be sent."""
        return len(self._due)
