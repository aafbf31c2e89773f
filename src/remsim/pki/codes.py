# SPDX-License-Identifier: Apache-2.0
"""One-time codes for enrolment: their text, and the decision whether an attempt with one is good.

A code says who is to be enrolled, which of the issued codes it is, a secret, and the SHA-256 of the authority's
certificate, so that the new host can tell the right server before it sends the secret. It works once, for an hour,
and survives five wrong secrets; the same key may ask again, because the answer may have been lost.

The secret has 128 random bits, so a fast hash protects the stored form; nobody can try them all. Knows no clock, no
source of randomness and no storage.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import replace
from enum import Enum
from typing import Final, Self

from remsim.core.errors import RemsimError
from remsim.core.identity import Identity
from remsim.core.values import dataclass
from remsim.pki.errors import EnrolmentError

LIFETIME_S: Final = 3600.0
TRIES: Final = 5
SECRET_BYTES: Final = 16
#: Long enough that an attacker does not find the name of a live code, and so cannot use up its tries.
CODE_ID_BYTES: Final = 6
FINGERPRINT_BYTES: Final = 32

_HINT: Final = "copy the whole line that `remsim pki code` printed"
_SEPARATOR: Final = ":"
_ENCODED: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def encode_bytes(raw: bytes) -> str:
    """Bytes as text for URLs and terminals, without padding (RFC 4648, clause 5)."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_bytes(text: str, length: int) -> bytes:
    """Read ``encode_bytes`` of exactly ``length`` bytes. Raises EnrolmentError, which does not repeat the text."""
    if _ENCODED.fullmatch(text) is not None:
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            raw = b""
        # Spare bits at the end give several texts for the same bytes; one of them is right.
        if len(raw) == length and encode_bytes(raw) == text:
            return raw
    raise EnrolmentError("this is no enrolment code", hint=_HINT)


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """What the operator carries from the server to the new host. ``repr`` does not show the secret."""

    identity: Identity
    code_id: bytes
    secret: bytes
    fingerprint: bytes

    def __repr__(self) -> str:
        return f"EnrolmentCode({self.identity}, {encode_bytes(self.code_id)})"

    def to_text(self) -> str:
        """One word to copy: ``bank/1:ID:SECRET:FINGERPRINT``."""
        parts = (self.code_id, self.secret, self.fingerprint)
        return _SEPARATOR.join([str(self.identity), *(encode_bytes(part) for part in parts)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``to_text`` wrote. Raises EnrolmentError, which does not repeat the secret."""
        parts = text.strip().split(_SEPARATOR)
        if len(parts) != 4:
            raise EnrolmentError("this is no enrolment code", hint=_HINT)
        try:
            identity = Identity.parse(parts[0])
        except RemsimError:
            raise EnrolmentError("the enrolment code names nobody", hint=_HINT) from None
        return cls(
            identity,
            decode_bytes(parts[1], CODE_ID_BYTES),
            decode_bytes(parts[2], SECRET_BYTES),
            decode_bytes(parts[3], FINGERPRINT_BYTES),
        )


def hash_secret(code_id: bytes, secret: bytes) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(b"remsim enrolment code\0" + code_id + secret).digest()


def key_fingerprint(public_key: bytes) -> bytes:
    """SHA-256 of a SubjectPublicKeyInfo: which key used a code."""
    return hashlib.sha256(public_key).digest()


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A code as the authority keeps it. Times are seconds since 1970."""

    code_id: bytes
    identity: Identity
    secret_hash: bytes
    expires_at: float
    tries_left: int = TRIES
    #: Which key has used it; None: nobody yet.
    used_by: bytes | None = None
    #: A newer code for the same identity took its place, or the identity was revoked.
    is_withdrawn: bool = False

    @classmethod
    def of(cls, code: EnrolmentCode, now: float) -> Self:
        """Store a new code."""
        return cls(code.code_id, code.identity, hash_secret(code.code_id, code.secret), now + LIFETIME_S)

    @property
    def made_at(self) -> float:
        """Seconds since 1970."""
        return self.expires_at - LIFETIME_S

    def is_live(self, now: float) -> bool:
        """Whether somebody could still use it for the first time."""
        return self.used_by is None and not self.is_withdrawn and self.tries_left > 0 and now < self.expires_at


class CodeVerdict(Enum):
    """What becomes of an attempt, in words for the log; ``text`` has those for the peer."""

    ACCEPTED = "accepted"
    #: What was issued then is given again, if it still holds; nothing new is.
    REPEATED = "accepted again for the same key"
    UNKNOWN = "there is no such code"
    WRONG = "the secret or the identity is wrong"
    WITHDRAWN = "the code was withdrawn: there is a newer one, or its certificate was revoked"
    USED = "the code was used already"
    EXPIRED = "the code is older than an hour"
    EXHAUSTED = "the code was tried too often with a wrong secret"

    @property
    def is_good(self) -> bool:
        """Whether the request gets a certificate."""
        return self in (CodeVerdict.ACCEPTED, CodeVerdict.REPEATED)

    @property
    def text(self) -> str:
        """Words for the peer; a peer with a wrong secret does not learn whether the code exists."""
        return "the code is not valid" if self in (CodeVerdict.UNKNOWN, CodeVerdict.WRONG) else self.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a peer offers."""

    identity: Identity
    secret: bytes
    #: ``key_fingerprint`` of the key that asks to be certified.
    key: bytes


def check_attempt(stored: StoredCode | None, attempt: Attempt, now: float) -> tuple[CodeVerdict, StoredCode | None]:
    """Judge ``attempt`` on the code it names (None: there is no such code), at ``now`` seconds since 1970.

    Returns the verdict and what is to be stored from now on. The right secret learns why it is refused; a wrong one
    learns nothing and costs a try.
    """
    if stored is None:
        return CodeVerdict.UNKNOWN, None
    offered = hash_secret(stored.code_id, attempt.secret)
    is_right = hmac.compare_digest(offered, stored.secret_hash) and attempt.identity == stored.identity
    if stored.tries_left == 0:
        return (CodeVerdict.EXHAUSTED if is_right else CodeVerdict.WRONG), stored
    if not is_right:
        # A used or expired code is of no use to anybody; only a live one can lose tries.
        spent = replace(stored, tries_left=stored.tries_left - 1) if stored.is_live(now) else stored
        return CodeVerdict.WRONG, spent
    if now >= stored.expires_at:
        return CodeVerdict.EXPIRED, stored
    if stored.is_withdrawn:
        return CodeVerdict.WITHDRAWN, stored
    if stored.used_by is None:
        return CodeVerdict.ACCEPTED, replace(stored, used_by=attempt.key)
    is_same_key = hmac.compare_digest(stored.used_by, attempt.key)
    return (CodeVerdict.REPEATED if is_same_key else CodeVerdict.USED), stored


__all__ = [
    "CODE_ID_BYTES",
    "FINGERPRINT_BYTES",
    "LIFETIME_S",
    "SECRET_BYTES",
    "TRIES",
    "Attempt",
    "CodeVerdict",
    "EnrolmentCode",
    "StoredCode",
    "check_attempt",
    "decode_bytes",
    "encode_bytes",
    "hash_secret",
    "key_fingerprint",
]
