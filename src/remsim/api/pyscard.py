# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802, N803 - the names of methods and arguments are pyscard's.
"""A remote card in the shape of pyscard's CardConnection: a script changes the line that makes the connection.

Behaves as pyscard does on a reader at TPDU level: T=0, and 61xx and 6Cxx are answers. Observers and error checking
chains of pyscard work. pyscard itself is not needed; in a program that has loaded it, errors can be caught under its
names, too.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Final, Protocol, Self

from remsim.api.arguments import command_list
from remsim.api.card import ANSWER_TIMEOUT_S, Card, connect
from remsim.api.sync import LoopThread
from remsim.card.errors import TpduError
from remsim.core.errors import RemsimError
from remsim.emulators.driven import ExchangeError, NoCardError

#: PC/SC's SCARD_UNPOWER_CARD; any other disposition of ``reconnect`` but "leave" is a warm reset.
_LEAVE_CARD: Final = 0
_UNPOWER_CARD: Final = 2


class CardConnectionError(RemsimError):
    """Not connected, no card, or no answer."""


@dataclass(frozen=True)
class ConnectionEvent:
    """What observers are told; the same fields as pyscard's CardConnectionEvent."""

    type: str
    args: Sequence[object] | None = None


class Observer(Protocol):
    """pyscard's Observer."""

    def update(self, observable: "CardConnection", handlers: ConnectionEvent, /) -> object:
        """Something happened."""
        ...


class ErrorChecker(Protocol):
    """The first of pyscard's error checking chain."""

    def __call__(self, data: list[int], sw1: int, sw2: int, /) -> object:
        """Raise if the status word is an error."""
        ...

    def addFilterException(self, exClass: type[BaseException], /) -> object:
        """Do not raise this one."""
        ...


class CardConnection:
    """One connection; ``connect`` opens it, ``disconnect`` ends it, and it may be opened again."""

    T0_protocol = 0x00000001
    T1_protocol = 0x00000002
    T15_protocol = 0x00000008
    RAW_protocol = 0x00010000

    def __init__(
        self,
        *,
        server: str | None = None,
        client: str | None = None,
        config: str | PathLike[str] | None = None,
        tls: str | PathLike[str] | None = None,
        plaintext: str | bool | None = None,
        card_wait_s: float = 30.0,
        auto_get_response: bool = False,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """As ``remsim.connect``; nothing is connected before ``connect``."""
        self._make: Callable[[], LoopThread] = lambda: LoopThread(
            lambda: connect(
                server=server,
                client=client,
                config=config,
                tls=tls,
                plaintext=plaintext,
                card_wait_s=card_wait_s,
                auto_get_response=auto_get_response,
                answer_timeout_s=answer_timeout_s,
            )
        )
        self._name = f"remsim {client}" if client is not None else "remsim"
        self._thread: LoopThread | None = None
        self._card: Card | None = None
        self._observers: list[Observer] = []
        self._chain: Sequence[ErrorChecker] = ()
        self._protocol = self.T0_protocol

    def connect(self, protocol: int | None = None, mode: int | None = None, disposition: int | None = None) -> None:
        """Wait for the card. Raises CardConnectionError. ``mode`` and ``disposition`` have no meaning here."""
        self._check_protocol(protocol)
        if self._thread is None:
            thread = self._make()
            try:
                self._card = thread.open()
            except NoCardError as error:
                raise _error("NoCardException", error) from error
            self._thread = thread
        self._notify("connect")

    def reconnect(self, protocol: int | None = None, mode: int | None = None, disposition: int | None = None) -> None:
        """Reset the card: cold for SCARD_UNPOWER_CARD, not at all for SCARD_LEAVE_CARD, else warm."""
        self._check_protocol(protocol)
        thread, card = self._connected()
        if disposition == _UNPOWER_CARD:
            thread.run(card.cold_reset())
        elif disposition != _LEAVE_CARD:
            thread.run(card.warm_reset())
        self._notify("reconnect")

    def disconnect(self) -> None:
        """End the connection; the card is powered off. Idempotent."""
        thread, self._thread, self._card = self._thread, None, None
        if thread is not None:
            thread.close()
        self._notify("disconnect")

    def release(self) -> None:
        """As ``disconnect``."""
        self.disconnect()
        self._notify("release")

    def transmit(self, command: Iterable[int], protocol: int | None = None) -> tuple[list[int], int, int]:
        """Send a command APDU, a list of bytes; return data, SW1, SW2. Raises CardConnectionError."""
        self._check_protocol(protocol)
        raw = command_list(command)
        self._notify("command", [raw, protocol])
        thread, card = self._connected()
        try:
            response = thread.run(card.transmit(bytes(raw)))
        except (ExchangeError, TpduError) as error:
            raise _error("CardConnectionException", error) from error
        data = list(response.data)
        self._notify("response", [data, response.sw1, response.sw2])
        if self._chain:
            self._chain[0](data, response.sw1, response.sw2)
        return data, response.sw1, response.sw2

    def doTransmit(self, command: Iterable[int], protocol: int | None = None) -> tuple[list[int], int, int]:
        """As ``transmit``, for decorators of pyscard."""
        return self.transmit(command, protocol)

    def getATR(self) -> list[int]:
        """The card's answer to reset, a list of bytes. Raises CardConnectionError."""
        _, card = self._connected()
        try:
            return list(card.atr)
        except NoCardError as error:
            raise _error("NoCardException", error) from error

    def getReader(self) -> str:
        """A name for people."""
        return self._name

    def getProtocol(self) -> int:
        """T=0."""
        return self._protocol

    def setProtocol(self, protocol: int) -> None:
        """T=0 must be among them. Raises CardConnectionError."""
        self._check_protocol(protocol)

    def control(self, controlCode: int, command: Iterable[int] = ()) -> list[int]:
        """There is no reader that could be told anything. Raises CardConnectionError."""
        raise _error("CardConnectionException", CardConnectionError(f"no control code {controlCode:#x} here"))

    def getAttrib(self, attribId: int) -> list[int]:
        """There is no reader that has attributes. Raises CardConnectionError."""
        raise _error("CardConnectionException", CardConnectionError(f"no attribute {attribId:#x} here"))

    # Observers and error checking

    def addObserver(self, observer: Observer) -> None:
        """Tell ``observer`` of everything from now on."""
        if observer not in self._observers:
            self._observers.append(observer)

    def deleteObserver(self, observer: Observer) -> None:
        """Do not tell it any more."""
        self._observers.remove(observer)

    def deleteObservers(self) -> None:
        """Tell nobody any more."""
        self._observers.clear()

    def countObservers(self) -> int:
        """How many are told."""
        return len(self._observers)

    def setErrorCheckingChain(self, errorcheckingchain: Sequence[ErrorChecker] | None) -> None:
        """Let its first element judge every status word."""
        self._chain = errorcheckingchain or ()

    def addSWExceptionToFilter(self, exClass: type[BaseException]) -> None:
        """Let the chain not raise this one."""
        if self._chain:
            self._chain[0].addFilterException(exClass)

    def __enter__(self) -> Self:
        """For ``with``; connects nothing, as with pyscard."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.disconnect()

    def _notify(self, kind: str, args: Sequence[object] | None = None) -> None:
        for observer in tuple(self._observers):
            observer.update(self, ConnectionEvent(kind, args))

    def _connected(self) -> tuple[LoopThread, Card]:
        if self._thread is None or self._card is None:
            raise _error("CardConnectionException", CardConnectionError("not connected", hint="call connect() first"))
        return self._thread, self._card

    def _check_protocol(self, protocol: int | None) -> None:
        if protocol is not None and not protocol & self.T0_protocol:
            raise _error("CardConnectionException", CardConnectionError("the card is used with T=0 only"))


def _error(pyscard_name: str, cause: RemsimError) -> CardConnectionError:
    """The error to raise; also one of pyscard's if the program has loaded those, because only then can it expect it."""
    theirs = getattr(sys.modules.get("smartcard.Exceptions"), pyscard_name, None)
    error = CardConnectionError(str(cause), hint=cause.hint)
    if isinstance(theirs, type) and issubclass(theirs, Exception):
        both = type(pyscard_name, (CardConnectionError, theirs), {"__init__": _init, "hresult": -1})
        found: object = both(str(cause), cause.hint)
        if isinstance(found, CardConnectionError):
            error = found
    return error


def _init(self: CardConnectionError, message: str, hint: str) -> None:
    """pyscard's exceptions have signatures of their own, which do not matter here."""
    Exception.__init__(self, message)
    self.hint = hint
