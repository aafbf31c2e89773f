# SPDX-License-Identifier: Apache-2.0
"""Who is logged in to the page: sessions of browsers, each standing for a token, and links that log in once. No I/O.

A session's secret is in a cookie; the server keeps a hash of it and the ID of the token that it stands for. So a
session may do exactly what its token may, and ends with it. What proves that a write comes from a page of ours, and not
from another site in the same browser, is made of the secret, too, and differs from it. A link names a token as well,
and its secret is compared in constant time, like that of a token. Times are arguments, in seconds since 1970.
"""

import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final, Self

from remsim.core.errors import RemsimError
from remsim.core.fairness import oldest_of_busiest
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass

#: A session lasts this long after its login, unless its token ends sooner: a working day.
SESSION_S: Final = 12 * 3600.0
#: Sessions at a time. The oldest of the token that has most makes room.
MAX_SESSIONS: Final = 1024
#: A link is good for this long.
LINK_S: Final = 600.0
LINK_ID_BYTES: Final = 6
PAGE_SECRET_BYTES: Final = 32
_DIGEST_BYTES: Final = 32
#: Of a proof.
PROOF_BYTES: Final = _DIGEST_BYTES

_SESSION_TEXT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LINK_TEXT: Final = re.compile(r"([0-9a-f]{12})\.([0-9a-f]{64})", re.ASCII)
_MASKED_TEXT: Final = re.compile(r"[0-9a-f]{128}", re.ASCII)
_TOKEN_ID: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)


class PageFileError(RemsimError, ValueError):
    """A file of sessions, or of a link, that was not written by this program."""


@dataclass(frozen=True, slots=True)
class PageSession:
    """One browser that is logged in; ``digest`` is the hash of its secret, in hex."""

    digest: str
    token_id: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class LoginLink:
    """A link that logs in once; ``digest`` is the hash of its secret, in hex."""

    link_id: str
    digest: str
    token_id: str
    expires_at: float

    def to_json(self) -> str:
        """What is kept of it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` gave. Raises PageFileError."""
        found = _read(text)
        match found:
            case {"link_id": str(link_id), "digest": str(digest), "token_id": str(token_id), "expires_at": float(at)}:
                return cls(link_id, digest, token_id, at)
        raise PageFileError("that is no login link")

    def is_opened_by(self, text: str, now: float) -> bool:
        """Whether this text, from the link's end, is its secret, in time."""
        found = _LINK_TEXT.fullmatch(text)
        secret = "" if found is None else found[2]
        is_right = hmac.compare_digest(_digest(secret, b"remsim link"), self.digest)
        return is_right and now < self.expires_at


def make_link(link_id: bytes, secret: bytes, token_id: str, now: float) -> tuple[str, LoginLink]:
    """A link of random bytes that the caller draws: the text at its end, and what is kept of it."""
    name, word = link_id.hex(), secret.hex()
    return f"{name}.{word}", LoginLink(name, _digest(word, b"remsim link"), token_id, now + LINK_S)


def link_id_of(text: str) -> str | None:
    """The ID in the text at a link's end, None if it is no link."""
    found = _LINK_TEXT.fullmatch(text)
    return None if found is None else found[1]


def proof_of(cookie: str) -> str:
    """What a write that comes with this cookie must have besides: only pages of ours know it."""
    return _digest(cookie, b"remsim proof")


def masked_proof(cookie: str, pad: bytes) -> str:
    """The same, hidden behind ``PROOF_BYTES`` random ones that the caller draws: it looks different each time.

    So a page that carries it can be compressed: its length tells nothing of the proof.
    """
    return pad.hex() + _both(pad, bytes.fromhex(proof_of(cookie))).hex()


def is_proof(given: str | None, cookie: str) -> bool:
    """Whether a write has proven itself, with the proof as it is or masked; in constant time."""
    text = given or ""
    if _MASKED_TEXT.fullmatch(text) is not None:
        pad, masked = bytes.fromhex(text[: 2 * PROOF_BYTES]), bytes.fromhex(text[2 * PROOF_BYTES :])
        text = _both(pad, masked).hex()
    return hmac.compare_digest(text.encode("utf-8", "replace"), proof_of(cookie).encode())


class PageSessions:
    """All sessions, the oldest first."""

    def __init__(self, limits: LimitCounts | None = None) -> None:
        """``limits`` counts those that had to make room."""
        self._limits = LimitCounts() if limits is None else limits
        self._sessions: OrderedDict[str, PageSession] = OrderedDict()

    def __len__(self) -> int:
        """Return how many there are, those included that have expired of late."""
        return len(self._sessions)

    def begin(self, secret: bytes, token_id: str, now: float) -> str:
        """A new session for this token, from random bytes that the caller draws; returns the cookie's value."""
        self._forget(now)
        cookie = secret.hex()
        self._add(PageSession(_digest(cookie, b"remsim page"), token_id, now + SESSION_S))
        return cookie

    def find(self, cookie: str, now: float) -> PageSession | None:
        """The session of a cookie, unless it has expired or ended."""
        if _SESSION_TEXT.fullmatch(cookie) is None:
            return None
        found = self._sessions.get(_digest(cookie, b"remsim page"))
        return found if found is not None and now < found.expires_at else None

    def end(self, cookie: str) -> bool:
        """End the session of a cookie; whether there was one."""
        return self._sessions.pop(_digest(cookie, b"remsim page"), None) is not None

    def to_json(self, now: float) -> str:
        """What is kept over a restart."""
        self._forget(now)
        return json.dumps([asdict(session) for session in self._sessions.values()])

    def restore(self, text: str, now: float) -> None:
        """Take over what ``to_json`` gave an earlier run. Raises PageFileError; then there are none."""
        found = _read(text)
        if not isinstance(found, list):
            raise PageFileError("these are no sessions")
        self._sessions.clear()
        for session in _sessions(found):
            if now < session.expires_at <= now + SESSION_S:
                self._add(session)

    def _add(self, session: PageSession) -> None:
        self._sessions[session.digest] = session
        if len(self._sessions) > MAX_SESSIONS:
            self._limits.reached(LimitName.PAGE_SESSIONS)
            owned = ((each.token_id, digest) for digest, each in self._sessions.items())
            del self._sessions[oldest_of_busiest(owned)]

    def _forget(self, now: float) -> None:
        for digest in [name for name, session in self._sessions.items() if session.expires_at <= now]:
            del self._sessions[digest]


def _sessions(values: Iterable[object]) -> list[PageSession]:
    sessions: list[PageSession] = []
    for value in values:
        match value:
            case {"digest": str(digest), "token_id": str(token_id), "expires_at": float(at)} if _SESSION_TEXT.fullmatch(
                digest
            ) and _TOKEN_ID.fullmatch(token_id):
                sessions.append(PageSession(digest, token_id, at))
            case _:
                raise PageFileError("these are no sessions")
    return sessions


def _both(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _read(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise PageFileError("that is no JSON") from None
    return value


def _digest(text: str, purpose: bytes) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES, person=purpose).hexdigest()
