# SPDX-License-Identifier: Apache-2.0
"""How much a link may give us to read: a token bucket of bytes. Does no I/O; time is an argument.

A message costs its bytes and the rate's ``frame_cost`` more, because a PING of four bytes is nearly as much work as one
of a hundred. Who has used up the allowance is not closed: nothing more is read from the link until it is paid for, so
TCP makes the peer wait. That leaves the processor to the other links, and to a program that wants to end.
"""

from typing import Final

from remsim.core.rate_limit import TokenBucket
from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many bytes at once, and so many more in each second; each frame costs ``frame_cost`` besides its bytes."""

    burst: int
    per_second: int
    frame_cost: int = 64

    def bucket(self) -> TokenBucket:
        """Return a whole one, in bytes."""
        return TokenBucket(burst=self.burst, interval_s=1.0 / self.per_second)


#: Before the peer is accepted: introductions, a hundred PINGs, and four of the longest frames that are taken then. A
#: new link may do all that at once, so frames are dear: who comes back for another burst must not get much for it.
FIRST_RATE: Final = Rate(1 << 16, 1 << 13, frame_cost=1 << 9)
#: Of an accepted peer: ten thousand commands and more in a second, which no card answers.
ACCEPTED_RATE: Final = Rate(1 << 22, 1 << 22)


class Allowance:
    """The allowance of one link. ``now`` is in seconds and never goes backwards."""

    __slots__ = ("_bucket", "_frame_cost")

    def __init__(self, rate: Rate) -> None:
        self._bucket, self._frame_cost = rate.bucket(), rate.frame_cost

    def spend(self, length: int, frames: int, now: float) -> float:
        """Pay for ``length`` bytes with ``frames`` frames in them; return for how long to read nothing, mostly 0."""
        return self._bucket.overdraw(length + frames * self._frame_cost, now)

    def widen(self, rate: Rate) -> None:
        """The peer is accepted: it begins anew, with the whole of ``rate``."""
        self._bucket, self._frame_cost = rate.bucket(), rate.frame_cost
