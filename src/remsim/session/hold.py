# SPDX-License-Identifier: Apache-2.0
"""How long a session waits for its client to return."""

from typing import Final

from remsim.core.values import dataclass

#: Whole seconds travel; nobody holds a card for longer than an hour.
MAX_HOLD_S: Final = 3600


@dataclass(frozen=True, slots=True)
class HoldTimes:
    """Seconds that a session without a link is held: ``busy_s`` while a command of the modem waits, else ``idle_s``.

    Some modems give a card up after tens of seconds of NULL bytes, so a waiting command shortens the time. ``Hold``
    says which commands count.
    """

    idle_s: float = 60.0
    busy_s: float = 30.0

    def shorter(self, other: "HoldTimes") -> "HoldTimes":
        """What counts if the ends have different times."""
        return HoldTimes(min(self.idle_s, other.idle_s), min(self.busy_s, other.busy_s))


@dataclass(slots=True)
class Hold:
    """One stay without a link, from ``since`` on; ``busy_since`` is when the waiting command came, if one waits.

    Both ends count alike, so that neither waits for the other in vain. A command that was under way when the link was
    lost is known to both, and shortens the time for good (``was_busy``), whatever becomes of it: the bankd does not
    hear of it if the modem is reset meanwhile, or has got an error in place of the answer. A command that came later is
    known to the client only, and shortens the client's time for as long as it waits.
    """

    times: HoldTimes
    since: float
    busy_since: float | None = None
    was_busy: bool = False

    def __post_init__(self) -> None:
        self.was_busy = self.was_busy or self.busy_since is not None

    @property
    def deadline(self) -> float:
        """When the session ends."""
        longest = self.since + (self.times.busy_s if self.was_busy else self.times.idle_s)
        if self.busy_since is None:
            return longest
        return min(longest, max(self.since, self.busy_since) + self.times.busy_s)

    def age(self, now: float) -> float:
        """Seconds since the link was lost."""
        return now - self.since
