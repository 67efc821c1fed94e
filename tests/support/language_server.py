"""An editor's side of the Language Server Protocol: enough of it to be offered something."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

_LOOKS = 100
"""It loads a schema beside all else, and offers nothing until then."""


class LanguageServer:
    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._asked = 0

    @classmethod
    @contextmanager
    def running(cls, *command: str | Path, folder: Path) -> Iterator[Self]:
        process = subprocess.Popen(
            command, cwd=folder, env={"HOME": str(folder)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with process:
            server = cls(process, folder)
            server._ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}})
            server._send({"method": "initialized", "params": {}})
            try:
                yield server
            finally:
                process.kill()

    def offers(self, name: str, text: str) -> list[str]:
        """What may stand at the `|` of this file."""
        before, _, after = text.partition("|")
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "toml", "version": 1, "text": before + after}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        place = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        for _ in range(_LOOKS):
            found = self._ask("textDocument/completion", {"textDocument": {"uri": uri}, "position": place})
            items: Sequence[dict[str, Any]] = found["items"] if isinstance(found, dict) else found or []
            if items:
                return [item["label"] for item in items]
            time.sleep(0.1)
        return []

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            said = self._heard()
            if "method" in said and "id" in said:  # it asks us
                self._send({"id": said["id"], "result": None})
            elif said.get("id") == self._asked:
                return said["result"]

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        self._process.stdin.flush()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        assert length, "the language server has gone"
        said: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return said
