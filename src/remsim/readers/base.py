# SPDX-License-Identifier: Apache-2.0
"""The bank side's plug-in interface: a reader, its card, and its reports of cards that come and go.

An implementation may be asynchronous through and through (the software card) or hand blocking calls to a thread of
its own (PC/SC). Callers do not know. One ``CardReader`` belongs to one bank slot; its methods are never called
concurrently, except ``close``.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial

from remsim.core.values import dataclass
from remsim.logs import get_logger
from remsim.net.runtime.tasks import when_done
from remsim.readers.errors import CardTransmissionError, ReaderError
from remsim.redaction import scrub

#: How an exchange with a card ended.
Outcome = bytes | ReaderError
#: Takes the outcome of a command that was not answered at once; called in the event loop.
Done = Callable[[Outcome], None]


class Presence(Enum):
    """What is known of the card in a reader."""

    UNKNOWN = "unknown"  # the reader or its service is not there
    ABSENT = "absent"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class PresenceEvent:
    """A change at a reader: ``reader`` is its name, ``atr`` is given with PRESENT where the driver tells it."""

    reader: str
    presence: Presence
    atr: bytes | None = None
    #: What happened, for the log, where the driver knows more than the change itself.
    cause: str = ""


#: Called in the event loop for every change of presence, and once with the present state after ``watch``.
PresenceListener = Callable[[PresenceEvent], None]


def twins_of(names: Iterable[str]) -> frozenset[str]:
    """Names that occur more than once: which reader such a name means cannot be said, so it may not be used."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


class CardReader(ABC):
    """One card position. All methods raise ``readers.errors.ReaderError`` subclasses only.

    Deadlines are the caller's: a method that takes too long is cancelled, or no longer waited for, and ``close`` is
    called. A reader whose driver hangs then must still let go of it, and say so in ``is_stuck``.
    """

    #: The reader's name as the driver gives it.
    name: str

    _cancel: Callable[[], object] | None = None

    @property
    def is_stuck(self) -> bool:
        """A call at the driver was given up and has not returned; it holds a thread or descriptor until it does."""
        return False

    @abstractmethod
    async def open(self) -> bytes:
        """Power the card up (cold) and return its ATR."""

    @abstractmethod
    async def cold_reset(self) -> bytes:
        """Take VCC away and give it back; return the ATR."""

    @abstractmethod
    async def warm_reset(self) -> bytes:
        """Pulse RST with VCC kept; return the ATR."""

    @abstractmethod
    async def transmit(self, tpdu: bytes) -> bytes:
        """Exchange one command TPDU (5..260 bytes) for the response: data, SW1, SW2 (2..258 bytes).

        61xx and 6Cxx are returned as the card gave them. On an error the outcome is unknown; the caller must not
        repeat the command.
        """

    @abstractmethod
    async def close(self) -> None:
        """Power the card off and let go of it. Never raises; idempotent."""

    def submit(self, tpdu: bytes, done: Done) -> bytes | None:
        """Like ``transmit``, without waiting. This is how a bank sends the commands of its clients.

        Returns the response if it is there at once, and raises if the command fails at once. Otherwise returns None,
        and ``done`` is called later, exactly once, in the event loop, and not at all once the reader is closed.

        This implementation starts a task for ``transmit``. Replace it where a card answers without waiting, or has a
        thread of its own: a task for each command costs more than everything else that a bank does for it.
        """
        self._cancel = when_done(self.transmit(tpdu), partial(_report, done), name=f"transmit {self.name}")
        return None

    def give_up(self) -> None:
        """Nobody waits for the command in progress any more; ``close`` follows.

        This implementation cancels the task of ``submit``; one that replaces ``submit`` needs it only if it has tasks.
        """
        if self._cancel is not None:
            self._cancel()


def _report(done: Done, outcome: bytes | BaseException) -> None:
    if isinstance(outcome, bytes):
        done(outcome)
    elif isinstance(outcome, Exception):
        done(as_reader_error(outcome))
    else:
        done(CardTransmissionError("the command was cancelled"))


def as_reader_error(error: BaseException) -> ReaderError:
    """What a driver raised, as an error of its reader. A mistake in a driver is logged, and costs one command."""
    if isinstance(error, ReaderError):
        return error
    get_logger("readers").error("driver_error", exc_info=error)
    return CardTransmissionError(f"the reader's driver failed: {type(error).__name__}: {scrub(str(error))}")


class ReaderSource(ABC):
    """Where readers come from: PC/SC, software cards, a third party's hardware."""

    @abstractmethod
    async def start(self) -> None:
        """Begin to watch. Raises ReaderUnavailableError only if waiting could never help."""

    @abstractmethod
    async def names(self) -> list[str]:
        """Names of the readers present now, in the driver's order."""

    @abstractmethod
    def watch(self, listener: PresenceListener) -> None:
        """Tell ``listener`` about every card and reader that comes or goes, starting with what is there."""

    @abstractmethod
    def reader(self, name: str) -> CardReader:
        """A ``CardReader`` for the reader of that name; it need not be plugged in yet."""

    def place(self, name: str) -> str:
        """Where the reader of that name is plugged in, in words that stay the same while it stays there; "": unknown.

        Two card positions of one device may be at the same place.
        """
        return ""

    @abstractmethod
    async def stop(self) -> None:
        """Stop watching and free the driver."""
