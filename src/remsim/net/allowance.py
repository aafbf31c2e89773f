# SPDX-License-Identifier: Apache-2.0
"""How much a link may give us to read: a token bucket, in bytes. Does no I/O; time is an argument.

A message costs its bytes and ``FRAME_COST`` more, because a PING of four bytes is nearly as much work as one of a
hundred. Who has used up the allowance is not closed: nothing more is read from the link until it is paid for, so TCP
makes the peer wait. That leaves the processor to the other links, and to a program that wants to end.
"""

from dataclasses import dataclass
from typing import Final

#: What each frame costs besides its bytes.
FRAME_COST: Final = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """So many bytes at once, and so many more in each second."""

    burst: int
    per_second: int


#: Before the peer is accepted: introductions, a few PINGs, and four of the longest frames that are taken then.
FIRST_RATE: Final = Rate(1 << 16, 1 << 13)
#: Of an accepted peer: ten thousand commands and more in a second, which no card answers.
ACCEPTED_RATE: Final = Rate(1 << 22, 1 << 22)


class Allowance:
    """The allowance of one link. ``now`` is in seconds and never goes backwards."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._at = now

    def spend(self, length: int, frames: int, now: float) -> float:
        """Pay for ``length`` bytes with ``frames`` frames in them; return for how long to read nothing, mostly 0."""
        rate = self._rate
        left = self._left + (now - self._at) * rate.per_second
        if left > rate.burst:
            left = float(rate.burst)
        self._left = left = left - length - frames * FRAME_COST
        self._at = now
        return 0.0 if left >= 0.0 else -left / rate.per_second

    def widen(self, rate: Rate, now: float) -> None:
        """The peer is accepted: it begins anew, with the whole of ``rate``."""
        self._rate, self._left, self._at = rate, float(rate.burst), now
