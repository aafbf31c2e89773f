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
from remsim.readers.base import Presence, PresenceEvent, twins_of
from remsim.readers.pcsc import codes
from remsim.readers.pcsc.scard import (
    COUNTER_SHIFT,
    PNP_NOTIFICATION,
    STATE_CHANGED,
    STATE_PRESENT,
    STATE_UNAVAILABLE,
    STATE_UNAWARE,
    STATE_UNKNOWN,
    Scard,
)

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

_SERVICE_GONE: Final = "PC/SC service gone"
_SERVICE_BACK: Final = "PC/SC service back"

Listener = Callable[[PresenceEvent], None]
#: Finds out where readers are plugged in; may block for some seconds.
PlaceFinder = Callable[[Sequence[str]], dict[str, str]]


class Watcher:
    """Calls ``listener`` in the event loop. Make, start and stop it there."""

    def __init__(self, scard: Scard, listener: Listener, *, find_places: PlaceFinder | None = None) -> None:
        self._scard = scard
        self._find_places = find_places
        #: Where readers are plugged in, as far as that is known. A reader's place is here before its first event.
        self.places: dict[str, str] = {}
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._log = get_logger("readers")
        self._first: asyncio.Future[list[str]] = self._loop.create_future()
        self._wake = threading.Event()
        self._is_stopping = False
        self._context: int | None = None
        self._thread = threading.Thread(target=self._run, name="pcsc-watcher", daemon=True)
        # Raw PC/SC states by reader, in the driver's order. Used in the thread only.
        self._states: dict[str, int] = {}
        self._is_service_there: bool | None = None
        self._twins: frozenset[str] = frozenset()
        self._is_limit_told = False
        self._cause = ""

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

    def _tell(self, reader: str, presence: Presence, atr: bytes | None = None, cause: str = "") -> None:
        self._post(partial(self._listener, PresenceEvent(reader, presence, atr, cause or self._cause)))

    def _say_first(self, names: list[str]) -> None:
        if not self._first.done():
            self._first.set_result(names)

    def _on_service_gone(self, code: int) -> None:
        if self._is_service_there is not False:
            self._log.warning(
                "pcsc_service_gone", error=codes.meaning_of(code), hint="check that pcscd runs and accepts this user"
            )
        self._is_service_there = False
        for name in self._states:
            self._tell(name, Presence.UNKNOWN, cause=_SERVICE_GONE)
        self._states.clear()
        self.places.clear()
        self._post(partial(self._say_first, []))

    def _on_service_there(self) -> None:
        # Not before it has let us watch: one that lists readers and fails then would come and go in the log for ever.
        if self._is_service_there is False:
            self._log.info("pcsc_service_back", readers=len(self._states))
        self._is_service_there = True
        self._cause = ""

    def _watch(self, context: int) -> int:
        """Follow readers until PC/SC fails; return why."""
        pnp_state = STATE_UNAWARE
        while not self._is_stopping:
            code = self._list(context)
            if code != codes.SUCCESS:
                return code
            names = list(self._states)
            if len(names) < MAX_ENTRIES:
                code, pnp_state = self._wait(context, _LOOK_AGAIN_MS, names, pnp_state)
            else:
                code = self._take_turns(context, names)
                # Readers may have come and gone meanwhile: what plug-and-play said before is old.
                pnp_state = STATE_UNAWARE
            if code != codes.SUCCESS:
                return code
            self._on_service_there()
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
        query = [(name, self._states[name]) for name in names]
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
        query = [*((name, self._states[name]) for name in names), (PNP_NOTIFICATION, STATE_UNAWARE)]
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
        if self._is_service_there is False:
            self._cause = _SERVICE_BACK
        twins = self._look_for_twins(listed)
        names = [name for name in listed if name not in twins]
        for name in [name for name in self._states if name not in names]:
            del self._states[name]
            self.places.pop(name, None)
            self._tell(
                name, Presence.UNKNOWN, cause="two readers have this name" if name in twins else "reader unplugged"
            )
        new = [name for name in names if name not in self._states]
        if new and self._find_places is not None:
            self.places |= self._find_places(new)
        self._states |= dict.fromkeys(new, STATE_UNAWARE)
        self._post(partial(self._say_first, list(names)))
        return codes.SUCCESS

    def _look_for_twins(self, listed: Sequence[str]) -> frozenset[str]:
        """Names that several readers have. PC/SC opens readers by name, so nobody can say which one that would be."""
        twins = twins_of(listed)
        for name in sorted(twins - self._twins):
            self._log.warning(
                "readers_of_one_name",
                reader=name,
                readers=listed.count(name),
                text="none of them is served: PC/SC cannot tell them apart",
                hint="give each entry of reader.conf a FRIENDLYNAME of its own and restart pcscd",
            )
        self._twins = twins
        return twins

    def _on_state(self, name: str, state: int, atr: bytes) -> None:
        before = self._states.get(name, STATE_UNAWARE)
        state &= ~STATE_CHANGED
        self._states[name] = state
        now, then = _presence(state), _presence(before)
        if now is Presence.PRESENT and then is Presence.PRESENT:
            if state >> COUNTER_SHIFT == before >> COUNTER_SHIFT:
                return
            # Out and in again between two looks: the card in it is not the one that was powered.
            self._tell(name, Presence.ABSENT)
        elif now is then and before != STATE_UNAWARE:
            return
        self._tell(name, now, atr or None)


def _presence(state: int) -> Presence:
    if state == STATE_UNAWARE or state & (STATE_UNKNOWN | STATE_UNAVAILABLE):
        return Presence.UNKNOWN
    return Presence.PRESENT if state & STATE_PRESENT else Presence.ABSENT
