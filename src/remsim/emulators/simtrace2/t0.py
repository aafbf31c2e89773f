# SPDX-License-Identifier: Apache-2.0
"""The T=0 side of card emulation: header, procedure byte, data, answer, status word (ISO/IEC 7816-3, clause 10.3).

The device's firmware does the characters: it collects five header bytes and reports them, collects P3 data bytes when
told to, sends what it is given, and keeps a waiting modem quiet with NULL bytes for as long as it takes. This object
decides what it is told:

- nothing to receive: the header goes to the card, and its answer back as INS, data, SW1 SW2;
- data to receive: INS at once as procedure byte, then header and data go to the card, and SW1 SW2 back.

61xx, 9Fxx and 6Cxx are passed on; the modem acts on them itself. An answer is sent only for the newest command, only
once, and only if nothing cancelled that command: the device would keep a stray one and give it to the *next* command,
and every later answer would be one off (simtrace2.md, 4.8). Knows neither USB nor lines nor time.
"""

from typing import ClassVar, Final

from remsim.card.apdu_case import AS_TABLES_SAY, CaseSource, CommandRules, Direction, PreviousCommand, decide
from remsim.card.status import SW_CORRECT_LENGTH, SW_TECHNICAL_PROBLEM, SW_WRONG_LENGTH, SwKind, sw_kind
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.core.values import dataclass
from remsim.emulators.simtrace2.actions import Action, DropUnsent, Fact, FactKind, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.messages import TxData

#: A response TPDU: up to 256 bytes and the status word.
MIN_RESPONSE: Final = 2
MAX_RESPONSE: Final = 258


class T0State(State):
    """Where the newest command is."""

    WAITING_FOR_HEADER = "waiting for header"  # the modem owes the next command
    RECEIVING_DATA = "receiving data"  # INS was sent as procedure byte; P3 bytes come from the modem
    WAITING_FOR_CARD = "waiting for card"  # the modem gets NULL bytes from the device until the answer is there
    SENDING_ANSWER = "sending answer"  # on its way to the device


class T0Event(Event):
    """What moves it."""

    HEADER = "header, nothing to receive"
    HEADER_WITH_DATA = "header, data to receive"
    HEADER_REFUSED = "header, refused"
    DATA_PART = "part of the data"
    DATA_COMPLETE = "data complete"
    DATA_REFUSED = "data refused"
    ANSWER = "answer of the card, or none"
    SENT = "device has the answer"
    CANCELLED = "reset, power loss, PPS, local SIM or unplug"


def _table() -> dict[tuple[T0State, T0Event], T0State]:
    table = {
        (T0State.RECEIVING_DATA, T0Event.DATA_PART): T0State.RECEIVING_DATA,
        (T0State.RECEIVING_DATA, T0Event.DATA_COMPLETE): T0State.WAITING_FOR_CARD,
        (T0State.RECEIVING_DATA, T0Event.DATA_REFUSED): T0State.SENDING_ANSWER,
        (T0State.WAITING_FOR_CARD, T0Event.ANSWER): T0State.SENDING_ANSWER,
        (T0State.SENDING_ANSWER, T0Event.SENT): T0State.WAITING_FOR_HEADER,
    }
    for state in T0State:
        # A header begins a new command whatever the host believes; it may have missed a reset.
        table[state, T0Event.HEADER] = T0State.WAITING_FOR_CARD
        table[state, T0Event.HEADER_WITH_DATA] = T0State.RECEIVING_DATA
        table[state, T0Event.HEADER_REFUSED] = T0State.SENDING_ANSWER
        table[state, T0Event.CANCELLED] = T0State.WAITING_FOR_HEADER
    return table


#: A pair that is not listed cannot happen. The diagram in the docs is drawn from here.
T0_TRANSITIONS: Final[Transitions[T0State, T0Event]] = Transitions("T=0 card", _table())

_BUSY: Final = frozenset({T0State.RECEIVING_DATA, T0State.WAITING_FOR_CARD})


@dataclass(frozen=True, slots=True)
class T0Command:
    """A command of the modem: its header, and what has come of its data."""

    header: bytes
    direction: Direction
    state: T0State
    data: bytes = b""
    #: The status word, if it was refused here.
    refusal: int | None = None

    @property
    def p3(self) -> int:
        """Number of bytes to come, in either direction."""
        return self.header[4]


@dataclass(frozen=True, slots=True)
class T0Suspended:
    """A command that the modem has perhaps cancelled; until that is known, nothing of it is sent."""

    command: T0Command
    #: Its number before it was suspended.
    generation: int
    #: What it had for the modem, an acknowledge or the whole answer, was taken back before the device had it.
    is_untold: bool

    @property
    def needs_us(self) -> bool:
        """Whether a modem that still wants it waits for us. One that was asked for its data sends them by itself."""
        return self.is_untold or self.command.state is not T0State.RECEIVING_DATA


def fit_answer(command: T0Command, response: bytes) -> tuple[bytes, int, Fact | None]:
    """Return data and status word to send for a card's ``response``, and what is wrong with it.

    The modem counts: it takes exactly P3 bytes (00 means 256) or a status word alone. Another number of bytes would
    put it out of step, so 6Cxx tells it the right one.
    """
    if not MIN_RESPONSE <= len(response) <= MAX_RESPONSE:
        text = f"{len(response)} bytes; {MIN_RESPONSE} to {MAX_RESPONSE} are possible"
        return b"", SW_TECHNICAL_PROBLEM, Fact(FactKind.BAD_ANSWER, text, command.header)
    data, sw = response[:-2], int.from_bytes(response[-2:])
    wanted = 0 if command.direction is Direction.RECEIVE else command.p3 or 256
    if not data or len(data) == wanted:
        return data, sw, None
    fact = Fact(FactKind.WRONG_ANSWER_LENGTH, f"{len(data)} data bytes instead of {wanted}", command.header)
    if command.direction is Direction.RECEIVE or sw_kind(sw) in (SwKind.ERROR, SwKind.LENGTH):
        return b"", sw, fact
    return b"", SW_CORRECT_LENGTH | len(data) & 0xFF, fact


class T0Card(Stateful[T0State, T0Event]):
    """The newest command of one modem. ``generation`` grows with each, and with each cancellation."""

    TRANSITIONS: ClassVar[Transitions[T0State, T0Event]] = T0_TRANSITIONS

    def __init__(
        self, *, rules: CommandRules = AS_TABLES_SAY, is_one_message: bool = True, first_generation: int = 0
    ) -> None:
        """``is_one_message``: data and status word travel together; otherwise in two messages as classic hosts do."""
        super().__init__(T0State.WAITING_FOR_HEADER)
        self.generation = first_generation
        self._rules = rules
        self._is_one_message = is_one_message
        self._command: T0Command | None = None
        self._previous: PreviousCommand | None = None
        #: Messages of the newest command that the device has not taken, and how many its answer had.
        self._unsent = self._in_answer = 0

    @property
    def is_busy(self) -> bool:
        """Whether the modem waits for us."""
        return self.state in _BUSY

    def _begin(
        self, event: T0Event, header: bytes, direction: Direction, data: bytes = b"", *, refusal: int | None = None
    ) -> T0Command:
        self.step(event)
        self.generation += 1
        self._unsent = 0
        self._command = T0Command(header, direction, self.state, data, refusal)
        return self._command

    def on_header(self, header: bytes) -> list[Action]:
        """The device reports a new command."""
        actions = self._drop_unsent()
        if len(header) != HEADER_LENGTH:
            fact = Fact(FactKind.BAD_HEADER, f"{len(header)} bytes instead of {HEADER_LENGTH}", header)
            return [*actions, fact, *self._refuse(header.ljust(HEADER_LENGTH, b"\0"), SW_TECHNICAL_PROBLEM)]
        decision = decide(header, previous=self._previous, rules=self._rules)
        if decision.sw is not None:
            return [*actions, Fact(FactKind.UNKNOWN_COMMAND, data=header), *self._refuse(header, decision.sw)]
        if decision.origin is CaseSource.UNKNOWN:
            actions.append(Fact(FactKind.UNKNOWN_RECEIVED, data=header))
        if decision.direction is Direction.RECEIVE:
            self._begin(T0Event.HEADER_WITH_DATA, header, decision.direction)
            return [*actions, *self._acknowledge(header)]
        self._begin(T0Event.HEADER, header, decision.direction)
        return [*actions, ForwardTpdu(self.generation, header)]

    def _acknowledge(self, header: bytes) -> list[Action]:
        self._unsent = 1
        return [SendBulk(TxData.acknowledge(header[1]), self.generation)]

    def _refuse(self, header: bytes, sw: int) -> list[Action]:
        return self._send(self._begin(T0Event.HEADER_REFUSED, header, Direction.REFUSE, refusal=sw), b"", sw)

    def on_data(self, data: bytes, *, is_final: bool) -> list[Action]:
        """The device reports data of the command, all of it (``is_final``) or a part."""
        command = self._command
        if command is None or self.state is not T0State.RECEIVING_DATA:
            return [Fact(FactKind.UNEXPECTED_DATA, f"{len(data)} bytes while {self.state.value}")]
        data = command.data + data
        if len(data) < command.p3 and not is_final:
            self.step(T0Event.DATA_PART)
            self._command = T0Command(command.header, command.direction, self.state, data)
            return []
        if len(data) != command.p3:
            self.step(T0Event.DATA_REFUSED)
            self._command = T0Command(command.header, command.direction, self.state, refusal=SW_WRONG_LENGTH)
            text = f"{len(data)} bytes instead of {command.p3}"
            return [Fact(FactKind.WRONG_DATA_LENGTH, text, command.header), *self._send(command, b"", SW_WRONG_LENGTH)]
        self.step(T0Event.DATA_COMPLETE)
        self._command = T0Command(command.header, command.direction, self.state, data)
        return [ForwardTpdu(self.generation, command.header + data)]

    def answer(self, generation: int, response: bytes) -> list[Action]:
        """The card answered the command of that generation: data, SW1, SW2."""
        command = self._awaited(generation)
        if command is None:
            return [Fact(FactKind.LATE_ANSWER, f"to command {generation} of {self.generation}")]
        data, sw, fact = fit_answer(command, response)
        self.step(T0Event.ANSWER)
        return [*([] if fact is None else [fact]), *self._send(command, data, sw)]

    def abort(self, generation: int, reason: str) -> list[Action]:
        """There will be no answer: the modem is told so, instead of being kept waiting for ever."""
        command = self._awaited(generation)
        if command is None:
            return []
        self.step(T0Event.ANSWER)
        fact = Fact(FactKind.NO_CARD_ANSWER, reason, command.header)
        return [fact, *self._send(command, b"", SW_TECHNICAL_PROBLEM)]

    def _awaited(self, generation: int) -> T0Command | None:
        is_current = generation == self.generation and self.state is T0State.WAITING_FOR_CARD
        return self._command if is_current else None

    def _send(self, command: T0Command, data: bytes, sw: int) -> list[Action]:
        self._previous = PreviousCommand(command.header, sw, command.direction)
        status, ins = sw.to_bytes(2), command.header[1]
        if not data:
            messages = [TxData.status_word(status)]
        elif self._is_one_message:
            messages = [TxData.whole_answer(ins, data, status)]
        else:
            messages = [TxData.response_data(ins, data), TxData.status_word(status)]
        self._in_answer = len(messages)
        self._unsent += self._in_answer
        return [SendBulk(message, self.generation) for message in messages]

    def on_sent(self, generation: int) -> None:
        """The device has taken one message of that generation."""
        if generation != self.generation or not self._unsent:
            return
        self._unsent -= 1
        if not self._unsent and self.state is T0State.SENDING_ANSWER:
            self.step(T0Event.SENT)

    def _drop_unsent(self) -> list[Action]:
        unsent, self._unsent = self._unsent, 0
        return [DropUnsent(self.generation)] if unsent else []

    def cancel(self) -> list[Action]:
        """The modem reset the card, or took it: forget the command. Its answer must not be sent any more."""
        actions = self._drop_unsent()
        if self.is_busy and self._command is not None:
            actions.append(Fact(FactKind.COMMAND_CANCELLED, self.state.value, self._command.header))
        self.step(T0Event.CANCELLED)
        self.generation += 1
        self._command = self._previous = None
        return actions

    def suspend(self) -> tuple[T0Suspended | None, list[Action]]:
        """Like ``cancel``, but return the command for ``resume``, unless the device has the answer, or a part of it."""
        command, generation, is_untold = self._command, self.generation, self._unsent > 0
        is_answered = self.state is T0State.SENDING_ANSWER and self._unsent >= self._in_answer
        if command is None or not (self.is_busy or is_answered):
            return None, self.cancel()
        actions = self._drop_unsent()
        self.step(T0Event.CANCELLED)
        self.generation += 1
        self._command = self._previous = None
        return T0Suspended(command, generation, is_untold), actions

    def resume(self, suspended: T0Suspended) -> list[Action]:
        """Take up a suspended command again, as a new one for the card."""
        command = suspended.command
        if command.refusal is not None:
            return self._refuse(command.header, command.refusal)
        if command.state is T0State.RECEIVING_DATA:
            self._begin(T0Event.HEADER_WITH_DATA, command.header, command.direction, command.data)
            return self._acknowledge(command.header) if suspended.is_untold else []
        self._begin(T0Event.HEADER, command.header, command.direction, command.data)
        return [ForwardTpdu(self.generation, command.header + command.data)]
