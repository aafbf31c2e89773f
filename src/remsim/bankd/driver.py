# SPDX-License-Identifier: Apache-2.0
"""The one owner of a slot's reader: runs what the coordinator asks for, and reports how it ended.

Knows no client and takes no decisions. The coordinator asks for one thing at a time, so nothing is queued here.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from remsim.bankd.core.actions import (
    CardAction,
    CloseCard,
    FaultKind,
    OpenCard,
    ReadNumber,
    ResetCard,
    ResetKind,
    Transmit,
)
from remsim.card.iccid import read_iccid
from remsim.card.status import SW_WRONG_LENGTH
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.policy.guard import BLOCKED_RESPONSE
from remsim.readers.base import CardReader
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
from remsim.wire.messages.rspro import MAX_COMMAND, MAX_RESPONSE, MIN_COMMAND, MIN_RESPONSE

#: For the reading of a card's number, its powering up included; a client may be waiting for the card.
READING_S: Final = 5.0
#: What a command gets that is too short to be one; no reader takes it.
_WRONG_LENGTH: Final = SW_WRONG_LENGTH.to_bytes(2)

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


def fault_text(error: ReaderError) -> str:
    """``error`` in words for log and server. Drivers from outside put into theirs what they like, commands included."""
    return scrub(str(error))


class SlotEvents(Protocol):
    """Who hears how operations ended; called in the loop."""

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        """OpenCard is done."""
        ...

    def on_response(self, slot_nr: int, response: bytes) -> None:
        """Transmit is done."""
        ...

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        """ResetCard is done."""
        ...

    def on_closed(self, slot_nr: int) -> None:
        """CloseCard is done."""
        ...

    def on_number(self, slot_nr: int, iccid: str | None, reason: str) -> None:
        """ReadNumber is done; without a number, ``reason`` says why."""
        ...

    def on_failed(self, slot_nr: int, error: ReaderError) -> None:
        """OpenCard, ResetCard or Transmit failed; ``fault_text`` says how, and nothing else may."""
        ...


class CommandGuard(Protocol):
    """Who stands in front of the card."""

    def blocks(self, tpdu: bytes) -> bool:
        """Whether the card must not see this command."""
        ...

    def on_exchange(self, tpdu: bytes, response: bytes) -> None:
        """The card answered a command."""
        ...

    def on_reset(self) -> None:
        """The card was reset."""
        ...


class CardDriver:
    """CardDriver ``slot_nr``. ``reader`` is None while no reader belongs to it, and may be exchanged at any time.

    ``observe`` is told the seconds that the card took for each command that it answered.
    """

    def __init__(self, slot_nr: int, *, events: SlotEvents, tasks: TaskOwner, observe: Callable[[float], None]) -> None:
        self.slot_nr = slot_nr
        self.reader: CardReader | None = None
        self._events = events
        self._tasks = tasks
        self._observe = observe
        # The reader in use between OpenCard and CloseCard, whatever ``reader`` has become meanwhile.
        self._open: CardReader | None = None
        self._began = 0.0
        self._answers_at_once = self._answers_soon = False
        #: Takes the response of a command where that is possible without an event; else returns False.
        self.answer: Callable[[bytes], bool] | None = None
        # A command that failed in ``transmit_now`` comes again as an event; it must not reach the card again.
        self._failure: ReaderError | None = None
        #: Asked before each command, told of each response; None: nobody. Gone when its session's card is powered off,
        #: and may be exchanged at any time.
        self.guard: CommandGuard | None = None
        # The command that runs; and whether the guard has let it pass already.
        self._tpdu = b""
        self._has_passed = False

    @property
    def answers_at_once(self) -> bool:
        """Whether ``transmit_now`` is worth trying with the card that is powered."""
        return self._answers_at_once

    @property
    def answers_soon(self) -> bool:
        """Whether the card that is powered can be asked without a task that waits for it."""
        return self._answers_soon

    def transmit_now(self, tpdu: bytes) -> bytes | None:
        """The response of a card that needs no waiting; None: ask by Transmit, also after a failure."""
        reader = self._open
        if reader is None or not MIN_COMMAND <= len(tpdu) <= MAX_COMMAND:
            return None
        guard = self.guard
        if guard is not None and guard.blocks(tpdu):
            return BLOCKED_RESPONSE
        began = time.perf_counter()
        try:
            response = reader.transmit_now(tpdu)
        except Exception as error:  # noqa: BLE001  # see _reader_error
            self._failure = _reader_error(error)
            return None
        if response is None:
            self._has_passed = guard is not None
            return None
        if not MIN_RESPONSE <= len(response) <= MAX_RESPONSE:
            self._failure = CardTransmissionError(f"the card's response has {len(response)} bytes")
            return None
        self._observe(time.perf_counter() - began)
        if guard is not None:
            guard.on_exchange(tpdu, response)
        return response

    def run(self, action: CardAction) -> None:
        """Begin the operation; exactly one call of ``events`` follows, possibly before this returns."""
        match action:
            case Transmit(_, tpdu):
                self.transmit(tpdu)
            case OpenCard():
                self._start(self._open_card(), "open")
            case ResetCard(_, kind):
                self._start(self._reset(kind), f"{kind.value}-reset")
            case CloseCard():
                self._start(self._close(), "close")
            case ReadNumber():
                self._start(self._read_number(), "read-number")

    def _start(self, work: Coroutine[object, object, None], what: str) -> None:
        self._tasks.session(work, name=f"{what}-{self.slot_nr}")

    def transmit(self, tpdu: bytes) -> None:
        """Begin a command; exactly one call of ``answer`` or ``events`` follows, possibly before this returns."""
        self._began = time.perf_counter()
        failure, self._failure = self._failure, None
        reader = self._open
        if failure is not None or reader is None:
            self._events.on_failed(self.slot_nr, failure or ReaderUnavailableError("the card is not powered"))
            return
        if len(tpdu) < MIN_COMMAND:
            self._hand_over(_WRONG_LENGTH)
            return
        # Kept without a guard, too: one may come while the command runs, and is told of the response.
        has_passed, self._has_passed, self._tpdu = self._has_passed, False, tpdu
        if self.guard is not None and not has_passed and self.guard.blocks(tpdu):
            self._hand_over(BLOCKED_RESPONSE)
            return
        try:
            response = reader.transmit_now(tpdu) if self._answers_at_once else None
        except Exception as error:  # noqa: BLE001  # see _reader_error
            self._events.on_failed(self.slot_nr, _reader_error(error))
            return
        if response is not None:
            self._on_transmitted(response)
        elif not reader.transmit_soon(tpdu, self._on_transmitted):
            self._start(self._transmit_later(reader, tpdu), "transmit")

    def _on_transmitted(self, outcome: bytes | ReaderError) -> None:
        if isinstance(outcome, bytes):
            self._observe(time.perf_counter() - self._began)
            if self.guard is not None:
                self.guard.on_exchange(self._tpdu, outcome)
            self._hand_over(outcome)
        else:
            self._events.on_failed(self.slot_nr, outcome)

    def _hand_over(self, response: bytes) -> None:
        if self.answer is None or not self.answer(response):
            self._events.on_response(self.slot_nr, response)

    async def _transmit_later(self, reader: CardReader, tpdu: bytes) -> None:
        self._on_transmitted(await _outcome(reader.transmit(tpdu)))

    async def _open_card(self) -> None:
        reader = self.reader
        if reader is None:
            self._events.on_failed(self.slot_nr, ReaderUnavailableError("no reader belongs to this slot"))
            return
        atr = await _outcome(reader.open())
        if isinstance(atr, ReaderError):
            await reader.close()
            self._events.on_failed(self.slot_nr, atr)
            return
        self._open = reader
        self._failure = None
        self._answers_at_once = type(reader).transmit_now is not CardReader.transmit_now
        self._answers_soon = type(reader).transmit_soon is not CardReader.transmit_soon
        self._events.on_opened(self.slot_nr, atr)

    async def _reset(self, kind: ResetKind) -> None:
        reader = self._open
        if reader is None:
            self._events.on_failed(self.slot_nr, ReaderUnavailableError("the card is not powered"))
            return
        atr = await _outcome(reader.cold_reset() if kind is ResetKind.COLD else reader.warm_reset())
        if isinstance(atr, ReaderError):
            self._events.on_failed(self.slot_nr, atr)
        else:
            if self.guard is not None:
                self.guard.on_reset()
            self._events.on_reset(self.slot_nr, atr)

    async def _close(self) -> None:
        reader, self._open = self._open, None
        self._answers_at_once = self._answers_soon = False
        self.answer = self.guard = None
        self._has_passed = False
        if reader is not None:
            await reader.close()
        self._events.on_closed(self.slot_nr)

    async def _read_number(self) -> None:
        reader = self.reader
        if reader is None:
            self._events.on_number(self.slot_nr, None, "no reader belongs to this slot")
            return
        try:
            async with asyncio.timeout(READING_S):
                number = await _number_of(reader)
        except TimeoutError:
            number = CardMuteError(f"it was not read within {READING_S:g} s")
        finally:
            await reader.close()
        if isinstance(number, ReaderError):
            self._events.on_number(self.slot_nr, None, fault_text(number))
        else:
            self._events.on_number(self.slot_nr, number, "" if number else "the card gives no ICCID")


async def _number_of(reader: CardReader) -> str | ReaderError | None:
    """Power the card up and read its number. The caller closes the reader."""
    atr = await _outcome(reader.open())
    if isinstance(atr, ReaderError):
        return atr
    reading = read_iccid()
    tpdu = next(reading)
    while True:
        response = await _outcome(reader.transmit(tpdu))
        if isinstance(response, ReaderError):
            return response
        if not MIN_RESPONSE <= len(response) <= MAX_RESPONSE:
            return CardTransmissionError(f"the card's response has {len(response)} bytes")
        try:
            tpdu = reading.send(response)
        except StopIteration as end:
            number: str | None = end.value
            return number


async def _outcome(work: Coroutine[object, object, bytes]) -> bytes | ReaderError:
    """What a reader's method returns or raises."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001  # see _reader_error
        return _reader_error(error)


def _reader_error(error: Exception) -> ReaderError:
    """What a reader raised. Drivers may come from outside, and their mistakes must not leave a slot busy for ever."""
    if isinstance(error, ReaderError):
        return error
    get_logger("bankd").error("driver_error", exc_info=error)
    return CardTransmissionError(f"the reader's driver failed: {type(error).__name__}: {error}")
