# SPDX-License-Identifier: Apache-2.0
"""A TCP connection around one ``wire.link.engine.LinkEngine``. Takes no decisions of its own."""

import asyncio
import socket
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import perf_counter
from typing import Final, Protocol, cast

from remsim.core.limits import LimitName
from remsim.net.allowance import ACCEPTED_RATE, FIRST_RATE, Allowance
from remsim.net.plain import Networks
from remsim.net.runtime.tasks import Alarm
from remsim.net.tls.contexts import PeerCertificate, explain
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.link.engine import EngineMaker, Event, LinkEngine, LinkFailed
from remsim.wire.messages.rspro import Message

#: A peer that lets more than this pile up does not read; it is cut off before it costs us memory. A bankd's mappings,
#: or all that a server tells a client, take a tenth of it.
MAX_WRITE_BUFFER: Final = 1 << 20
#: The same before the peer is accepted: it has been told next to nothing, but may ask for PONG and identity endlessly.
MAX_FIRST_WRITE_BUFFER: Final = 1 << 16
#: So many bytes of one link are looked at in one go, a few hundred of the shortest messages: a millisecond or two. What
#: came with them waits until other links had their turn, and nothing more is read from the peer until then.
PIECE_BYTES: Final = 2048
#: The same before the peer is accepted; an introduction fits.
FIRST_PIECE_BYTES: Final = 512
#: What is still to be written after ``close`` must be gone within this time: a peer that does not read keeps nothing.
FLUSH_TIMEOUT_S: Final = 2.0
#: Linux; None where the platform has no such option.
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


#: Takes the tag and bytes of a command TPDU and the time; returns the response if it is there at once.
TpduHandler = Callable[[int, bytes, float], bytes | None]


class LinkHandler(Protocol):
    """The program's side of its links. Called in the event loop; must not block."""

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """A TCP connection was accepted or established."""
        ...

    def on_event(self, link: LinkId, event: Event) -> None:
        """The peer sent something. Never LinkFailed."""
        ...

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """The link is gone, no matter which end closed it."""
        ...


class LinkOwner(Protocol):
    """What a link needs from the connection manager."""

    def register(self, link: "Link") -> LinkId | None:
        """Give the new link its number; None if it is not wanted any more, and the owner will not hear of its end."""
        ...

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """The link was registered and is wanted."""
        ...

    def on_event(self, link: LinkId, event: Event) -> None:
        """The peer sent something. Never LinkFailed."""
        ...

    def forget(self, link: "Link", reason: str) -> None:
        """The link is closed."""
        ...

    def on_limit(self, limit: LimitName) -> None:
        """The peer has reached this limit, and loses the link."""
        ...

    def on_round_trip(self, link: LinkId, seconds: float) -> None:
        """The peer has answered a PING, after this time."""
        ...

    def in_turn(self, work: Callable[[], None]) -> None:
        """Do work for a link that has had its share, when the others have had theirs."""
        ...


def peer_address(sock_name: object) -> PeerAddress:
    """The address that a socket gives, with IPv4-mapped IPv6 turned into IPv4 (RFC 4291, 2.5.5.2).

    A connection that was reset before anybody looked has no address any more; it gets 0.0.0.0:0 for its last moment.
    """
    if sock_name is None:
        return PeerAddress(IPv4Address(0), 0)
    host, port = cast(tuple[str, int], sock_name)[:2]
    return PeerAddress(_read_host(host), port)


@lru_cache(maxsize=1024)
def _read_host(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Link(asyncio.Protocol):
    """One link, from TCP up to TCP down."""

    def __init__(self, owner: LinkOwner, factory: EngineMaker, networks: Networks | None = None) -> None:
        """``networks`` are those from which the peer of an accepted link without TLS may come; None: all."""
        self._owner = owner
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._on_alarm)
        self._flush_limit: asyncio.TimerHandle | None = None
        self._is_pumping = False
        self._is_accepted = False
        self._is_registered = False
        self._reason = ""
        #: The peer has sent something.
        self.has_heard = False
        # What has come and was not looked at yet, and from where on.
        self._unseen, self._seen = b"", 0
        self._piece_bytes = FIRST_PIECE_BYTES
        self._allowance = Allowance(FIRST_RATE)
        # Runs while nothing is read from a peer that has used up its allowance.
        self._rest: asyncio.TimerHandle | None = None
        self.is_closing = False
        self.networks = networks
        #: Takes each command TPDU of the attached session. If it has no response, ``answer_tpdu`` is called later, or
        #: never.
        self.on_tpdu: TpduHandler | None = None
        #: The program has heard of it, and will hear of its end.
        self.is_announced = False
        #: Whom the peer has proven to be; None on a link without TLS.
        self.certificate: PeerCertificate | None = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self._transport = cast(asyncio.Transport, transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=MAX_FIRST_WRITE_BUFFER)
        self.peer = peer_address(transport.get_extra_info("peername"))
        self.connection: LinkEngine = self._factory(self._loop.time())
        self._limit_silence()
        link_id = self._owner.register(self)
        if link_id is None:
            # Its attempt was cancelled while TCP came up. From uvloop, such a connection gets no connection_lost.
            self.is_closing = True
            self._transport.write(self.connection.data_to_send())
            self._transport.close()
            return
        self.id, self._is_registered = link_id, True
        if self.is_closing:  # nobody wants it any more
            return
        self.is_announced = True
        self._pump(self._announce)

    def _limit_silence(self) -> None:
        """Let the system give up what the peer does not acknowledge when we would give the peer up (RFC 5482).

        Otherwise it keeps sending it for a quarter of an hour, and a peer that is reached again by then gets it.
        """
        if _USER_TIMEOUT is not None:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(self.connection.dead_after_s * 1000))

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self.is_closing:
            return
        if self._unseen:
            self._unseen += data
        elif self._rest is not None:
            self._unseen, self._seen = data, 0
        elif len(data) <= self._piece_bytes:
            if self._look_at(data):
                self._transport.pause_reading()
        else:
            self._transport.pause_reading()
            self._unseen, self._seen = data, 0
            self._look_at_piece()

    def _look_at_piece(self) -> None:
        """Look at the next part of what waits."""
        if self.is_closing:
            self._unseen = b""
            return
        end = self._seen + self._piece_bytes
        piece, self._seen = self._unseen[self._seen : end], end
        is_resting = self._look_at(piece)
        if self._seen >= len(self._unseen):
            self._unseen = b""
        if not is_resting:
            self._go_on()

    def _go_on(self) -> None:
        """Look at what waits when it is this link's turn, or read more."""
        if self._unseen:
            self._owner.in_turn(self._look_at_piece)
        elif not self.is_closing:
            self._transport.resume_reading()

    def _look_at(self, data: bytes) -> bool:
        """Whether the peer has used up its allowance, and nothing more is to be read for a while."""
        self.has_heard = True
        connection, frames, now = self.connection, 1, self._loop.time()
        # The loop's time is not fine enough for a command.
        at = perf_counter() if connection.tells_times else 0.0
        command = connection.receive_tpdu(data, at)
        if command is None:
            before = connection.frames
            connection.receive_data(data, now, at)
            self._pump()
            frames = connection.frames - before or 1
        else:
            self._on_command(command, now)
        pause_s = self._allowance.spend(len(data), frames, now)
        if not pause_s or self.is_closing:
            return False
        self._owner.on_limit(LimitName.READING if self._is_accepted else LimitName.FIRST_READING)
        self._rest = self._loop.call_later(pause_s, self._on_rested)
        return True

    def _on_rested(self) -> None:
        self._rest = None
        self._go_on()

    def _on_command(self, command: tuple[int, bytes], now: float) -> None:
        assert self.on_tpdu is not None
        tag, tpdu = command
        is_sound = False
        try:
            response = self.on_tpdu(tag, tpdu, now)
            if response is not None:
                at = perf_counter() if self.connection.tells_times else 0.0
                self._transport.write(self.connection.answer_tpdu(tag, response, at))
            is_sound = True
        finally:
            if not is_sound:
                self._abort()

    def pause_writing(self) -> None:
        """The write buffer is over its limit."""
        self._owner.on_limit(LimitName.WRITE_BUFFER if self._is_accepted else LimitName.FIRST_WRITE_BUFFER)
        self._reason = self._reason or "the peer does not read"
        self.is_closing = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        self.is_closing = True
        # A link that refers to itself stays until the garbage collector looks, and that stops everybody: a flood of
        # unknown peers must not cost the others a tenth of a second every now and then.
        self._alarm.end()
        if self._rest is not None:
            self._rest.cancel()
        if self._flush_limit is not None:
            self._flush_limit.cancel()
        if self._is_registered:
            self._owner.forget(self, self._reason or self._why(exc))

    def _why(self, error: Exception | None) -> str:
        return explain(error) if error else "closed by the peer"

    # Called by the connection manager

    def send(self, message: Message, reply_to: int | None) -> None:
        """Send a message. Raises LocalProtocolError as the engine does."""
        if self.is_closing:
            return
        self.connection.send(message, now=self._loop.time(), reply_to=reply_to)
        if self.connection.has_failed and not self._is_pumping:
            self._pump()
        else:
            self.flush()

    def accept(self) -> None:
        """The peer is accepted: the limits for unknown peers do not hold for it any more."""
        self._is_accepted, self._piece_bytes = True, PIECE_BYTES
        self.connection.connected()
        self._limit_silence()
        self._transport.set_write_buffer_limits(high=MAX_WRITE_BUFFER)
        self._allowance.widen(ACCEPTED_RATE)
        if self._rest is not None:
            self._rest.cancel()
            self._on_rested()

    def answer_tpdu(self, tag: int, response: bytes) -> None:
        """Answer a command of the attached session. Raises LocalProtocolError if none with this tag waits for that."""
        if not self.is_closing:
            at = perf_counter() if self.connection.tells_times else 0.0
            self._transport.write(self.connection.answer_tpdu(tag, response, at))

    def flush(self) -> None:
        """Write what the engine has ready, unless the pump does it in a moment."""
        if self._is_pumping:
            return
        data = self.connection.data_to_send()
        if data and not self.is_closing:
            self._transport.write(data)
        if self.connection.is_deadline_changed:
            self.connection.is_deadline_changed = False
            self._alarm.set(self.connection.next_deadline())
            if (seconds := self.connection.take_round_trip()) is not None:
                self._owner.on_round_trip(self.id, seconds)

    def close(self, reason: str) -> None:
        """Write what is due, then close."""
        if self.is_closing:
            return
        data = self.connection.data_to_send()
        if data:
            self._transport.write(data)
        self._reason = reason
        self.is_closing = True
        self._transport.close()
        self._flush_limit = self._loop.call_later(FLUSH_TIMEOUT_S, self._on_flush_timeout)

    def give_way(self) -> None:
        """Close at once: a newcomer gets the place of a peer that was not accepted."""
        self._reason = self._reason or "not accepted in time: a newcomer needed the place"
        self.is_closing = True
        self._transport.abort()

    # The rest

    def _announce(self) -> None:
        self._owner.on_link_up(self.id, self.peer)

    def _pump(self, first: Callable[[], None] | None = None) -> None:
        connection, owner = self.connection, self._owner
        self._is_pumping = True
        is_sound = False
        try:
            if first is not None:
                first()
            while not self.is_closing and (event := connection.next_event()) is not None:
                if isinstance(event, LinkFailed):
                    if event.limit is not None:
                        owner.on_limit(event.limit)
                    self.close(event.reason)
                else:
                    owner.on_event(self.id, event)
            is_sound = True
        finally:
            self._is_pumping = False
            if not is_sound:
                self._abort()
        if not self.is_closing:
            self.flush()

    def _abort(self) -> None:
        """The program failed over this link: it ends, and the loop's handler logs the traceback."""
        self._reason = self._reason or "internal error"
        self.is_closing = True
        self._transport.abort()

    def _on_flush_timeout(self) -> None:
        self._owner.on_limit(LimitName.CLOSING_TIME)
        self._transport.abort()

    def _on_alarm(self) -> None:
        self.connection.handle_timer(self._loop.time())
        self.connection.is_deadline_changed = True
        self._pump()
