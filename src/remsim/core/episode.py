# SPDX-License-Identifier: Apache-2.0
"""Trouble that lasts is told when it begins and when it ends, not each time it shows itself. Pure counting."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Episode:
    what: object
    repeats: int = 0


class OncePerEpisode(Generic[K]):
    """One for each kind of trouble; ``key`` says whose it is.

    An episode is a run of the same ``what`` for one key. Another ``what`` begins a new episode.
    """

    def __init__(self) -> None:
        self._episodes: dict[K, _Episode] = {}

    def begins(self, key: K, what: object = None) -> bool:
        """It has happened. True: this is the first time of an episode, and worth a line."""
        episode = self._episodes.get(key)
        if episode is not None and episode.what == what:
            episode.repeats += 1
            return False
        self._episodes[key] = _Episode(what)
        return True

    def ends(self, key: K) -> int | None:
        """It is over. How often it happened again after the first time; None if there was no episode."""
        episode = self._episodes.pop(key, None)
        return None if episode is None else episode.repeats

    def is_on(self, key: K) -> bool:
        """Whether an episode lasts."""
        return key in self._episodes
