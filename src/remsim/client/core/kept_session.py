# SPDX-License-Identifier: Apache-2.0
"""What the client keeps of a session that outlives its link: the token, what is under way, and how long it is held.

While the session is held, its modem's card is merely slow. Knows no messages and no emulator.
"""

from remsim.session.hold import Hold, HoldTimes
from remsim.session.lines import ResetEdges
from remsim.session.outbox import Outbox
from remsim.session.token import session_label


class KeptSession:
    """Begins with the token of the bankd; ``edges`` are the lines as the bankd knows them."""

    __slots__ = ("edges", "hold", "label", "outbox", "stall_limit_s", "times", "token")

    def __init__(self, token: bytes, times: HoldTimes, *, edges: ResetEdges, stall_limit_s: float | None) -> None:
        """``stall_limit_s``: how long the emulator lets a command wait without a link; None: for any time."""
        self.token = token
        #: The session's name in traces.
        self.label = session_label(token)
        self.times = times
        self.edges = edges
        self.stall_limit_s = stall_limit_s
        self.outbox = Outbox()
        #: While there is no link, or one that has not taken the session up yet.
        self.hold: Hold | None = None

    def renew(self, token: bytes, times: HoldTimes) -> None:
        """The session goes on, with another token."""
        self.token, self.times, self.hold = token, times, None

    def begin_hold(self, now: float, *, is_busy: bool) -> bool:
        """The link is lost. False: the session is held already."""
        if self.hold is not None:
            return False
        # To the bankd, a command that a reset made void is under way until it has seen the reset.
        self.hold = Hold(self.times, now, now if is_busy else None, was_busy=not self.outbox.is_settled)
        return True

    def on_waiting(self, now: float, *, is_busy: bool) -> None:
        """A command of the modem waits, or none does any more, while the session is held."""
        if self.hold is None:
            return
        if not is_busy:
            self.hold.busy_since = None
        elif self.hold.busy_since is None:
            self.hold.busy_since = now

    @property
    def hold_deadline(self) -> float | None:
        """When the session ends; None while it has a link."""
        return None if self.hold is None else self.hold.deadline

    @property
    def stall_deadline(self) -> float | None:
        """When the waiting command fails, where the emulator cannot let its modem wait."""
        hold = self.hold
        if hold is None or hold.busy_since is None or self.stall_limit_s is None:
            return None
        return hold.busy_since + self.stall_limit_s
