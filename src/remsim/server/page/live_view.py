# SPDX-License-Identifier: Apache-2.0
"""A view of one thing, or of what happens, kept up to date for one browser: a few pieces that are made anew.

A browser that comes back gets all of them; they are small.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Final

from remsim.server.core.event_feed import EventFeed, FeedEvent
from remsim.server.page.board import swapped

#: A view is made anew this often unless it says otherwise, even if no event was about it.
_ANEW_S: Final = 2.0
#: Events between two looks; more are passed over, the list then begins anew.
_MOST: Final = 500

_epochs = count(1 << 20)


class LiveView:
    """Pieces by their ids; ``make`` gives their HTML, ``is_about`` says which events may have changed them.

    Besides, they are made anew when ``others`` gives something else than at the last look, and every ``anew_s``
    seconds.
    """

    def __init__(
        self,
        feed: EventFeed,
        make: Callable[[], Awaitable[Mapping[str, str]]],
        is_about: Callable[[FeedEvent], bool],
        *,
        others: Callable[[], object] = lambda: None,
        anew_s: float = _ANEW_S,
    ) -> None:
        self._feed = feed
        self._make = make
        self._is_about = is_about
        self._anew_s = anew_s
        self._others = others
        self._seen_others: object = None
        self._seen = feed.last
        self._made_at = float("-inf")
        self._pieces: dict[str, tuple[str, int]] = {}
        self.epoch = next(_epochs)
        self.version = 0

    @property
    def others(self) -> object:
        """See ``Followed``."""
        return self._others()

    async def look(self, now: float, *, spacing_s: float = 0.0) -> None:
        """See ``Followed``."""
        events = self._feed.after(self._seen, _MOST)
        self._seen = self._feed.last
        before, self._seen_others = self._seen_others, self._others()
        is_other = before != self._seen_others or any(self._is_about(event) for event in events)
        if not is_other and now - self._made_at < self._anew_s:
            return
        self._made_at = now
        following = self.version + 1
        for name, html in (await self._make()).items():
            flat = html.replace("\n", "")
            if self._pieces.get(name, ("", 0))[0] != flat:
                self._pieces[name] = flat, following
                self.version = following

    def newer_than(self, epoch: int, version: int) -> str:
        """See ``Followed``."""
        known = version if epoch == self.epoch else 0
        return "".join(swapped(html) for html, changed in self._pieces.values() if changed > known)


class Pulse:
    """A view that shows nothing that changes: its stream only says that the server is there, and what time it is."""

    epoch = 0
    version = 0
    others = None

    async def look(self, now: float, *, spacing_s: float = 0.0) -> None:
        """See ``Followed``."""

    def newer_than(self, epoch: int, version: int) -> str:
        """See ``Followed``."""
        return ""


class Happenings:
    """New events as rows at the top of a list; ``show`` makes a row, or nothing of an event that is not wanted."""

    def __init__(self, feed: EventFeed, run: int, show: Callable[[FeedEvent], str], anew: Callable[[], str]) -> None:
        self._feed = feed
        self._show = show
        self._anew = anew
        self.epoch = run
        self.version = feed.last
        self.others = None

    async def look(self, now: float, *, spacing_s: float = 0.0) -> None:
        """See ``Followed``."""
        self.version = self._feed.last

    def newer_than(self, epoch: int, version: int) -> str:
        """See ``Followed``."""
        if epoch != self.epoch or self._feed.is_lost(version) or self.version - version > _MOST:
            return f'<tbody hx-swap-oob="innerHTML:#events">{self._anew()}</tbody>'
        rows = [self._show(event) for event in self._feed.after(version, _MOST)]
        shown = "".join(reversed(rows)).replace("\n", "")
        return f'<tbody hx-swap-oob="afterbegin:#events">{shown}</tbody>' if shown else ""
