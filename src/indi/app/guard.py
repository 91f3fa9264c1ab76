"""Who may speak to the page: only whoever opened it on this machine."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})  # under any port, as a tunnel may lead here from another
_FORBIDDEN = 403
_REFUSAL = b"this page answers only under the address that it was started for\n"


class OnlyLocal:
    """Refuses requests under other names of this machine, and from pages of other origins.

    The first keeps out sites that let their own name lead to this machine (DNS rebinding), the second sites that send
    files or calls here from a visitor's browser.

    Args:
        app: What answers all other requests.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket") or is_local(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": _FORBIDDEN, "headers": kind})
            await send({"type": "http.response.body", "body": _REFUSAL})


def is_local(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether a request is under a name of this machine, and from a page of the same origin if from any."""
    hosts = [value.decode("latin-1").lower() for name, value in headers if name.lower() == b"host"]
    origins = [value.decode("latin-1").lower() for name, value in headers if name.lower() == b"origin"]
    if len(hosts) != 1 or _name_of(hosts[0]) not in LOCAL:
        return False
    return all(origin in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins)


def _name_of(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # a number, or an error
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None
