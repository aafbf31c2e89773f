# SPDX-License-Identifier: Apache-2.0
"""Judges what a caller shows: a token, or the cookie of a session of the page, which stands for one.

Failures of one source are slowed down together, however it tries. A session is judged with its token at each request,
so that it ends when its token is revoked or expires.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import TokenBuckets
from remsim.server.api.errors import ApiError
from remsim.server.core.actions import REFUSED, Actor, Entry
from remsim.server.core.page_sessions import PageSessions, is_proof
from remsim.server.core.tokens import (
    Grant,
    Refusal,
    StoredToken,
    check_token,
    digest_of,
    failure_limiter,
    limited_source,
    token_id_of,
)
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: The header in which a write of the page proves that it is one.
PROOF_HEADER: Final = "x-remsim-proof"
_TOKEN_HINT: Final = (
    "send the header Authorization: Bearer TOKEN; remsim ctl and remsim-apitool take it from REMSIM_TOKEN"
)
#: Failures let the limiter forget sources once in so many.
_TIDY_EVERY: Final = 256
#: While the database cannot be read, a token that was good is good for reading, so long ...
_KEPT_S: Final = 600.0
#: ... and no more tokens than these.
_MAX_KEPT: Final = 256

#: Why a session has ended; the login page has a text for each.
ENDED, TOKEN_EXPIRED, TOKEN_REVOKED = "ended", "token_expired", "token_revoked"


class SessionEndedError(ApiError):
    """The caller shows the cookie of a session that is over; ``code`` says why."""

    def __init__(self, code: str) -> None:
        """``code`` is one of those above."""
        text = {
            TOKEN_EXPIRED: "the session has ended: its token has expired",
            TOKEN_REVOKED: "the session has ended: its token was revoked",
        }
        super().__init__(401, code, text.get(code, "the session has ended"), "log in again")


class TokenJudge:
    """Judges the tokens and cookies of all callers of a server."""

    def __init__(
        self,
        runtime: ServerRuntime,
        *,
        limits: LimitCounts,
        limiter: TokenBuckets | None = None,
        sessions: PageSessions | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limits`` counts those that are reached.

        ``now`` gives seconds since 1970, ``clock`` those of a clock that does not go back.
        """
        self._runtime = runtime
        self._limits = limits
        self._limiter = failure_limiter(limits=limits) if limiter is None else limiter
        self.sessions = PageSessions(limits) if sessions is None else sessions
        self._now = now
        self._clock = clock
        self._failures = 0
        # Tokens that were good, by their digests, and when. The one that was used longest ago comes first.
        self._good: OrderedDict[bytes, tuple[StoredToken, float]] = OrderedDict()

    async def check(self, text: str | None, scope: Scope) -> Grant:
        """Judge the text of a token. Raises ApiError, and StoreError if the database cannot be read."""
        source = limited_source(source_of(scope))
        wait_s = self._limiter.wait_s(source, self._clock())
        token_id = None if text is None else token_id_of(text)
        if text is not None and (wait_s <= 0 or token_id is not None):
            result = await self._look_up(text, token_id, scope["method"])
            if isinstance(result, Grant):
                # Also where others at this address have failed too often.
                return result
        else:
            result = None
        self._refuse_if_slowed(wait_s)
        if result is None:
            # A caller without a token tries nothing: not an attempt.
            raise unauthorized("a token is needed")
        # Only the ID, and only one that has the form of one: the rest may be a password typed by mistake.
        self._note_failure(source, f"token {token_id or '?'}", scope, result.value)
        raise unauthorized(
            "the token is not valid", f"it may be revoked or have expired (remsim token list); {_TOKEN_HINT}"
        )

    def refuse_if_slowed(self, scope: Scope) -> None:
        """Callers at this address have failed too often: nothing is tried. Raises ApiError."""
        self._refuse_if_slowed(self._limiter.wait_s(limited_source(source_of(scope)), self._clock()))

    def failed(self, scope: Scope, who: str, reason: str) -> None:
        """A caller has failed in another way than by a token, which counts as much."""
        self._note_failure(limited_source(source_of(scope)), who, scope, reason)

    async def check_session(self, cookie: str, scope: Scope) -> Grant:
        """Judge a session, and the proof that a write needs. Raises ApiError, and StoreError."""
        grant = await self.session(cookie, is_reading=scope["method"] in READING)
        if scope["method"] not in READING and not is_proof(Headers(scope=scope).get(PROOF_HEADER), cookie):
            raise ApiError(403, "no_proof", "this did not come from the page", "load the page again")
        return grant

    async def session(self, cookie: str, *, is_reading: bool = True) -> Grant:
        """What the token of a session allows. Raises SessionEndedError, and StoreError."""
        now = self._now()
        session = self.sessions.find(cookie, now)
        if session is None:
            raise SessionEndedError(ENDED)
        key = session.token_id.encode()
        try:
            stored = await self._runtime.query.find_token(session.token_id)
        except StoreError as error:
            stored = self._kept(key, error, is_reading=is_reading)
        else:
            self._keep(key, stored)
        if stored is None or stored.revoked_at is not None:
            self.sessions.end(cookie)
            raise SessionEndedError(TOKEN_REVOKED)
        if stored.expires_at is not None and now >= stored.expires_at:
            self.sessions.end(cookie)
            raise SessionEndedError(TOKEN_EXPIRED)
        return Grant(stored.token_id, stored.name, stored.role, stored.scope)

    async def _look_up(self, text: str, token_id: str | None, method: str) -> Grant | Refusal:
        """Judge a token. Raises StoreError if the database cannot be read and the token was not good of late."""
        now, digest = self._now(), digest_of(text)
        try:
            record = None if token_id is None else await self._runtime.query.find_token(token_id)
        except StoreError as error:
            record = self._kept(digest, error, is_reading=method in READING)
            return check_token(text, lambda _: record, now)
        result = check_token(text, lambda _: record, now)
        self._keep(digest, record if isinstance(result, Grant) else None)
        return result

    def _kept(self, key: bytes, error: StoreError, *, is_reading: bool) -> StoredToken:
        """Looking goes on where the database is held by somebody: what is shown is in memory, too. Raises ``error``."""
        kept = self._good.get(key) if is_reading else None
        if kept is None or self._clock() - kept[1] > _KEPT_S:
            raise error
        return kept[0]

    def _keep(self, key: bytes, record: StoredToken | None) -> None:
        self._good.pop(key, None)
        if record is not None:
            self._good[key] = record, self._clock()
            if len(self._good) > _MAX_KEPT:
                self._good.popitem(last=False)

    def _refuse_if_slowed(self, wait_s: float) -> None:
        if wait_s > 0:
            self._limits.reached(LimitName.TOKEN_FAILURES)
            raise ApiError(
                429, "too_many_failures", "too many failed attempts", f"wait {wait_s:.0f} s", retry_after_s=wait_s
            )

    def _note_failure(self, source: str, who: str, scope: Scope, reason: str) -> None:
        now = self._clock()
        self._limiter.spend(source, now)
        self._failures += 1
        if self._failures % _TIDY_EVERY == 0:
            self._limiter.forget_whole(now)
        entry = Entry(Actor(who, source_of(scope)), "rest", request_of(scope), REFUSED, reason)
        self._runtime.refuse(entry, "token_refused")


def unauthorized(message: str, hint: str = _TOKEN_HINT) -> ApiError:
    """401."""
    return ApiError(401, "unauthorized", message, hint)


def source_of(scope: Scope) -> str:
    """Where a caller is."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def request_of(scope: Scope) -> str:
    """What it asks for, for the log."""
    return f"{scope['method']} {scope['path']}"


def cookie_name(scope: Scope) -> str:
    """The name of the session's cookie: browsers keep those of one host together, whatever the port.

    The prefix binds it to this host, and to https (RFC 6265bis, 4.1.3.2).
    """
    server = scope.get("server")
    port = server[1] if server and server[1] else 0
    return f"__Host-remsim-{port}" if scope["scheme"] == "https" else f"remsim-{port}"


def cookie_of(scope: Scope) -> str | None:
    """The session that a request's cookie names, None if it has none."""
    wanted = cookie_name(scope)
    # Not by Python's http.cookies: up to 3.11.9 it takes a second of the processor for a header of 16 kB that is all
    # backslashes in quotation marks (CVE-2024-7592), and this is asked before anybody has proven anything. What we
    # have given needs no quotation marks.
    for header in Headers(scope=scope).getlist("cookie"):
        for pair in header.split(";"):
            name, _, value = pair.partition("=")
            if name.strip() == wanted and value.strip():
                return value.strip()
    return None


def is_of_own_page(headers: Headers, scheme: str) -> bool:
    """Whether a request with an Origin header comes from a page that this server gave (RFC 6454, 7)."""
    origins, hosts = headers.getlist("origin"), headers.getlist("host")
    return len(hosts) == 1 and bool(hosts[0]) and origins == [f"{scheme}://{hosts[0]}"]
