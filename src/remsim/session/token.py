# SPDX-License-Identifier: Apache-2.0
"""The token that proves a session to be its holder's: given anew at each attach, worth nothing to anybody else.

Over TLS it counts together with the identity in the certificate, never with an address: addresses change when a mobile
link comes back. It always counts for one client slot only.
"""

import hmac
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot

#: Bytes of a token: 128 bits cannot be guessed, whatever the rate.
TOKEN_BYTES: Final = 16
#: Bytes of a session's label in traces: enough for all sessions of a trace, and the token cannot be told from it.
LABEL_BYTES: Final = 6


def session_label(first_token: bytes) -> bytes:
    """What both ends call a session in traces, over all its links: made of its first token, which both know."""
    return blake2b(first_token, digest_size=LABEL_BYTES, person=b"remsim-trace").digest()


class SessionTokens:
    """The tokens of one session. ``random`` gives so many unpredictable bytes."""

    __slots__ = ("_current", "_previous", "_proof", "_random", "client", "label")

    def __init__(self, client: ClientSlot, proof: Proof | None, *, random: Callable[[int], bytes]) -> None:
        """``proof`` is what the client's certificate says; None on links without TLS."""
        #: Whose session it is; nobody else's tokens need be looked at.
        self.client = client
        self._proof = proof
        self._random = random
        self._current = b""
        self._previous = b""
        #: The session's name in traces.
        self.label = b""

    def issue(self, presented: bytes = b"") -> bytes:
        """A new token, for the client that attaches now and has shown ``presented``; none at the first attach.

        The presented one stays valid until ``settle``: the new one may be lost with the link.
        """
        self._previous, self._current = presented, self._random(TOKEN_BYTES)
        self.label = self.label or session_label(self._current)
        return self._current

    def settle(self) -> None:
        """The client has sent something after the new token, so it has that token, and the old one is void."""
        self._previous = b""

    def prove(self, token: bytes, client: ClientSlot, proof: Proof | None) -> bool:
        """Whether this is the session's holder."""
        # Both are compared in any case, and in constant time: the time tells nothing about a token.
        is_current = hmac.compare_digest(token, self._current)
        is_previous = hmac.compare_digest(token, self._previous)
        known, shown = self._proof, proof
        is_same = known is shown or (known is not None and shown is not None and known.identity == shown.identity)
        return bool(token) and (is_current or is_previous) and client == self.client and is_same
