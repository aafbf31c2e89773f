# SPDX-License-Identifier: Apache-2.0
"""What a client slot tells its server while somebody watches it there. No I/O; time is an argument.

A slot that is not watched costs its commands one look at ``tap``.
"""

from collections.abc import Callable

from remsim.client.core.actions import Action
from remsim.client.core.assignment import Assignment
from remsim.trace.tap import SlotTap
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.messages.extensions import TraceReq


def _nobody() -> None:
    return


class ClientTrace:
    """Whether the slot is watched, and the records that its server gets."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._link: LinkId | None = None
        #: Takes what happens; None: nobody watches.
        self.tap: SlotTap | None = None
        #: Called for each record that is too many.
        self.on_left_out: Callable[[], None] = _nobody

    def on_request(self, request: TraceReq, link: LinkId, now: float) -> bool:
        """The server wants to hear of this slot, or no more. False: it is another slot."""
        if request.client_slot is None or request.client_slot != self._assignment.client_slot:
            return False
        if request.for_ms == 0:
            self.tap = None
            return True
        until = now + request.for_ms / 1000
        self._link = link
        if self.tap is None:
            self.tap = SlotTap(until, on_left_out=self.on_left_out)
        self.tap.until = until
        return True

    def on_link_lost(self, link: LinkId) -> None:
        """A link is gone; nobody watches over it any more."""
        if link == self._link:
            self.tap = self._link = None

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return None if self.tap is None else self.tap.next_deadline()

    def handle_timer(self, now: float) -> list[Action]:
        """Tell what has happened; end the trace when its time is over."""
        tap, link, known = self.tap, self._link, self._assignment
        if tap is None or link is None or now < tap.next_deadline():
            return []
        message = tap.take(now, bank_slot=known.bank_slot, client_slot=known.client_slot)
        if now >= tap.until:
            self.tap = None
        return [] if message is None else [Send(link, message)]
