"""Who may ask, and from where; and what a browser may do with the answer."""

import asyncio
import base64
import hmac
import logging
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import SecretStr

from gateway.config import WebOptions
from gateway.request import failed

log = logging.getLogger(__name__)

ANSWER_S = 20.0
"""For a request to come in whole, and for an answer to be found."""
WRONG_S = 1.0
"""Before who has said a wrong password is told so: who tries them all is to need long for it."""
WAYS = 'Basic realm="sallyport", charset="UTF-8"', "Bearer"
"""To say who one is; each in a field of its own: Chromium takes two in one for none, and asks nobody."""
HEALTH = "/healthz"
STREAM = "/api/events"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer: nothing from elsewhere runs in the page, nobody else shows it, nothing is told to others."""


class Guard:
    def __init__(self, options: Callable[[], WebOptions]) -> None:
        self._options = options

    async def dress(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Signal `on_response_prepare`."""
        response.headers["Server"] = "sallyport"
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            if refusal.status == web.HTTPUnauthorized.status_code and "Authorization" in request.headers:
                await asyncio.sleep(WRONG_S)
            return refusal
        try:
            if request.path == STREAM:
                return await handler(request)
            async with asyncio.timeout(ANSWER_S):
                return await handler(request)
        except TimeoutError:
            return refused(408, "the request, or the answer to it, took too long")
        except web.HTTPException as error:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return refused(error.status, error.reason, **allowed)

    def _refusal(self, request: web.Request) -> web.Response | None:
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            # Else any site could have its name lead here, and have its visitors' browsers read the answer.
            return refused(
                421, "this is no name of this gateway: visit it by its address, or write it in web.hosts"
            )
        if request.path != HEALTH and not self._knows(request):
            refusal = refused(401, "say who you are: a user name with its password, or a token")
            for way in WAYS:
                refusal.headers.add("WWW-Authenticate", way)
            return refusal
        if request.method in ("GET", "HEAD"):
            return None
        # Browsers send along who the visitor is, whichever site has sent them here.
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
        if (origin is not None and origin.partition("://")[2].lower() != host.lower()) or site not in (
            "same-origin",
            "none",
        ):
            return refused(403, "the request comes from another site")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name or name in self._names():
            return bool(name)
        try:
            ip_address(name)
        except ValueError:
            return False
        return True  # nobody's name leads here

    def _names(self) -> Iterator[str]:
        own = socket.gethostname().lower()
        yield from ("localhost", own, f"{own.partition('.')[0]}.local")
        yield from self._options().hosts

    def _knows(self, request: web.Request) -> bool:
        options = self._options()
        if not options.guarded:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "bearer":
                known = _same(given.strip(), options.token)
            case "basic":
                known = _known(given, options)
            case _:
                return False
        if not known:
            log.warning("the status page: %s was refused: wrong password or token", request.remote)
        return known


def refused(status: int, why: str, **headers: str) -> web.Response:
    return web.json_response(failed(why), status=status, headers=headers)


def _known(given: str, options: WebOptions) -> bool:
    """Source: RFC 7617."""
    try:
        name, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        return False
    named = hmac.compare_digest(name.encode(), (options.username or "").encode())
    with_password = _same(password, options.password)
    return (named and with_password) | _same(password, options.token)


def _same(given: str, secret: SecretStr | None) -> bool:
    """In a time that tells nothing of how much of it is right."""
    if secret is None:
        return False
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.get_secret_value().encode())
