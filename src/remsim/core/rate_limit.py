# SPDX-License-Identifier: Apache-2.0
"""Limits on how often something may happen: the one token bucket, and what is said when it is empty. Pure counting."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from remsim.core.episode import LineVerdict, OncePerEpisode

#: Part of an interval by which sums of intervals may be off: without it, the last of a burst could be refused.
_ROUNDING: Final = 1e-3


class TokenBucket:
    """So many at once, and one more after each ``interval_s``. Whole at the beginning; ``now`` never goes backwards."""

    __slots__ = ("_burst", "_interval_s", "_whole_at")

    def __init__(self, *, burst: int, interval_s: float) -> None:
        self._burst = burst
        self._interval_s = interval_s
        # When the whole burst will be there again.
        self._whole_at = float("-inf")

    def take(self, now: float) -> bool:
        """Take one; False: there is none left for now."""
        has_one = self.wait_s(now) == 0.0
        if has_one:
            self._add(1, now)
        return has_one

    def spend(self, now: float) -> None:
        """Take one for something that has happened already; if there is none left, the bucket is empty from now on."""
        self._add(1, now)
        self._whole_at = min(self._whole_at, now + self._burst * self._interval_s)

    def overdraw(self, count: int, now: float) -> float:
        """Take ``count``, whether they are there or not; return how long until none is owed any more, mostly 0."""
        # Once for each command of a card, so written out.
        whole_at, cost_s = self._whole_at, count * self._interval_s
        self._whole_at = whole_at = now + cost_s if whole_at < now else whole_at + cost_s
        owed_s = whole_at - now - self._burst * self._interval_s
        if owed_s > 0.0:
            return owed_s
        return 0.0

    def wait_s(self, now: float) -> float:
        """How long until there is one; 0: there is one now. Takes nothing."""
        wait_s = self._whole_at - now - (self._burst - 1) * self._interval_s
        return wait_s if wait_s > self._interval_s * _ROUNDING else 0.0

    def has_ebbed(self, now: float) -> bool:
        """Whether half of the burst is there again: what was said of one flood may be said of the next."""
        return self._whole_at - now <= self._burst / 2 * self._interval_s

    def is_whole(self, now: float) -> bool:
        """Whether the whole burst is there."""
        return self._whole_at <= now

    def _add(self, count: int, now: float) -> None:
        self._whole_at = max(self._whole_at, now) + count * self._interval_s


class TokenBuckets:
    """A bucket for each key."""

    def __init__(
        self,
        *,
        burst: int,
        interval_s: float,
        most_keys: int = 1024,
        on_forgotten: Callable[[], None] | None = None,
    ) -> None:
        """Beyond ``most_keys``, the key that was used longest ago is forgotten, and ``on_forgotten`` is called."""
        self._burst = burst
        self._interval_s = interval_s
        self._most_keys = most_keys
        self._on_forgotten = on_forgotten
        # Keys without one have a whole bucket. The order is that of use.
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._buckets)

    def take(self, key: Hashable, now: float) -> bool:
        """Take one for ``key``; False: there is none left for now."""
        return self._use(key).take(now)

    def spend(self, key: Hashable, now: float) -> None:
        """Take one for something that has happened already; if there is none left, the bucket is empty from now on."""
        self._use(key).spend(now)

    def wait_s(self, key: Hashable, now: float) -> float:
        """How long until there is one for ``key``; 0: there is one now. Takes nothing."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait_s(now)

    def has_ebbed(self, key: Hashable, now: float) -> bool:
        """Whether half of the burst is there again for ``key``."""
        bucket = self._buckets.get(key)
        return bucket is None or bucket.has_ebbed(now)

    def forget_whole(self, now: float) -> None:
        """Forget all keys whose whole burst is there again; for them it makes no difference."""
        for key in [key for key, bucket in self._buckets.items() if bucket.is_whole(now)]:
            del self._buckets[key]

    def _use(self, key: Hashable) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)
            return bucket
        bucket = self._buckets[key] = TokenBucket(burst=self._burst, interval_s=self._interval_s)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
            if self._on_forgotten is not None:
                self._on_forgotten()
        return bucket


class FloodLimit:
    """Token buckets that also tell when a flood begins: once, until half of the burst is there again."""

    def __init__(self, *, burst: int, interval_s: float, most_keys: int = 1024) -> None:
        self._buckets = TokenBuckets(burst=burst, interval_s=interval_s, most_keys=most_keys)
        self._floods: OncePerEpisode[Hashable] = OncePerEpisode(most_keys=most_keys)

    def check(self, key: Hashable, now: float) -> LineVerdict:
        """Take one for ``key``, and say what is to be done with what it stands for."""
        if self._buckets.has_ebbed(key, now):
            self._floods.ends(key)
        if self._buckets.take(key, now):
            return LineVerdict.PASS
        return LineVerdict.FIRST_HELD_BACK if self._floods.begins(key) else LineVerdict.HELD_BACK
