# SPDX-License-Identifier: Apache-2.0
"""The client's end: answers that came ahead, used strictly in their order, or all dropped.

The queue sees each command of the modem first. If the answer at its head is for this very command, the modem has it at
once, and the command takes the tag of that answer; otherwise all answers are dropped and the command is sent. While a
command is under way, an answer ahead with its tag and its bytes is its answer. One with other bytes says that the
bankd guessed wrong and does not know yet: all that follow are passed over until the bankd answers by itself.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from remsim.ahead.pace import MAX_UNCONFIRMED, REPORT_INTERVAL


@dataclass(frozen=True, slots=True)
class SentAhead:
    """A guessed command with its answer; the tag is the one that the command would have."""

    tag: int
    tpdu: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Hit:
    """The modem's command is answered. ``report`` is a tag up to which answers were used, if that is to be told."""

    tag: int
    response: bytes
    report: int | None


#: More would be a bankd that does not keep to its window.
MAX_WAITING: Final = 2 * MAX_UNCONFIRMED


class AnswersAhead:
    """Answers ahead for one session."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._answers: deque[SentAhead] = deque()
        # The command under way, None if there is none.
        self._waiting: tuple[int, bytes] | None = None
        self._next_tag = 0
        # Until the bankd answers by itself, what comes ahead is for commands that were never sent.
        self._is_deaf = True
        self._unreported = 0

    def __len__(self) -> int:
        return len(self._answers)

    def on_command(self, tpdu: bytes) -> Hit | None:
        """The modem's next command. None: it must be sent, and ``on_sent`` called."""
        if self._waiting is None and self._answers and self._answers[0].tpdu == tpdu:
            answer = self._answers.popleft()
            return self._hit(answer)
        self.misses += bool(self._answers)
        self._answers.clear()
        return None

    def on_sent(self, tag: int, tpdu: bytes) -> None:
        """The command is on its way with this tag, which says how many answers were used."""
        self._waiting = tag, bytes(tpdu)
        self._next_tag = tag
        self._unreported = 0

    def on_ahead(self, answer: SentAhead) -> Hit | None:
        """An answer came ahead. Returned if the modem waits for it."""
        if self._is_deaf:
            return None
        if answer.tag != self._next_tag + len(self._answers) or len(self._answers) >= MAX_WAITING:
            # A gap: the rest is of no use.
            self._is_deaf = True
            return None
        if self._waiting is None:
            self._answers.append(answer)
            return None
        if self._waiting != (answer.tag, answer.tpdu):
            self._is_deaf = True
            return None
        self._waiting = None
        return self._hit(answer)

    def on_answer(self, tag: int) -> None:
        """The bankd answered the command under way by itself: what comes ahead from now on continues from there."""
        if self._waiting is not None and self._waiting[0] == tag:
            self._waiting = None
            self._next_tag = tag + 1
            self._is_deaf = False

    def on_reset(self) -> None:
        """The modem reset the card: whatever is there or on its way is from before."""
        self._answers.clear()
        self._waiting = None
        self._is_deaf = True
        self._unreported = 0

    def _hit(self, answer: SentAhead) -> Hit:
        self.hits += 1
        self._next_tag = answer.tag + 1
        self._unreported += 1
        report = None
        if self._unreported >= REPORT_INTERVAL:
            self._unreported, report = 0, answer.tag
        return Hit(answer.tag, answer.response, report)
