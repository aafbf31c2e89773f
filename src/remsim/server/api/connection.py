# SPDX-License-Identifier: Apache-2.0
"""One HTTP connection: uvicorn's, which waits for ever, with a time limit for whatever the peer is to do next."""

import asyncio
import sys
from collections.abc import Callable
from enum import Enum
from typing import Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from remsim.core.limits import LimitCounts, LimitName
from remsim.server.api import limits

#: RFC 6585, clause 5: what h11 says of a head that is too long.
_HEAD_TOO_LONG: Final = 431


#: Under this name the state of a request has what is to be called once its token is found good.
ON_PROVEN: Final = "on_proven"


class _Awaited(Enum):
    """What the peer owes."""

    HEAD = LimitName.REST_HEAD_TIME
    BODY = LimitName.REST_BODY_TIME
    NOTHING = None


class RestConnection(H11Protocol):
    """See the module. ``on_closed`` is called once, when TCP is down; ``on_proven`` when a request has a good token."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        counts: LimitCounts,
        on_closed: Callable[[], None],
        on_proven: Callable[[], None],
    ) -> None:
        # What judges requests finds it in their state.
        super().__init__(config, server_state, {ON_PROVEN: on_proven})
        self._counts = counts
        self._on_closed = on_closed
        #: The peer of TCP, and of TLS if there is any, is there.
        self.is_made = False
        self._is_lost = False
        self._awaited = _Awaited.NOTHING
        self._has_asked = False
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """There is a peer."""
        self.is_made = True
        super().connection_made(transport)
        # With next to nothing kept, ``pause_writing`` tells that the peer does not take an answer. A limit of 0 would
        # have asyncio's TLS pause with nothing to send, and nobody to wake it.
        transport.set_write_buffer_limits(high=1)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        if self._is_lost:
            return
        self._is_lost = True
        for timer in (self._reading, self._writing):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._on_closed()

    def on_dropped(self) -> None:
        """The loop was told to give the connection up while it handed it over. uvloop then closes it without a word."""
        if self.is_made:
            self._unset_keepalive_if_required()
            self.connection_lost(ConnectionAbortedError())

    def handle_events(self) -> None:
        """Bytes came, or may be looked at now."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is on its way."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP, or too long."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == _HEAD_TOO_LONG:
            self._counts.reached(LimitName.REST_HEAD)
        super().send_400_response(msg)

    def end_if_unfinished(self) -> None:
        """The server stops: a request that is not there as a whole is not waited for."""
        if self._awaited is not _Awaited.NOTHING:
            self.transport.abort()

    # What the peer is to take

    def pause_writing(self) -> None:
        """The peer does not take all that is sent at once."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """It took everything."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._writing = self.loop.call_later(limits.ANSWER_TIME_S, self._on_slow_reader, waiting)

    def _on_slow_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._await_reader()
        else:
            self._end(LimitName.REST_ANSWER_TIME)

    # What the peer is to do next

    def _find_awaited(self) -> _Awaited:
        if self.transport.is_closing():
            return _Awaited.NOTHING
        if self.conn.their_state is h11.SEND_BODY:
            return _Awaited.BODY
        # Between requests uvicorn waits for the first byte of the next one by itself.
        if self.conn.their_state is h11.IDLE and (not self._has_asked or self.conn.trailing_data[0]):
            return _Awaited.HEAD
        return _Awaited.NOTHING

    def _watch(self) -> None:
        self._has_asked |= self.conn.their_state is not h11.IDLE
        awaited = self._find_awaited()
        if awaited is self._awaited:
            return
        self._awaited = awaited
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if awaited.value is not None:
            time_s = limits.HEAD_TIME_S if awaited is _Awaited.HEAD else limits.BODY_TIME_S
            self._reading = self.loop.call_later(time_s, self._end, awaited.value)

    def _end(self, limit: LimitName) -> None:
        self._counts.reached(limit)
        self.transport.abort()
