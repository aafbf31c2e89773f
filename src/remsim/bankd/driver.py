# SPDX-License-Identifier: Apache-2.0
"""The one owner of a slot's reader: runs what the coordinator asks for, and reports how it ended.

Knows no client and takes no decisions. The coordinator asks for one thing at a time, so nothing is queued here. All
that comes from a driver, which may be from outside, is checked here: its errors, the length of responses, when it
calls back and how often.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import perf_counter
from typing import Final, Protocol

from remsim.bankd.core.actions import CardAction, CardFault, CloseCard, FaultKind, OpenCard, ReadNumber, ResetCard
from remsim.bankd.stuck import StuckReaders
from remsim.card.iccid import read_iccid
from remsim.card.identity import CardIdentity, read_identity
from remsim.card.reset import ResetKind
from remsim.core.values import dataclass
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.readers.base import CardReader, Outcome, as_reader_error
from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderBusyError,
    ReaderError,
    ReaderUnavailableError,
)
from remsim.redaction import scrub
from remsim.wire.messages.rspro import MAX_RESPONSE, MIN_RESPONSE

#: For the reading of a card's number, its powering up included; a client may be waiting for the card.
READING_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class CardDeadlines:
    """How long a reader may take for each of its operations, in seconds. What takes longer has failed."""

    open_s: float = 20.0
    reset_s: float = 15.0
    command_s: float = 60.0
    close_s: float = 5.0


_KINDS: Final[dict[type[ReaderError], FaultKind]] = {
    ReaderBusyError: FaultKind.BUSY,
    ReaderUnavailableError: FaultKind.NO_READER,
    CardAbsentError: FaultKind.NO_CARD,
    CardMuteError: FaultKind.MUTE,
    CardProtocolError: FaultKind.PROTOCOL,
    CardTransmissionError: FaultKind.TRANSMISSION,
}


def fault_kind(error: ReaderError) -> FaultKind:
    """What the coordinator is told about ``error``."""
    for kind in type(error).__mro__:
        found = _KINDS.get(kind)
        if found is not None:
            return found
    return FaultKind.TRANSMISSION


def card_fault(error: ReaderError) -> CardFault:
    """``error`` for coordinator, log and server. Drivers from outside put into theirs what they like, also commands."""
    return CardFault(fault_kind(error), scrub(str(error)))


def failure_of(outcome: Outcome) -> ReaderError:
    """What is wrong with an outcome that is no response of a card."""
    if isinstance(outcome, ReaderError):
        return outcome
    return CardTransmissionError(f"the card's response has {len(outcome)} bytes")


class SlotEvents(Protocol):
    """Hears how operations ended; called in the loop."""

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        """OpenCard is done."""
        ...

    def on_response(self, slot_nr: int, response: bytes) -> None:
        """A command that was not answered at once is done."""
        ...

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        """ResetCard is done."""
        ...

    def on_closed(self, slot_nr: int) -> None:
        """CloseCard is done."""
        ...

    def on_number(self, slot_nr: int, found: CardIdentity, reason: str, *, is_busy: bool = False) -> None:
        """ReadNumber is done; without a number, ``reason`` says why. ``is_busy``: another program has the reader."""
        ...

    def on_failed(self, slot_nr: int, fault: CardFault) -> None:
        """OpenCard, ResetCard, or a command that did not fail at once, has failed."""
        ...


class CardDriver:
    """The reader of slot ``slot_nr``. ``reader`` is None while it has none, and may be exchanged at any time.

    ``observe`` is told the seconds that the card took for each command that it answered. An operation whose deadline
    passes has failed; the reader is closed and left to itself, and ``stuck`` counts it until its driver returns.
    """

    def __init__(
        self,
        slot_nr: int,
        *,
        events: SlotEvents,
        tasks: TaskOwner,
        observe: Callable[[float], None],
        deadlines: CardDeadlines,
        stuck: StuckReaders,
    ) -> None:
        self.slot_nr = slot_nr
        self.reader: CardReader | None = None
        self._events = events
        self._tasks = tasks
        #: Told what the card took for each command that it answered.
        self.observe = observe
        #: Told of each command of a reading, its answer, and what it took; None: nobody watches.
        self.tell_reading: Callable[[bytes, bytes, float], None] | None = None
        self._deadlines = deadlines
        self._stuck = stuck
        # The reader in use between OpenCard and CloseCard, whatever ``reader`` has become meanwhile.
        self._open: CardReader | None = None
        # How often a card was opened here; and what the reader calls, which is worth nothing after the next CloseCard.
        self._serial = 0
        self._began = 0.0
        self._is_waiting = False
        self._watchdog: asyncio.TimerHandle | None = None
        # The outcome, if the reader calls back before ``submit`` has returned, which it should not.
        self._early: Outcome | None = None

    def submit(self, tpdu: bytes, /) -> bytes | CardFault | None:
        """Exchange one command, at once if the card can; see ``CardPort``."""
        reader = self._open
        if reader is None:
            return card_fault(_not_powered())
        self._early = None
        began = self._began = perf_counter()
        outcome: Outcome | None
        try:
            # Each command has a number of its own: a driver that calls back twice must not answer the next one.
            self._serial += 1
            outcome = reader.submit(tpdu, partial(self._on_done, self._serial))
            if outcome is None:
                outcome = self._early
        except Exception as error:  # noqa: BLE001  # drivers may come from outside
            outcome = as_reader_error(error)
        if outcome is None:
            self._is_waiting = True
            if self._watchdog is None:
                # One timer serves many commands: it looks how long the present one has been running.
                self._watchdog = asyncio.get_running_loop().call_later(self._deadlines.command_s, self._watch)
            return None
        if isinstance(outcome, bytes) and MIN_RESPONSE <= len(outcome) <= MAX_RESPONSE:
            self.observe(perf_counter() - began)
            return outcome
        return card_fault(failure_of(outcome))

    def _on_done(self, serial: int, outcome: Outcome) -> None:
        if serial != self._serial:
            return
        if not self._is_waiting:
            self._early = outcome
            return
        self._is_waiting = False
        if isinstance(outcome, bytes) and MIN_RESPONSE <= len(outcome) <= MAX_RESPONSE:
            self.observe(perf_counter() - self._began)
            self._events.on_response(self.slot_nr, outcome)
        else:
            self._fail(failure_of(outcome))

    def _watch(self) -> None:
        self._watchdog = None
        if not self._is_waiting:
            return
        left_s = self._began + self._deadlines.command_s - perf_counter()
        if left_s > 0:
            self._watchdog = asyncio.get_running_loop().call_later(left_s, self._watch)
            return
        self._is_waiting = False
        self._serial += 1
        if self._open is not None:
            self._open.give_up()
        self._fail(_late("a command", self._deadlines.command_s))

    def run(self, action: CardAction) -> None:
        """Begin the operation; exactly one call of ``events`` follows, later."""
        match action:
            case OpenCard():
                self._start(self._open_card(), "open")
            case ResetCard(_, kind):
                self._start(self._reset(kind), f"{kind.value}-reset")
            case CloseCard():
                self._start(self._close(), "close")
            case ReadNumber(_, reads_all):
                self._start(self._read_number(reads_all=reads_all), "read-number")

    def _start(self, work: Coroutine[object, object, None], what: str) -> None:
        self._tasks.session(work, name=f"{what}-{self.slot_nr}")

    def _fail(self, error: ReaderError) -> None:
        self._events.on_failed(self.slot_nr, card_fault(error))

    async def _open_card(self) -> None:
        reader = self.reader
        if reader is None:
            self._fail(ReaderUnavailableError("no reader belongs to this slot"))
            return
        if self._stuck.is_full:
            self._fail(ReaderUnavailableError("no reader is opened while so many hang"))
            return
        atr = await _outcome(reader.open(), "powering the card up", self._deadlines.open_s)
        if isinstance(atr, ReaderError):
            await self._let_go(reader)
            self._fail(atr)
            return
        self._open = reader
        self._events.on_opened(self.slot_nr, atr)

    async def _reset(self, kind: ResetKind) -> None:
        reader = self._open
        if reader is None:
            self._fail(_not_powered())
            return
        reset = reader.cold_reset() if kind is ResetKind.COLD else reader.warm_reset()
        atr = await _outcome(reset, "a reset", self._deadlines.reset_s)
        if isinstance(atr, ReaderError):
            self._fail(atr)
        else:
            self._events.on_reset(self.slot_nr, atr)

    async def _close(self) -> None:
        reader, self._open = self._open, None
        self._serial += 1
        self._is_waiting = False
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if reader is not None:
            await self._let_go(reader)
        self._events.on_closed(self.slot_nr)

    async def _let_go(self, reader: CardReader) -> None:
        """Close a reader; one that hangs even in that is left to itself."""
        try:
            async with asyncio.timeout(self._deadlines.close_s):
                await reader.close()
        except TimeoutError:
            get_logger("readers").warning("reader_not_closed", reader=reader.name, after_s=self._deadlines.close_s)
        self._stuck.look_at(reader)

    async def _read_number(self, *, reads_all: bool) -> None:
        reader, found = self.reader, CardIdentity()
        if reader is None:
            self._events.on_number(self.slot_nr, found, "no reader belongs to this slot")
            return
        error: ReaderError | None
        try:
            async with asyncio.timeout(READING_S):
                error = await _read(reader, found, self.tell_reading, reads_all=reads_all)
        except TimeoutError:
            error = CardMuteError(f"it was not read within {READING_S:g} s")
        finally:
            await self._let_go(reader)
        # A card that gave its number and nothing else is as good as any.
        reason = "" if found.iccid else "the card gives no ICCID" if error is None else card_fault(error).text
        is_busy = not found.iccid and isinstance(error, ReaderBusyError)
        self._events.on_number(self.slot_nr, found, reason, is_busy=is_busy)


async def _read(
    reader: CardReader,
    found: CardIdentity,
    tell: Callable[[bytes, bytes, float], None] | None,
    *,
    reads_all: bool,
) -> ReaderError | None:
    """Power the card up and read its ICCID, and all that it says without a PIN. The caller closes the reader."""
    atr = await _outcome(reader.open())
    if isinstance(atr, ReaderError):
        return atr
    reading = read_identity(found) if reads_all else _read_iccid(found)
    tpdu = next(reading)
    while True:
        began = perf_counter()
        response = await _outcome(reader.transmit(tpdu))
        if isinstance(response, ReaderError) or not MIN_RESPONSE <= len(response) <= MAX_RESPONSE:
            return failure_of(response)
        if tell is not None:
            tell(tpdu, response, perf_counter() - began)
        try:
            tpdu = reading.send(response)
        except StopIteration:
            return None


def _read_iccid(found: CardIdentity) -> Generator[bytes, bytes, None]:
    found.iccid = yield from read_iccid()


async def _outcome(work: Coroutine[object, object, bytes], what: str = "", deadline_s: float | None = None) -> Outcome:
    """What a reader's method returns or raises; with a deadline, a failure to do ``what`` in time."""
    timeout = asyncio.timeout(deadline_s)
    try:
        async with timeout:
            return await work
    except TimeoutError as error:
        return _late(what, deadline_s) if timeout.expired() and deadline_s is not None else as_reader_error(error)
    except Exception as error:  # noqa: BLE001  # a driver's mistake must not leave a slot busy for ever
        return as_reader_error(error)


def _late(what: str, deadline_s: float) -> ReaderError:
    return CardMuteError(f"{what} took longer than {deadline_s:g} s")


def _not_powered() -> ReaderError:
    return ReaderUnavailableError("the card is not powered")
