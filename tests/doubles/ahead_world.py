# SPDX-License-Identifier: Apache-2.0
"""A modem far from its card, by a simulated clock: the two ends of answering ahead with a link between them.

Every delay is chosen by the test, so that any interleaving of arrivals can be played. Messages of one direction keep
their order. The card answers at once and is busy for as long as the test says.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from remsim.ahead.bank_side import AheadSession, Answer, Broken, Guess, Run, Trial
from remsim.ahead.client_side import AnswersAhead, Hit, SentAhead, Used
from remsim.ahead.return_path import Step

#: In a list of commands: the modem resets the card. Its answer is the ATR.
RESET = b""


class Card(Protocol):
    """What plays the card."""

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer one command."""
        ...

    def cold_reset(self) -> bytes:
        """Power comes back; the ATR."""
        ...


@dataclass(slots=True)
class Executed:
    """What the card was given, and for whom."""

    modem: list[bytes] = field(default_factory=list)
    guesses: list[bytes] = field(default_factory=list)
    trials: list[bytes] = field(default_factory=list)
    restores: list[bytes] = field(default_factory=list)


class FarModem:
    """Plays commands of a modem one after the other, each when the one before was answered."""

    def __init__(
        self,
        card: Card,
        session: AheadSession | None,
        commands: Iterable[bytes],
        *,
        delay: Callable[[], float],
        card_time: Callable[[], float],
        think: float = 0.0005,
        cuts: Iterable[tuple[float, float]] = (),
    ) -> None:
        """``session`` None: without answering ahead. ``delay`` is one direction of the link, in seconds.

        ``cuts``: when the link is lost, and for how long. What is on its way then is lost.
        """
        self.session = session
        self.queue = AnswersAhead()
        self.answers: list[bytes] = []
        self.executed = Executed()
        self.now = 0.0
        self.round_trips = 0
        self.finished_at = 0.0
        self._card = card
        self._commands = deque(commands)
        self._delay, self._card_time, self._think = delay, card_time, think
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._arrival = {"up": 0.0, "down": 0.0}
        self._tag = 0
        self._command = RESET
        # What the client waits for: sent once more on a new link.
        self._outstanding: tuple[int, bytes] | None = None
        self._link = 0
        self._is_cut = False
        self._cuts = tuple(cuts)
        # The bankd: the modem's commands that wait, the one that runs, the last answer, and whether the card is busy.
        self._running: int | None = None
        self._newest = 0
        self._last: tuple[int, bytes] | None = None
        self._waiting: deque[tuple[int, bytes] | Used] = deque()
        self._is_busy = False
        self._busy_with = b""

    def run(self) -> None:
        """Until the modem has all its answers and nothing is on its way."""
        self._at(0.0, self._next_command)
        for time, length in self._cuts:
            self._when(time, self._cut)
            self._when(time + length, self._heal)
        while self._events:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        assert not self._commands, "the modem waits for ever"

    def _at(self, delay: float, happen: Callable[[], None]) -> None:
        self._when(self.now + delay, happen)

    def _when(self, time: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (time, self._number, happen))

    def _cut(self) -> None:
        if not self._is_cut:
            self._is_cut = True
            self._link += 1
            self.queue.on_link_lost()
            self._newest = 0
            if self.session is not None:
                self.session.on_detached()

    def _heal(self) -> None:
        if self._is_cut:
            self._is_cut = False
            if self.session is not None:
                self.session.on_attached()
            self.queue.on_link_up()
            if self._outstanding is not None:
                tag, command = self._outstanding
                self._report(self.queue.report())
                if command != RESET:
                    self.queue.on_sent(command)
                self._send("up", lambda: self._at_bank(tag, command))

    def _send(self, direction: str, happen: Callable[[], None]) -> None:
        if self._is_cut:
            return
        link, happen_then = self._link, happen

        def happen_here() -> None:
            if link == self._link:
                happen_then()

        happen = happen_here
        arrival = max(self.now + self._delay(), self._arrival[direction])
        self._arrival[direction] = arrival
        self._when(arrival, happen)

    # The client

    def _next_command(self) -> None:
        if not self._commands:
            self.finished_at = self.now
            return
        self._command = self._commands.popleft()
        if self._command == RESET:
            self.queue.on_reset()
            self._outstanding = -1, RESET
            self._send("up", lambda: self._at_bank(-1, RESET))
            self.round_trips += 1
            return
        hit = self.queue.on_command(self._command) if self.session is not None else None
        if hit is not None:
            self._use(hit)
            return
        self._tag += 1
        tag, command = self._tag, self._command
        self._report(self.queue.report())
        self.queue.on_sent(command)
        self._outstanding = tag, command
        self.round_trips += 1
        self._send("up", lambda: self._at_bank(tag, command))

    def _use(self, hit: Hit) -> None:
        self._report(hit.report)
        self._answered(hit.response)

    def _report(self, used: Used | None) -> None:
        if used is not None:
            self._send("up", lambda: self._on_report(used))

    def _answered(self, response: bytes) -> None:
        self._outstanding = None
        self.answers.append(response)
        self._at(self._think, self._next_command)

    def _on_ahead(self, answer: SentAhead) -> None:
        hit = self.queue.on_ahead(answer)
        if hit is not None:
            self._use(hit)

    def _on_answer(self, tag: int, response: bytes) -> None:
        if self._outstanding is None or self._outstanding[0] != tag:
            # Answered on the link before, or twice on this one.
            return
        self.queue.on_answer(tag)
        self._answered(response)

    # The bankd

    def _at_bank(self, tag: int, command: bytes) -> None:
        """Each tag is executed once (a reset may be repeated)."""
        if self._last is not None and tag == self._last[0]:
            response = self._last[1]
            self._send("down", lambda: self._on_answer(tag, response))
            return
        if tag == self._running or (tag, command) in self._waiting:
            return
        self._newest = tag
        self._waiting.append((tag, command))
        self._work()

    def _on_report(self, used: Used) -> None:
        # One that came behind a command is about what came after it.
        self._waiting.append(used)
        self._work()

    def _work(self) -> None:
        if self._waiting and isinstance(self._waiting[0], Used):
            used = self._waiting.popleft()
            if self.session is not None and isinstance(used, Used):
                self.session.on_used(used)
            self._work()
            return
        if self._is_busy:
            return
        if self._waiting:
            waiting = self._waiting.popleft()
            assert not isinstance(waiting, Used)
            tag, command = waiting
            self._running = tag if command != RESET else None
            if command == RESET:
                atr = self._card.cold_reset()
                if self.session is not None:
                    self.session.on_reset()
                self._last = None
                self._send("down", lambda: self._answered(atr))
            elif self.session is None:
                self._execute(command, self.executed.modem, lambda response: self._reply(tag, response))
            else:
                self._command_of_modem(self.session, tag, command)
            self._work()
        elif self.session is not None:
            step = self.session.next_step()
            if isinstance(step, Trial):
                self._execute(step.tpdu, self.executed.trials, self._step_done)
            elif isinstance(step, Guess):
                self._execute(step.tpdu, self.executed.guesses, self._step_done)

    def _execute(self, tpdu: bytes, kind: list[bytes], done: Callable[[bytes], None]) -> None:
        kind.append(tpdu)
        response = self._card.transmit(tpdu)
        self._is_busy = True

        def end() -> None:
            self._is_busy = False
            done(response)
            self._work()

        self._at(self._card_time(), end)

    def _reply(self, tag: int, response: bytes) -> None:
        self._running, self._last = None, (tag, response)
        self._send("down", lambda: self._on_answer(tag, response))

    def _step_done(self, response: bytes) -> None:
        assert self.session is not None
        answer = self.session.on_step_done(response, seconds=self._card_time())
        if answer is not None:
            self._send("down", lambda: self._on_ahead(answer))

    def _again(self, answer: SentAhead) -> None:
        self._send("down", lambda: self._on_ahead(answer))

    def _command_of_modem(self, session: AheadSession, tag: int, command: bytes) -> None:
        decision = session.on_command(tag, command, self.now, is_over_link=tag == self._newest)
        session.used.clear()
        match decision:
            case Broken():
                raise AssertionError(decision.reason)
            case Answer() if decision.is_guess:
                self._reply(tag, decision.response)
                for answer in decision.again:
                    self._again(answer)
            case Answer():
                self._done(session, tag, command, decision.response)
            case Run():
                self._restore(session, tag, command, deque(decision.restore))

    def _restore(self, session: AheadSession, tag: int, command: bytes, steps: deque[Step]) -> None:
        if steps:
            step = steps.popleft()

            def go_on(response: bytes) -> None:
                sw = int.from_bytes(response[-2:])
                assert step.is_matched_by(sw), f"{step.command.hex()} ended with {sw:04X}, not {step.sw:04X}"
                if steps:
                    self._restore(session, tag, command, steps)
                    return
                held = session.on_restored(command)
                if held is None:
                    self._run(session, tag, command)
                else:
                    self._done(session, tag, command, held.response)

            self._execute(step.command, self.executed.restores, go_on)
        else:
            self._run(session, tag, command)

    def _run(self, session: AheadSession, tag: int, command: bytes) -> None:
        self._execute(
            command,
            self.executed.modem,
            lambda response: self._done(session, tag, command, response, self._card_time()),
        )

    def _done(
        self, session: AheadSession, tag: int, command: bytes, response: bytes, seconds: float | None = None
    ) -> None:
        session.on_response(tag, command, response, self.now, seconds=seconds)
        self._reply(tag, response)

    # The end

    def settle(self) -> None:
        """Bring the card to where the modem believes it to be, as before a command of the modem that nobody guessed."""
        if self.session is None:
            return
        used = self.queue.report()
        if used is not None:
            self.session.on_used(used)
        decision = self.session.on_command(self._tag + 1, b"\x00\xc0\x01\x00\x00", self.now)
        assert isinstance(decision, Run), decision
        for step in decision.restore:
            response = self._card.transmit(step.command)
            assert step.is_matched_by(int.from_bytes(response[-2:]))
