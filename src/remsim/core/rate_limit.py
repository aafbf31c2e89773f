# SPDX-License-Identifier: Apache-2.0
"""Limits on how often something may happen: the one token bucket, and what is said when it is empty. Pure counting."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from remsim.core.episode import LineVerdict, OncePerEpisode


class TokenBucket:
    """So many at once for each key, and one more after each ``interval_s``. ``now`` never goes backwards."""

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
        # When the whole burst will be there again; the order is that of use.
        self._whole_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._whole_at)

    def take(self, key: Hashable, now: float) -> bool:
        """Take one for ``key``; False: there is none left for now."""
        whole_at = max(self._whole_at.pop(key, now), now)
        has_one = whole_at - now <= (self._burst - 1) * self._interval_s
        self._put(key, whole_at + self._interval_s if has_one else whole_at)
        return has_one

    def spend(self, key: Hashable, now: float) -> None:
        """Take one for something that has happened already; if there is none left, the bucket is empty from now on."""
        whole_at = max(self._whole_at.pop(key, now), now) + self._interval_s
        self._put(key, min(whole_at, now + self._burst * self._interval_s))

    def wait_s(self, key: Hashable, now: float) -> float:
        """How long until there is one for ``key``; 0: there is one now. Takes nothing."""
        return max(0.0, self._whole_at.get(key, now) - now - (self._burst - 1) * self._interval_s)

    def has_ebbed(self, key: Hashable, now: float) -> bool:
        """Whether half of the burst is there again: what was said of one flood may be said of the next."""
        return self._whole_at.get(key, now) - now <= self._burst / 2 * self._interval_s

    def forget_whole(self, now: float) -> None:
        """Forget all keys whose whole burst is there again; for them it makes no difference."""
        for key in [key for key, whole_at in self._whole_at.items() if whole_at <= now]:
            del self._whole_at[key]

    def _put(self, key: Hashable, whole_at: float) -> None:
        self._whole_at[key] = whole_at
        if len(self._whole_at) > self._most_keys:
            self._whole_at.popitem(last=False)
            if self._on_forgotten is not None:
                self._on_forgotten()


class FloodLimit:
    """A token bucket that also tells when a flood begins: once, until half of the burst is there again."""

    def __init__(self, *, burst: int, interval_s: float, most_keys: int = 1024) -> None:
        self._bucket = TokenBucket(burst=burst, interval_s=interval_s, most_keys=most_keys)
        self._floods: OncePerEpisode[Hashable] = OncePerEpisode(most_keys=most_keys)

    def check(self, key: Hashable, now: float) -> LineVerdict:
        """Take one for ``key``, and say what is to be done with what it stands for."""
        if self._bucket.has_ebbed(key, now):
            self._floods.ends(key)
        if self._bucket.take(key, now):
            return LineVerdict.PASS
        return LineVerdict.FIRST_HELD_BACK if self._floods.begins(key) else LineVerdict.HELD_BACK
