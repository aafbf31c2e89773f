# SPDX-License-Identifier: Apache-2.0
"""The same for programs without an event loop: a thread has one and does the work."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from os import PathLike
from typing import TypeVar

from remsim.api.card import ANSWER_TIMEOUT_S, Card, connect
from remsim.card.apdu import ResponseApdu
from remsim.core.ids import BankSlot, ClientSlot

T = TypeVar("T")


class LoopThread:
    """Holds one ``connect`` open in a thread of its own, from ``open`` to ``close``."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Card]]) -> None:
        self._make = make
        self._opened: Future[Card] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holder: asyncio.Task[None] | None = None
        # A program that forgets to close must still be able to end.
        self._thread = threading.Thread(target=self._work, name="remsim", daemon=True)

    def open(self) -> Card:
        """Start, and wait for the card. Raises what ``connect`` raises."""
        self._thread.start()
        try:
            return self._opened.result()
        except BaseException:
            self.close()
            raise

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do ``work`` in the thread's loop and return its result."""
        if self._loop is None:
            work.close()
            raise RuntimeError("not connected")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Hang up and end the thread. Idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None and self._holder is not None:
            # The loop is closed already if there was no card.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._holder.cancel)
        self._thread.join()

    def _work(self) -> None:
        try:
            asyncio.run(self._hold())
        except asyncio.CancelledError:
            return
        except Exception as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _hold(self) -> None:
        self._loop, self._holder = asyncio.get_running_loop(), asyncio.current_task()
        async with self._make() as card:
            self._opened.set_result(card)
            await asyncio.Event().wait()


class SyncCard:
    """A remote card for a program without an event loop. Made by ``connect_sync``; may be used by several threads."""

    def __init__(self, thread: LoopThread, card: Card) -> None:
        self._thread = thread
        self._card = card

    @property
    def atr(self) -> bytes:
        """The card's answer to reset. Raises NoCardError while the card is away."""
        return self._card.atr

    @property
    def is_present(self) -> bool:
        """Whether the card is there."""
        return self._card.is_present

    @property
    def client_slot(self) -> ClientSlot | None:
        """Our own slot; None until the server has given a number."""
        return self._card.client_slot

    @property
    def bank_slot(self) -> BankSlot | None:
        """Where the card is; None while no mapping says so."""
        return self._card.bank_slot

    def wait_card(self, timeout_s: float) -> bytes:
        """Return the ATR as soon as the card is there. Raises NoCardError after ``timeout_s``."""
        return self._thread.run(self._card.wait_card(timeout_s))

    def transmit(self, apdu: bytes | bytearray | memoryview) -> ResponseApdu:
        """As ``Card.transmit``."""
        return self._thread.run(self._card.transmit(apdu))

    def cold_reset(self) -> None:
        """As ``Card.cold_reset``."""
        self._thread.run(self._card.cold_reset())

    def warm_reset(self) -> None:
        """As ``Card.warm_reset``."""
        self._thread.run(self._card.warm_reset())


@contextmanager
def connect_sync(
    *,
    server: str | None = None,
    client: str | None = None,
    config: str | PathLike[str] | None = None,
    tls: str | PathLike[str] | None = None,
    plaintext: str | bool | None = None,
    card_wait_s: float = 30.0,
    auto_get_response: bool = False,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> Iterator[SyncCard]:
    """As ``connect``, for the time of a ``with`` block."""
    thread = LoopThread(
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
    card = thread.open()
    try:
        yield SyncCard(thread, card)
    finally:
        thread.close()
