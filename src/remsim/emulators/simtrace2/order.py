# SPDX-License-Identifier: Apache-2.0
"""Commands and resets in the order in which the modem made them, although they are read in any order.

Line changes come on the interrupt endpoint, commands on bulk IN, and nothing orders one against the other. A reset
cancels the command before it; but a reset status that is read right after a header may be older than it, because ATR
and header take at least 6 ms (simtrace2.md, 6.5 and 7.4). Three rules keep both sides right:

1. A header while the card is not known to run, or while the modem still waits for the last answer, proves a reset
   whose statuses are on their way: the command is kept until the lines say that the card runs, so that the far side
   sees reset and command in this order. Until then a reset status on the interrupt endpoint is an older one. The
   answer to a STATUS request comes behind the header on the same endpoint, so it is newer, and a reset in it cancels.
2. A reset status within ``overtaken_s`` after a header of a running card cancels that command at once, with what the
   device has not taken of it, but the command is remembered. If the lines then show a running card, and neither header
   nor PPS follows for ``SETTLE_S`` - to a modem that has really reset, the ATR is the cue to go on - the modem still
   waits for that answer, and the command is given to the card as the first one after the reset. The modem is quiet
   meanwhile: the device sends it NULL bytes.
3. Any other reset status cancels the command. Its answer is never sent.

Knows the lines only as "the card runs" and "it does not"; reads no messages.
"""

from dataclasses import replace
from typing import Final

from remsim.emulators.simtrace2.actions import Action, Fact, FactKind, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.messages import StatusRequest
from remsim.emulators.simtrace2.t0 import T0Card, T0State, T0Suspended

#: A modem that has reset its card sends a header or PPS right after the ATR, which takes at most 45 ms.
SETTLE_S: Final = 2.0
#: STATUS is answered within milliseconds.
_ANSWER_WAIT_S: Final = 1.0


class CommandOrder:
    """Between the messages of one slot and its T=0 card."""

    def __init__(self, t0: T0Card, *, interval_ms: int) -> None:
        """``interval_ms`` is the polling interval of the interrupt endpoint: 1, with old firmware 16."""
        #: A few milliseconds, and two polls of the interrupt endpoint.
        self.overtaken_s = 0.005 + 0.002 * interval_ms
        #: Time for three statuses to arrive.
        self.statuses_s = 0.020 + 0.003 * interval_ms
        self._t0 = t0
        self._header_at = float("-inf")
        #: Rule 1: the lines have something to tell that happened before the newest header.
        self.expects_status = False
        #: Rule 1: nothing came, and the status was asked for.
        self.has_asked = False
        self._held: ForwardTpdu | None = None
        self._status_due: float | None = None
        #: Rule 2: a command that may be newer than the reset that cancelled it.
        self._doubt: T0Suspended | None = None
        self._settles_at: float | None = None

    def cancel(self) -> list[Action]:
        """Forget the newest command and what was kept of others."""
        self._forget()
        return self._t0.cancel()

    def _forget(self) -> None:
        self.expects_status = self.has_asked = False
        self._held = self._doubt = None
        self._status_due = self._settles_at = None

    def on_header(self, header: bytes, now: float, *, is_running: bool) -> list[Action]:
        """The device reports a new command; ``is_running``: the lines, as last heard, let the card work."""
        actions: list[Action] = []
        is_overtaking = self._t0.is_busy or not is_running
        if self._t0.is_busy:
            actions.append(Fact(FactKind.COMMAND_REPLACED, self._t0.state.value, header[:5]))
        self._forget()
        self._header_at = now
        if is_overtaking:
            self.expects_status = True
            self._status_due = now + self.statuses_s
        return [*actions, *self._hold(self._t0.on_header(header))]

    def on_data(self, data: bytes, *, is_final: bool) -> list[Action]:
        """The device reports data of the command."""
        actions: list[Action] = []
        if self._doubt is not None and self._doubt.command.state is T0State.RECEIVING_DATA:
            # A device that had been reset behind the header would have thrown these data away. It was asked for them,
            # although we have not heard that it took the acknowledge: a second one would be out of place.
            actions = self._resume(replace(self._doubt, is_untold=False))
        return [*actions, *self._hold(self._t0.on_data(data, is_final=is_final))]

    def _hold(self, actions: list[Action]) -> list[Action]:
        if not self.expects_status:
            return actions
        for action in actions:
            if isinstance(action, ForwardTpdu):
                self._held = action
        return [action for action in actions if action is not self._held]

    def _release(self) -> list[Action]:
        held = self._held
        self._forget()
        return [] if held is None else [held]

    def _resume(self, suspended: T0Suspended) -> list[Action]:
        self._forget()
        return [Fact(FactKind.COMMAND_RESUMED, data=suspended.command.header), *self._t0.resume(suspended)]

    def on_sent(self, generation: int) -> None:
        """The device has taken a message of the command of that generation."""
        doubt = self._doubt
        if doubt is None or generation != doubt.generation:
            self._t0.on_sent(generation)
        elif doubt.command.state is T0State.RECEIVING_DATA:
            # Too late to take the acknowledge back: a modem that has not reset sends its data now.
            self._doubt, self._settles_at = T0Suspended(doubt.command, generation, is_untold=False), None
        else:
            # Too late to take the answer back: a modem that has not reset has it.
            self._forget()

    def on_running(self, now: float) -> list[Action]:
        """The lines let the card work."""
        if self.expects_status:
            return self._release()
        if self._doubt is not None and self._settles_at is None:
            if now - self._header_at > 2 * self.overtaken_s:
                self._doubt = None
            elif self._doubt.needs_us:
                self._settles_at = now + SETTLE_S
        return []

    def on_reset(self, now: float, *, is_answer: bool = False) -> list[Action]:
        """The modem took VCC or CLK away, or asserts RST; ``is_answer``: bulk IN says so, which brought the header."""
        if self.expects_status:
            return self.cancel() if is_answer else []
        if self._settles_at is not None or now - self._header_at > self.overtaken_s:
            return self.cancel()
        if self._doubt is not None:
            return []
        self._doubt, actions = self._t0.suspend()
        if self._doubt is None:
            self._forget()
            return actions
        return [*actions, Fact(FactKind.COMMAND_IN_DOUBT, data=self._doubt.command.header)]

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due, None if never."""
        return min((due for due in (self._status_due, self._settles_at) if due is not None), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due."""
        if self._doubt is not None and self._settles_at is not None and self._settles_at <= now:
            return self._resume(self._doubt)
        if self._status_due is None or self._status_due > now:
            return []
        if self.has_asked:
            # Not even the status that was asked for came: the modem waits, so the command goes on its way.
            return self._release()
        self.has_asked = True
        self._status_due = now + _ANSWER_WAIT_S
        return [SendBulk(StatusRequest())]
