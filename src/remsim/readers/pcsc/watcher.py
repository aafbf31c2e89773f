# SPDX-License-Identifier: Apache-2.0
"""Sees cards and readers come and go, and the PC/SC service as well: one thread that mostly sleeps in PC/SC.

pcsc-lite before 2.5 watches at most 16 readers in a call, the plug-and-play entry included, and knows no more than 16
readers at all. So no call here has more than 16 entries: up to 15 readers are watched together with plug-and-play, more
are watched 16 at a time, in turns, and the list is read again between the turns.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from remsim.logs import get_logger
from remsim.readers.base import Presence, PresenceEvent
from remsim.readers.pcsc.scard import (
    COUNTER_SHIFT,
    PNP_NOTIFICATION,
    STATE_CHANGED,
    STATE_EXCLUSIVE,
    STATE_INUSE,
    STATE_PRESENT,
    STATE_UNAVAILABLE,
    STATE_UNAWARE,
    STATE_UNKNOWN,
    Scard,
)
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.states import ReaderStates
from remsim.readers.pcsc_common.usb import FREE, PlaceAnswers, ReaderPlaces

#: Not every driver announces readers that come or go, so the list is read again this often.
_LOOK_AGAIN_MS: Final = 2000
#: Entries that every PC/SC library watches in one call, and readers that pcsc-lite before 2.5 can have.
MAX_ENTRIES: Final = 16
#: Where one call does not suffice, all readers together are watched for this long before it is the first one's turn
#: again, so that a card is seen within about this time.
_ROUND_MS: Final = 500
_LEAST_TURN_MS: Final = 5
#: How often it is tried to reach a service that is gone.
_RETRY_S: Final = 0.5
#: A thread that sits in PC/SC longer than this at the end is left alone.
_STOP_S: Final = 3.0
_CANCEL_EVERY_S: Final = 0.02

Listener = Callable[[PresenceEvent], None]
#: Finds out where readers are plugged in; may block for some seconds.
PlaceFinder = Callable[[Sequence[str]], PlaceAnswers]


class Watcher:
    """Calls ``listener`` in the event loop. Make, start and stop it there."""

    def __init__(self, scard: Scard, listener: Listener, *, find_places: PlaceFinder | None = None) -> None:
        self._scard = scard
        self._find_places = find_places
        self._places = ReaderPlaces()
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._log = get_logger("readers")
        self._first: asyncio.Future[list[str]] = self._loop.create_future()
        self._wake = threading.Event()
        self._is_stopping = False
        self._context: int | None = None
        self._thread = threading.Thread(target=self._run, name="pcsc-watcher", daemon=True)
        # Raw PC/SC states by reader, for the next look at it. This and the following are used in the thread only.
        self._raw: dict[str, int] = {}
        self._states = ReaderStates(self._log)
        self._is_limit_told = False

    @property
    def places(self) -> dict[str, str]:
        """Where readers are plugged in, as far as that is known: before a reader's first event, if it can be asked."""
        return self._places.found

    async def start(self) -> list[str]:
        """Begin; return the readers that are there now, none if the service is not."""
        self._thread.start()
        return await self._first

    async def stop(self) -> None:
        """End the thread."""
        self._is_stopping = True
        self._wake.set()
        deadline = self._loop.time() + _STOP_S
        while self._thread.is_alive() and self._loop.time() < deadline:
            context = self._context
            if context is not None:
                # It has an effect only while the thread waits inside PC/SC, hence again and again.
                self._scard.SCardCancel(context)
            await asyncio.sleep(_CANCEL_EVERY_S)

    # In the thread

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                code, context = self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_USER)
                if code != codes.SUCCESS:
                    self._on_service_gone(code)
                    self._wake.wait(_RETRY_S)
                    continue
                self._context = context
                code = self._watch(context)
                self._context = None
                self._scard.SCardReleaseContext(context)
                if not self._is_stopping:
                    self._on_service_gone(code)
                    self._wake.wait(_RETRY_S)
        except RuntimeError:
            return  # The loop is closed.

    def _post(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    def _tell(self, events: Sequence[PresenceEvent]) -> None:
        for event in events:
            self._post(partial(self._listener, event))

    def _say_first(self, names: list[str]) -> None:
        if not self._first.done():
            self._first.set_result(names)

    def _on_service_gone(self, code: int) -> None:
        self._tell(self._states.on_service_gone(codes.meaning_of(code), "check that pcscd runs and accepts this user"))
        self._raw.clear()
        self._places.on_list(())
        self._post(partial(self._say_first, []))

    def _watch(self, context: int) -> int:
        """Follow readers until PC/SC fails; return why."""
        pnp_state = STATE_UNAWARE
        while not self._is_stopping:
            code = self._list(context)
            if code != codes.SUCCESS:
                return code
            names = self._states.names
            if len(names) < MAX_ENTRIES:
                code, pnp_state = self._wait(context, _LOOK_AGAIN_MS, names, pnp_state)
            else:
                code = self._take_turns(context, names)
                # Readers may have come and gone meanwhile: what plug-and-play said before is old.
                pnp_state = STATE_UNAWARE
            if code != codes.SUCCESS:
                return code
            self._states.on_service_there()
        return codes.SUCCESS

    def _take_turns(self, context: int, names: Sequence[str]) -> int:
        """Watch more readers than fit into a call together with plug-and-play; return why that failed, or SUCCESS."""
        if len(names) == MAX_ENTRIES:
            self._check_limit(context, names)
            return self._wait(context, _LOOK_AGAIN_MS, names, None)[0]
        turns = [names[at : at + MAX_ENTRIES] for at in range(0, len(names), MAX_ENTRIES)]
        for turn in turns:
            code, _ = self._wait(context, max(_ROUND_MS // len(turns), _LEAST_TURN_MS), turn, None)
            if code != codes.SUCCESS or self._is_stopping:
                return code
        return codes.SUCCESS

    def _wait(self, context: int, timeout_ms: int, names: Sequence[str], pnp_state: int | None) -> tuple[int, int]:
        """Wait for a change at these readers, or of the list if ``pnp_state`` is given; return its state from now on.

        Nothing that happens to a reader is a failure; those of PC/SC are returned.
        """
        query = [(name, self._raw[name]) for name in names]
        if pnp_state is not None:
            query.append((PNP_NOTIFICATION, pnp_state))
        code, found = self._scard.SCardGetStatusChange(context, timeout_ms, query)
        code, pnp_state = codes.unsigned(code), pnp_state or STATE_UNAWARE
        if code == codes.SUCCESS:
            for name, state, atr in found:
                if name == PNP_NOTIFICATION:
                    pnp_state = state & ~STATE_CHANGED
                else:
                    self._on_state(name, state, bytes(atr))
        elif code not in (codes.E_TIMEOUT, codes.E_CANCELLED, codes.E_UNKNOWN_READER):
            return code, pnp_state
        return codes.SUCCESS, pnp_state

    def _check_limit(self, context: int, names: Sequence[str]) -> None:
        """Say once that the list is full, where the library is one of those that cannot have more readers."""
        if self._is_limit_told:
            return
        query = [*((name, self._raw[name]) for name in names), (PNP_NOTIFICATION, STATE_UNAWARE)]
        code, _ = self._scard.SCardGetStatusChange(context, 0, query)
        if codes.unsigned(code) != codes.E_INVALID_PARAMETER:
            return
        self._is_limit_told = True
        self._log.warning(
            "pcsc_readers_at_limit",
            readers=len(names),
            text="this version of pcsc-lite has no more than 16 readers; any others are not seen and not served",
            hint="use pcsc-lite 2.5 or later, or a second host for the other readers",
        )

    def _list(self, context: int) -> int:
        code, listed = self._scard.SCardListReaders(context, [])
        if codes.unsigned(code) == codes.E_NO_READERS_AVAILABLE:
            code, listed = codes.SUCCESS, []
        if code != codes.SUCCESS:
            return code
        known = set(self._raw)
        self._tell(self._states.on_list(listed))
        names = self._states.names
        for name in known.difference(names):
            del self._raw[name]
        new = [name for name in names if name not in known]
        self._tell(self._states.on_places(self._look_for_places(new)))
        self._raw |= dict.fromkeys(new, STATE_UNAWARE)
        self._post(partial(self._say_first, names))
        return codes.SUCCESS

    def _look_for_places(self, new: Sequence[str]) -> list[str]:
        """Ask new readers, and those that can be asked now; return which of these have told."""
        self._places.on_list(self._states.names)
        asked = [*new, *self._places.due(self._use_of)]
        if not asked or self._find_places is None:
            return []
        return self._places.on_answers(asked, self._find_places(asked))

    def _use_of(self, name: str) -> int | None:
        state = self._raw.get(name, STATE_UNAWARE)
        if state == STATE_UNAWARE:
            return None
        return -1 if state & STATE_EXCLUSIVE else 1 if state & STATE_INUSE else FREE

    def _on_state(self, name: str, state: int, atr: bytes) -> None:
        state &= ~STATE_CHANGED
        self._raw[name] = state
        if state != STATE_UNAWARE:
            self._tell(self._states.on_state(name, _presence(state), state >> COUNTER_SHIFT, atr))


def _presence(state: int) -> Presence:
    if state & (STATE_UNKNOWN | STATE_UNAVAILABLE):
        return Presence.UNKNOWN
    return Presence.PRESENT if state & STATE_PRESENT else Presence.ABSENT
