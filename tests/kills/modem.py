# SPDX-License-Identifier: Apache-2.0
"""A client program whose modem never rests: one command after the other, through the shell's lines."""

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.doubles.programs import PATIENCE_S, TIED_TO_US

_COMMAND: Final = "00a40000023f00\n"
_ANSWER: Final = "R-APDU: 90 00 "
#: A modem that gets no answer tries again after this time.
_PAUSE_S: Final = 0.05


class KillLoopError(AssertionError):
    """Something was lost that must not be, or did not come back."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a modem has seen so far."""

    answers: int
    failures: int
    #: Cards that were put in.
    cards: int


class Modem:
    """The client of one slot; ``argv`` starts it."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self._argv = [*TIED_TO_US, *argv]
        self._changed = threading.Condition()
        self._answers = self._failures = self._cards = 0
        self._trouble = ""
        self._is_answer_due = False
        self._is_over = threading.Event()
        self.last: deque[str] = deque(maxlen=20)

    def start(self) -> None:
        """Start the program; its modem begins when it has a card."""
        self._is_over.clear()
        self._is_answer_due = False
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._run, args=(self._process,), name=self.name)
        self._thread.start()

    def kill(self) -> None:
        """End the program without warning."""
        self._is_over.set()
        self._process.kill()
        self._reap()

    def stop(self) -> int:
        """End the program in good order; its exit status."""
        self._is_over.set()
        self._process.terminate()
        return self._reap()

    def _reap(self) -> int:
        try:
            status = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise KillLoopError(f"{self.name} does not end") from None
        finally:
            self._thread.join(PATIENCE_S)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    self._close(stream.close)
        return status

    @staticmethod
    def _close(close: Callable[[], None]) -> None:
        try:
            close()
        except BrokenPipeError:  # a command for the program that was just killed
            return

    @property
    def seen(self) -> Seen:
        """What it has seen."""
        with self._changed:
            return self._seen()

    def _seen(self) -> Seen:
        return Seen(self._answers, self._failures, self._cards)

    def wait_for(self, what: str, *, answers: int = 0, failures: int = 0, cards: int = 0) -> Seen:
        """Wait until it has seen so many in all. Raises KillLoopError, which says ``what`` did not come."""

        def is_over() -> bool:
            is_so = self._answers >= answers and self._failures >= failures and self._cards >= cards
            return is_so or bool(self._trouble)

        with self._changed:
            if not self._changed.wait_for(is_over, PATIENCE_S * 2) or self._trouble:
                lines = "\n  ".join(self.last)
                raise KillLoopError(f"{self.name}: {self._trouble or what}; now {self._seen()}\n  {lines}")
            return self._seen()

    # In its thread

    def _run(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if self._take(line.rstrip("\n")):
                self._send(process)
        if not self._is_over.is_set():
            self._note(trouble="the client has ended by itself")

    def _take(self, line: str) -> bool:
        """Note a line; whether the next command is due."""
        self.last.append(line)
        if line.startswith("SET_ATR"):
            self._note(cards=1)
            return not self._is_answer_due
        if line.startswith("R-APDU"):
            self._is_answer_due = False
            self._note(answers=1, trouble="" if line == _ANSWER else f"a wrong answer: {line}")
            return True
        if line.startswith("line "):
            self._is_answer_due = False
            self._note(failures=1)
            return not self._is_over.wait(_PAUSE_S)
        return False

    def _send(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        self._is_answer_due = True
        try:
            process.stdin.write(_COMMAND)
        except BrokenPipeError:
            return

    def _note(self, *, answers: int = 0, failures: int = 0, cards: int = 0, trouble: str = "") -> None:
        with self._changed:
            self._answers += answers
            self._failures += failures
            self._cards += cards
            self._trouble = self._trouble or trouble
            self._changed.notify_all()
