import asyncio

from gateway.publish.publisher import Message


class Noticeboard:
    """Retained messages: only the newest on each topic counts, and each new connection wants them all."""

    def __init__(self) -> None:
        self._notices: dict[str, Message] = {}
        self._due: dict[str, Message] = {}
        self._taken: set[str] = set()
        """Topics on which the broker has taken the newest."""
        self._posted = asyncio.Event()

    def post(self, message: Message) -> None:
        self._notices[message.topic] = self._due[message.topic] = message
        self._taken.discard(message.topic)
        self._posted.set()

    def clear(self, topic: str) -> None:
        """Nothing is to stand there any more; repeated on each new connection until it has been `seen`."""
        self.post(Message(topic, b"", retain=True))

    def seen(self, message: Message) -> None:
        """The broker has taken this notice."""
        if self._notices.get(message.topic) is not message:
            return
        self._taken.add(message.topic)
        if not message.payload:
            del self._notices[message.topic]

    def has_taken(self, topic: str) -> bool:
        """Whether the newest that was posted there has been `seen`."""
        return topic in self._taken

    def take_down_all(self) -> None:
        """Forget what was to stand there, for topics that will be others."""
        self._notices.clear()
        self._due.clear()
        self._taken.clear()

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
