# SPDX-License-Identifier: Apache-2.0
"""Hooks to watch client slots live: for the demonstration, a user interface, tests."""

from remsim.client.core.notices import Notice, NoticeKind
from remsim.core.ids import ClientSlot
from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """One command of the modem and what became of it."""

    client_slot: ClientSlot | None
    tpdu: bytes
    #: Data, SW1, SW2; None if no answer came.
    response: bytes | None
    #: From the modem's last byte to the answer's hand-over, in seconds.
    duration_s: float
    #: Why there is no answer.
    failure: str = ""


class ClientObserver:
    """Override what is of interest. Called in the event loop; must neither block nor raise."""

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        """Links, state, bankd, card: whatever changed."""
        return

    def on_command(self, record: CommandRecord) -> None:
        """A command was answered, or failed."""
        return


class CutCounter(ClientObserver):
    """Counts what became of the slot's links while something ran on it."""

    def __init__(self) -> None:
        #: Links that were lost while the session was held, and sessions that went on over another link.
        self.cuts = self.resumes = 0
        #: How often the modem lost its card.
        self.losses = 0
        self._is_counting = True

    def stop(self) -> None:
        """What follows is the end of the program."""
        self._is_counting = False

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        """Count it."""
        if self._is_counting:
            self.cuts += notice.kind is NoticeKind.SESSION_HELD
            self.resumes += notice.kind is NoticeKind.SESSION_RESUMED
            self.losses += notice.kind is NoticeKind.CARD_REMOVED
