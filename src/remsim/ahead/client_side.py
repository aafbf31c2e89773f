# SPDX-License-Identifier: Apache-2.0
"""The client's end: answers that came ahead, used strictly in their order, or all dropped.

The queue sees each command of the modem first. If the answer at its head is for this very command, the modem has it at
once; otherwise all answers are dropped and the command is sent. While a command is under way, an answer ahead for these
very bytes, and next in the order, is its answer; the bankd answers once more by itself, which is passed over. One with
other bytes says that the bankd guessed wrong and does not know yet: what follows is of no use.

Answers are numbered from the last command that the bankd answered by itself: its operation tag, and a count from 1.
"""

from collections import deque
from typing import Final

from remsim.ahead.pace import MAX_UNCONFIRMED, REPORT_INTERVAL
from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class SentAhead:
    """A guessed command with its answer: the one that follows ``index - 1`` others behind the command ``base``."""

    base: int
    index: int
    tpdu: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Used:
    """So many answers behind the command ``base`` were used."""

    base: int
    count: int


@dataclass(frozen=True, slots=True)
class Hit:
    """The modem's command is answered. ``report`` is for the bankd, if that is to be told now."""

    response: bytes
    report: Used | None
    #: Which of the answers it was.
    base: int
    index: int


#: More would be a bankd that does not keep to its window.
MAX_WAITING: Final = 2 * MAX_UNCONFIRMED


class AnswersAhead:
    """Answers ahead for one session."""

    def __init__(self) -> None:
        #: Commands that were answered ahead; those that differed from what was there; and those that the bankd answered
        #: by itself, each after a whole round trip.
        self.hits = 0
        self.misses = 0
        self.round_trips = 0
        self._answers: deque[SentAhead] = deque()
        # The commands under way, oldest first. A modem has one.
        self._waiting: deque[bytes] = deque()
        # The command that the bankd answered last by itself, and what was used since, and reported of that.
        self._base = 0
        self._used = self._reported = 0
        # Until the bankd answers by itself, what comes ahead is for commands that were never sent.
        self._is_deaf = True
        self._is_linked = True

    def __len__(self) -> int:
        return len(self._answers)

    def on_command(self, tpdu: bytes) -> Hit | None:
        """The modem's next command. None: it must be sent, behind ``report``, and ``on_sent`` called."""
        if not self._waiting and self._answers and self._answers[0].tpdu == tpdu:
            return self._hit(self._answers.popleft())
        if self._answers:
            self.misses += 1
            self._answers.clear()
        return None

    def report(self) -> Used | None:
        """What the bankd has to know before the next command, once."""
        if self._reported == self._used or not self._is_linked:
            return None
        self._reported = self._used
        return Used(self._base, self._used)

    def on_sent(self, tpdu: bytes) -> None:
        """The command is on its way."""
        self._waiting.append(tpdu)

    def on_ahead(self, answer: SentAhead) -> Hit | None:
        """An answer came ahead. Returned if it is that to the only command under way, which then is none any more."""
        if self._is_deaf or answer.base != self._base:
            return None
        is_next = answer.index == self._used + len(self._answers) + 1
        if not self._waiting and is_next and len(self._answers) < MAX_WAITING:
            self._answers.append(answer)
            return None
        if len(self._waiting) != 1 or not is_next or self._waiting[0] != answer.tpdu:
            # A wrong guess, a gap, or more than is possible: the rest is of no use.
            self._is_deaf = True
            return None
        self._waiting.clear()
        return self._hit(answer)

    def on_answer(self, tag: int) -> None:
        """The bankd answered the oldest command under way by itself. What comes ahead now continues from there.

        Not to be called for a command that was answered ahead meanwhile, or that a reset made void.
        """
        if not self._waiting:
            return
        self._waiting.popleft()
        self.round_trips += 1
        if not self._waiting:
            self._base, self._used, self._reported, self._is_deaf = tag, 0, 0, False

    def on_link_lost(self) -> None:
        """What was on its way is lost, in both directions. What is here stays good."""
        self._is_deaf, self._is_linked = True, False
        self._waiting.clear()
        self._reported = 0

    def on_link_up(self) -> None:
        """The session goes on over another link."""
        self._is_linked = True

    def on_reset(self) -> None:
        """The modem reset the card: whatever is there or on its way is from before."""
        self._answers.clear()
        self._waiting.clear()
        self._is_deaf = self._is_linked = True
        self._base = self._used = self._reported = 0

    def _hit(self, answer: SentAhead) -> Hit:
        self.hits += 1
        self._used = answer.index
        report = self.report() if self._used - self._reported >= REPORT_INTERVAL else None
        return Hit(answer.response, report, answer.base, answer.index)
