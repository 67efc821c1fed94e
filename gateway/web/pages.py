from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

_FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_PAGES = {
    "/": "index.html",
    "/style.css": "style.css",
    "/script.js": "script.js",
    "/icon.svg": "icon.svg",
}


class _File(NamedTuple):
    content: bytes
    kind: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> "_File":
        content = path.read_bytes()
        return cls(content, _KINDS[path.suffix], sha256(content).hexdigest()[:16])


class Pages:
    """What does not change while the gateway runs."""

    def __init__(self) -> None:
        files = {path: _File.read(_FOLDER / name) for path, name in _PAGES.items()}
        self.routes = [web.get(path, self._handler(file), allow_head=False) for path, file in files.items()]

    def _handler(self, file: _File) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            headers = {"ETag": f'"{file.tag}"', "Cache-Control": "no-cache"}
            if any(each.value == file.tag for each in request.if_none_match or ()):
                return web.Response(status=304, headers=headers)
            return web.Response(body=file.content, content_type=file.kind, charset="utf-8", headers=headers)

        return handle
