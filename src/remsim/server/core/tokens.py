# SPDX-License-Identifier: Apache-2.0
"""Access tokens: their text, what is stored of them, what they allow, and how failures are slowed down. No I/O.

A token is ``remsim_ID_SECRET``. The first part lets scanners of source code find one that was published by mistake, the
ID finds the stored record without comparing secrets, and the secret has 256 random bits. Because nobody can try that
many, one round of BLAKE2b protects the stored form; a slow password hash would only let unauthenticated callers
keep the server busy. Times are arguments, in seconds since 1970 (for the limiter: of any clock).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from enum import Enum, IntEnum
from functools import partial
from ipaddress import ip_address
from typing import Final, Self

from remsim.core.errors import RemsimError
from remsim.core.ids import check_id
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import TokenBuckets
from remsim.core.values import dataclass
from remsim.wire.link.actions import source_network

PREFIX: Final = "remsim"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
DIGEST_BYTES: Final = 32
MAX_NAME: Final = 64

_TEXT: Final = re.compile(r"remsim_([0-9a-f]{12})_([a-z2-7]{52})", re.ASCII)
#: Compared with what a token of unknown ID offers, so that it takes as long as a known one.
_NO_DIGEST: Final = bytes(DIGEST_BYTES)


class TokenError(RemsimError, ValueError):
    """A name, role or scope that no token can have."""

    exit_status = 2


class TokenRole(IntEnum):
    """What a holder may do; each may do what those before it may."""

    VIEWER = 1  #: look
    OPERATOR = 2  #: map, unmap, reset
    ADMIN = 3  #: read the audit log

    @property
    def text(self) -> str:
        """The word for it."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``viewer``, ``operator`` or ``admin``. Raises TokenError."""
        found = cls.__members__.get(text.upper()) if text.islower() else None
        if found is None:
            raise TokenError(f"{text!r} is no role", hint="roles are viewer, operator and admin")
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """To which banks and clients a token is limited; None: all. Raises IdRangeError when built out of range.

    A mapping concerns both its ends, so a token needs its bank and its client.
    """

    banks: frozenset[int] | None = None
    clients: frozenset[int] | None = None

    def __post_init__(self) -> None:
        for bank_id in self.banks or ():
            check_id(bank_id, "bank id")
        for client_id in self.clients or ():
            check_id(client_id, "client id")

    @property
    def is_limited(self) -> bool:
        """Whether it leaves anything out; what concerns everything needs one that does not."""
        return self.banks is not None or self.clients is not None

    def has_bank(self, bank_id: int) -> bool:
        """Whether this bank is within."""
        return self.banks is None or bank_id in self.banks

    def has_client(self, client_id: int) -> bool:
        """Whether this client is within."""
        return self.clients is None or client_id in self.clients


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as the database keeps it."""

    token_id: str
    name: str
    role: TokenRole
    digest: bytes
    created_at: float
    scope: Scope = EVERYTHING
    expires_at: float | None = None
    revoked_at: float | None = None
    #: Leases that were taken by it go on when it is revoked.
    keeps_leases: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What a good token allows its holder; ``name`` is for the audit log."""

    token_id: str
    name: str
    role: TokenRole
    scope: Scope

    def allows(self, role: TokenRole, *, bank_id: int | None = None, client_id: int | None = None) -> bool:
        """Whether the holder may do what needs ``role``, on this bank and this client.

        What names neither concerns everything: a limited token may look, and sees its part, but change nothing.
        """
        if self.role < role:
            return False
        if bank_id is None and client_id is None:
            return role is TokenRole.VIEWER or not self.scope.is_limited
        return (bank_id is None or self.scope.has_bank(bank_id)) and (
            client_id is None or self.scope.has_client(client_id)
        )


class Refusal(Enum):
    """Why a token is not good, for the log; the peer is told nothing but that it is not."""

    MALFORMED = "not a token"
    UNKNOWN = "unknown token"
    WRONG = "wrong secret"
    REVOKED = "revoked token"
    EXPIRED = "expired token"


def check_name(name: str) -> None:
    """Raises TokenError for what no token can be named."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise TokenError(f"a token's name has 1..{MAX_NAME} printable characters", hint="say whose token it is")


def make_token(
    token_id: bytes,
    secret: bytes,
    *,
    name: str,
    role: TokenRole,
    now: float,
    scope: Scope = EVERYTHING,
    lifetime_s: float | None = None,
) -> tuple[str, StoredToken]:
    """Make a token of random bytes that the caller draws. Returns its text, which is shown once, and the record.

    Raises TokenError.
    """
    if len(token_id) != ID_BYTES or len(secret) != SECRET_BYTES:
        raise TokenError(f"a token is made of {ID_BYTES} and {SECRET_BYTES} random bytes")
    check_name(name)
    if lifetime_s is not None and not lifetime_s > 0:
        raise TokenError("a token lives longer than 0 s")
    text = f"{PREFIX}_{token_id.hex()}_{base64.b32encode(secret).decode().rstrip('=').lower()}"
    expires_at = None if lifetime_s is None else now + lifetime_s
    return text, StoredToken(token_id.hex(), name, role, digest_of(text), now, scope, expires_at)


def token_id_of(text: str) -> str | None:
    """The ID in a token's text, None if it is no token."""
    found = _TEXT.fullmatch(text)
    return None if found is None else found[1]


def digest_of(text: str) -> bytes:
    """What is stored of a token's text."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES, person=b"remsim token").digest()


def check_token(text: str, find: Callable[[str], StoredToken | None], now: float) -> Grant | Refusal:
    """Judge what stands behind ``Bearer``; ``find`` gives the record of an ID.

    Revoked and expired are told apart from unknown only after the secret was right.
    """
    token_id = token_id_of(text)
    if token_id is None:
        return Refusal.MALFORMED
    stored = find(token_id)
    is_right = hmac.compare_digest(digest_of(text), _NO_DIGEST if stored is None else stored.digest)
    if stored is None:
        return Refusal.UNKNOWN
    if not is_right:
        return Refusal.WRONG
    if stored.revoked_at is not None:
        return Refusal.REVOKED
    if stored.expires_at is not None and now >= stored.expires_at:
        return Refusal.EXPIRED
    return Grant(stored.token_id, stored.name, stored.role, stored.scope)


def is_still_good(stored: StoredToken | None, now: float) -> bool:
    """Whether a token that was good when it was shown is good now."""
    return stored is not None and stored.revoked_at is None and (stored.expires_at is None or now < stored.expires_at)


def bearer_token(header: str | None) -> str | None:
    """The token in an Authorization header (RFC 6750, clause 2.1), None if there is none."""
    scheme, _, rest = (header or "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else None


#: So many failures of one source are let pass at once, ...
FAILURES_ALLOWED: Final = 10
#: ... and one more after each of these times: a program with an old token is noticed, a search is hopeless.
FAILURE_FORGIVEN_S: Final = 6.0
#: Sources that are remembered. Beyond it the one that failed longest ago is forgotten.
MAX_SOURCES: Final = 4096


def limited_source(host: str) -> str:
    """What of a caller's address counts as one source: a host has many addresses, and one limit for all of them."""
    try:
        return str(source_network(ip_address(host.partition("%")[0])))
    except ValueError:
        return host


def failure_limiter(
    *,
    allowed: int = FAILURES_ALLOWED,
    forgiven_s: float = FAILURE_FORGIVEN_S,
    max_sources: int = MAX_SOURCES,
    limits: LimitCounts | None = None,
) -> TokenBuckets:
    """Return what slows down those who fail: each failure of a source is spent, and an empty bucket makes it wait.

    ``limits`` counts how often a source was forgotten because there were too many.
    """
    on_forgotten = None if limits is None else partial(limits.reached, LimitName.FAILING_SOURCES)
    return TokenBuckets(burst=allowed, interval_s=forgiven_s, most_keys=max_sources, on_forgotten=on_forgotten)
