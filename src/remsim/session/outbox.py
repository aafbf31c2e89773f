# SPDX-License-Identifier: Apache-2.0
"""The client's end of a ledger: what the bankd was asked for and may not have received. See ``ledger``."""

from collections import deque

from remsim.card.reset import ResetKind
from remsim.core.values import dataclass
from remsim.wire.link.tags import is_newer


@dataclass(frozen=True, slots=True)
class ReturnPlan:
    """What the client sends, in this order, once its session goes on over a new link."""

    #: The lines have changed in a manner that the bankd has not seen.
    shows_lines: bool
    #: The reset among these changes, the cold one of several; it is shown as a whole cycle of the lines.
    reset: ResetKind | None
    #: The command in flight did not arrive and is sent again.
    sends_command: bool
    #: It is sent under a tag of its own because other operations now go before it.
    needs_new_tag: bool


class Outbox:
    """Operations without an answer. Without a link, line changes are noted and commands wait."""

    __slots__ = ("_lines", "_not_sent", "awaited")

    def __init__(self) -> None:
        #: The command whose answer the modem waits for; None if there is none, or it was not sent yet.
        self.awaited: int | None = None
        # Line changes that were sent and not acknowledged, oldest first.
        self._lines: deque[tuple[int, ResetKind | None]] = deque()
        # What those meant that were not sent: three different things at most.
        self._not_sent: set[ResetKind | None] = set()

    @property
    def is_settled(self) -> bool:
        """Whether the bankd has answered all that was sent; if not, a command of ours may be under way there."""
        return self.awaited is None and not self._lines

    def command_sent(self, tag: int) -> None:
        """A command went out."""
        self.awaited = tag

    def command_answered(self, tag: int) -> bool:
        """An answer came. False: nobody waits for it."""
        while self._lines and is_newer(tag, self._lines[0][0]):
            self._lines.popleft()
        if tag != self.awaited:
            return False
        self.awaited = None
        return True

    def void(self) -> None:
        """Nobody waits for the command in flight any more: the modem was reset, or has got an error in its place."""
        self.awaited = None

    def lines_sent(self, tag: int, reset: ResetKind | None) -> None:
        """A change of the lines went out, with the reset that it asks for."""
        self._lines.append((tag, reset))

    def lines_not_sent(self, reset: ResetKind | None) -> None:
        """The lines have changed while there is no link."""
        self._not_sent.add(reset)

    def lines_acknowledged(self, tag: int) -> None:
        """The bankd has seen this change of the lines, and all before."""
        while self._lines and not is_newer(self._lines[0][0], tag):
            self._lines.popleft()

    def on_return(self, last: int) -> ReturnPlan:
        """The session goes on over a new link; ``last`` is the newest operation that the bankd has received, 0: none.

        What it has not received and is not part of the plan is forgotten.
        """
        missing = self._not_sent | {reset for tag, reset in self._lines if not last or is_newer(tag, last)}
        self._lines.clear()
        self._not_sent = set()
        sends_command = self.awaited is not None and (not last or is_newer(self.awaited, last))
        return ReturnPlan(
            shows_lines=bool(missing),
            reset=next((kind for kind in (ResetKind.COLD, ResetKind.WARM) if kind in missing), None),
            sends_command=sends_command,
            needs_new_tag=sends_command and bool(missing),
        )
