# SPDX-License-Identifier: Apache-2.0
"""What people's browsers get: refusals as pages with a way on instead of JSON, and HTML compressed.

Compression tells by its length what a text repeats (the attack that is called BREACH), so nothing that is secret stands
in a page twice the same: the proof of a write is masked anew in each one. Besides, browsers send the cookie with no
request that another site makes, so a page that another site asks for is the login. Answers of REST are not compressed.
"""

import gzip
import json
from http import HTTPStatus
from typing import Final, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remsim.net.runtime.tasks import in_thread
from remsim.server.core.tokens import Grant
from remsim.server.page.frame import HEADERS, frame_of
from remsim.server.page.rendering import environment, render, sentence

#: Less is not worth it.
_LEAST: Final = 1024
#: From here on, compressing takes longer than other requests should wait.
_LONG: Final = 32 * 1024
#: A third of the time of level 9, for a few per cent more.
_LEVEL: Final = 5

#: Where each refusal leads on; anything else goes to the overview.
_WAYS_ON: Final = {401: ("/login", "Log in"), 429: ("/login", "Log in again later")}


class PageMiddleware:
    """The outermost of the application's middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request; change the answer if a person's browser has asked for a page."""
        if scope["type"] != "http" or not _is_of_person(scope):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        await self._app(scope, receive, _Answer(scope, send).take)


def _is_of_person(scope: Scope) -> bool:
    is_page = scope["method"] in ("GET", "POST") and not scope["path"].startswith("/api/")
    return is_page and "text/html" in Headers(scope=scope).get("accept", "")


class _Answer:
    """One answer on its way: HTML and refusals are held until they are whole, anything else passes."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """A part of it."""
        if message["type"] == "http.response.start" and _is_held(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        headers, body = MutableHeaders(raw=list(start["headers"])), bytes(self._body)
        if "json" in headers["content-type"]:
            body = (await self._refusal(start["status"], body)).encode()
            headers["Content-Type"] = "text/html; charset=utf-8"
            headers.update(HEADERS)
        headers.add_vary_header("Accept-Encoding")
        accepted = Headers(scope=self._scope).get("accept-encoding", "")
        if len(body) >= _LEAST and "gzip" in accepted and "content-encoding" not in headers:
            body = await in_thread(_compressed, body) if len(body) > _LONG else _compressed(body)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})

    async def _refusal(self, status: int, body: bytes) -> str:
        await in_thread(environment)
        found = json.loads(body)["error"]
        address, text = _WAYS_ON.get(status, ("/", "Go to the overview"))
        values = {
            "title": HTTPStatus(status).phrase,
            "message": sentence(found["message"]),
            "hint": sentence(found["hint"]),
            "address": address,
            "way_on": text,
        }
        grant = cast(Grant | None, self._scope["state"].get("grant"))
        if grant is None:
            return render("refusal_alone.html", **values)
        return render("refusal.html", **values, **frame_of(self._scope, grant, here=""))


def _is_held(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return kind.startswith("text/html") or (start["status"] >= 400 and kind.startswith("application/json"))


def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
