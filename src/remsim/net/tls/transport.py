# SPDX-License-Identifier: Apache-2.0
"""TLS between a TCP connection and a link: handshake, check of the peer, then bytes both ways.

The event loops' own TLS is not used: on a failed handshake it drops the alert, so that the peer never learns why it is
refused, and it tells the link of a connection before the peer's certificate was checked. Here each connection uses the
contexts of its moment, an unknown peer costs neither a task nor a link, and both kinds of loop behave the same. A peer
that does not begin like TLS costs next to nothing, and those that do take turns, so that a flood of them delays nobody
else.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, Protocol, cast

from remsim.causes import CLOSED_IN_HANDSHAKE
from remsim.core.limits import LimitName
from remsim.core.values import dataclass
from remsim.net.link import FLUSH_TIMEOUT_S, Link, peer_address
from remsim.net.plain import Networks, dial_plain
from remsim.net.tls.contexts import (
    GREETING_BYTES,
    HANDSHAKE_TIMEOUT_S,
    HandshakeError,
    LinkTls,
    explain,
    greeting_fault,
)

#: A TLS record has at most 16 KiB of content (RFC 8446, clause 5.1).
_RECORD: Final = 1 << 14
#: Within the handshake a sound peer sends some kilobytes, and then waits for us.
MAX_UNREAD: Final = 1 << 16


class HandshakeObserver(Protocol):
    """Who is told about handshakes."""

    def may_start(self, connection: "SecureTransport") -> bool:
        """TCP is up; asked before anything is computed for the peer. False: closed at once, nothing more is told."""
        ...

    def on_refused(self, connection: "SecureTransport", reason: str, *, limit: LimitName | None = None) -> None:
        """The handshake failed, or led to somebody we do not want. The connection may live on to tell the peer so.

        ``limit`` is the one that it reached, if that is why.
        """
        ...

    def on_settled(self, connection: "SecureTransport") -> None:
        """The peer is proven, or the connection gone; may be told twice."""
        ...

    def in_turn(self, connection: "SecureTransport", work: Callable[[], None]) -> None:
        """Do costly work for a peer that is not proven."""
        ...


class SecureTransport(asyncio.Protocol, asyncio.Transport):
    """The protocol of a TCP connection, and towards its link, once the peer is proven, the link's transport."""

    def __init__(
        self, tls: LinkTls, make_link: Callable[[], Link], observer: HandshakeObserver, *, is_server: bool
    ) -> None:
        super().__init__()
        self._tls = tls
        self._make_link = make_link
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._is_server = is_server
        # Made once the peer has begun to greet.
        self._ssl: ssl.SSLObject | None = None
        # The first bytes of a peer that dialled us.
        self._head = b""
        self._is_in_line = False
        # The link has enough to look at.
        self._is_paused = False
        self._link: Link | None = None
        # The outcome of the handshake was told; without a link that means that the peer is refused.
        self._is_judged = False
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    # Called by the loop, as the protocol of TCP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self._tcp = cast(asyncio.Transport, transport)
        #: The other end.
        self.peer = peer_address(transport.get_extra_info("peername"))
        if not self._observer.may_start(self):
            self._is_judged = True
            self._tcp.abort()
            return
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._on_timeout)
        if not self._is_server:
            self._shake_hands()

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._is_judged and (self._link is None or self._link.is_closing):
            return  # refused, or about to be closed; whatever it still says is not kept
        self._incoming.write(data)
        if self._link is not None:
            self._read(self._link)
        elif not self._is_server or self._is_greeting(data):
            self._get_in_line()

    def pause_writing(self) -> None:
        """The write buffer is over its limit."""
        if self._link is not None:
            self._link.pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        if self._timer is not None:
            self._timer.cancel()
        # Link and transport know each other; see Link.connection_lost.
        link, self._link = self._link, None
        if link is not None:
            link.connection_lost(self._error or exc)
        else:
            self._judge(explain(exc) if exc is not None and str(exc) else CLOSED_IN_HANDSHAKE.words)
            self._observer.on_settled(self)

    # Called by the link, as its transport

    def get_extra_info(self, name: str, default: object = None) -> object:
        """What TCP knows."""
        return self._tcp.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Limits for what TCP has not taken yet."""
        self._tcp.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Give the link nothing more for now."""
        self._is_paused = True
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Go on where reading was paused."""
        self._is_paused = False
        if not self._tcp.is_closing():
            self._tcp.resume_reading()
            if self._link is not None:
                self._read(self._link)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._error is not None or self._tcp.is_closing():
            return
        assert self._ssl is not None
        # Without a limit on the buffer OpenSSL takes everything at once.
        self._ssl.write(data)
        self._flush()

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._tcp.is_closing()

    def close(self) -> None:
        """Send what is due and a goodbye, then close."""
        self._say_goodbye()
        self._tcp.close()

    def abort(self) -> None:
        """Close at once."""
        self._tcp.abort()

    # Called by the connection limiter

    def give_way(self) -> None:
        """Close at once: a newcomer gets the place of a peer that has proven nothing. Counted, but not told."""
        self._is_judged = True
        self._tcp.abort()

    # Inside

    def _is_greeting(self, data: bytes) -> bool:
        """Whether the peer has begun like a TLS client; who has not is cut off, because it would read no alert."""
        if len(self._head) < GREETING_BYTES:
            self._head += data[:GREETING_BYTES]
        fault = greeting_fault(self._head)
        limit = None
        if not fault and self._incoming.pending > MAX_UNREAD:
            fault = f"more than {MAX_UNREAD} bytes within the TLS handshake"
            limit = LimitName.TLS_HANDSHAKE
        if fault:
            self._judge(fault, limit)
            self._tcp.abort()
        return not fault and len(self._head) >= GREETING_BYTES

    def _get_in_line(self) -> None:
        if not self._is_in_line:
            self._is_in_line = True
            self._observer.in_turn(self, self._on_turn)

    def _on_turn(self) -> None:
        self._is_in_line = False
        if not self._is_judged and not self._tcp.is_closing():
            self._shake_hands()
        if self._link is not None:
            self._read(self._link)

    def _shake_hands(self) -> None:
        if self._ssl is None:
            context = self._tls.contexts.server if self._is_server else self._tls.contexts.client
            self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=self._is_server)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            # What OpenSSL has written last is the alert that tells the peer why.
            self._flush()
            self._refuse(explain(error))
        else:
            self._flush()
            self._check_peer()

    def _check_peer(self) -> None:
        try:
            certificate = self._tls.check_peer(self._ssl)
        except HandshakeError as error:
            self._say_goodbye()
            self._refuse(str(error))
            return
        if self._timer is not None:
            self._timer.cancel()
        self._is_judged = True
        self._observer.on_settled(self)
        self._link = self._make_link()
        self._link.certificate = certificate
        self._link.connection_made(self)

    def _read(self, link: Link) -> None:
        assert self._ssl is not None
        while not link.is_closing and not self._is_paused:
            try:
                data = self._ssl.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                # Under TLS 1.3 a client that is refused learns it here: its own handshake was over before.
                self._error = error
                self._flush()
                self._tcp.abort()
                return
            if not data:
                self._tcp.close()
                return
            link.data_received(data)
            if not self._incoming.pending and not self._ssl.pending():
                break  # reading on would raise an exception, and that for every TPDU
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._tcp.is_closing():
            self._tcp.write(self._outgoing.read())

    def _say_goodbye(self) -> None:
        assert self._ssl is not None
        try:
            self._ssl.unwrap()
        except (ssl.SSLError, ValueError):
            # It would like to wait for the peer's goodbye; or there is no session that could end.
            pass
        self._flush()

    def _refuse(self, reason: str) -> None:
        """Let the peer read why, then close."""
        if self._timer is not None:
            self._timer.cancel()
        self._judge(reason)
        # Closing while the peer still sends would reset the connection and take the alert away from under it.
        self._tcp.write_eof()
        self._timer = self._loop.call_later(FLUSH_TIMEOUT_S, self._tcp.abort)

    def _judge(self, reason: str, limit: LimitName | None = None) -> None:
        if not self._is_judged:
            self._is_judged = True
            self._observer.on_refused(self, reason, limit=limit)

    def _on_timeout(self) -> None:
        self._judge(f"no TLS handshake within {HANDSHAKE_TIMEOUT_S:g} s", LimitName.TLS_HANDSHAKE_TIME)
        self._tcp.abort()


class _Attempt:
    """The outcome of one dialled handshake."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def may_start(self, _connection: SecureTransport) -> bool:
        return True

    def on_refused(self, _connection: SecureTransport, reason: str, *, limit: LimitName | None = None) -> None:
        self._settle(reason)

    def on_settled(self, _connection: SecureTransport) -> None:
        self._settle("")

    def in_turn(self, _connection: SecureTransport, work: Callable[[], None]) -> None:
        work()

    def _settle(self, reason: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(reason)


async def dial_proven(host: str, port: int, tls: LinkTls, make_link: Callable[[], Link]) -> None:
    """Dial, prove, and start the link. Raises OSError if there is no TCP connection, HandshakeError after that."""
    attempt = _Attempt()
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: SecureTransport(tls, make_link, attempt, is_server=False), host, port
    )
    try:
        reason = await attempt.outcome
    except asyncio.CancelledError:
        transport.abort()
        raise
    if reason:
        raise HandshakeError(reason)


@dataclass(frozen=True, slots=True)
class Dialer:
    """How a link is dialled: over TLS, or without in these networks only."""

    tls: LinkTls | None
    networks: Networks | None

    async def dial(self, host: str, port: int, make_link: Callable[[], Link]) -> None:
        """Connect. Raises OSError, and HandshakeError if this is not allowed."""
        if self.tls is not None:
            await dial_proven(host, port, self.tls, make_link)
        else:
            await dial_plain(host, port, self.networks, make_link)
