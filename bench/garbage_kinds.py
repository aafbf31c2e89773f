# SPDX-License-Identifier: Apache-2.0
"""What the generator of garbage sends over one connection; each kind is meant to reach another part of a program."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from bench.frames import CLIENT, frame
from remsim.core.ids import ClientSlot
from remsim.wire import ipa
from remsim.wire.messages.rspro import ConnectClientReq

#: Bytes of one random piece.
_SIZES: Final = (16, 512)
#: One piece of what claims to be huge, and how many of them there are.
_HUGE_PIECE: Final = 1024
_HUGE_PIECES: Final = 60
#: Nobody that is measured has a number from here on.
_UNKNOWN_CLIENTS: Final = range(900, 1000)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a connection sends: ``pieces``, one after the other, ``interval_s`` apart; then it waits for its end."""

    kind: str
    pieces: list[bytes]
    interval_s: float = 1.0


def _client_hello() -> bytes:
    """The first message of a TLS 1.3 client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="bench.example").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


_HELLO: Final = _client_hello()


def _junk(random: Random) -> bytes:
    return random.randbytes(random.randint(*_SIZES))


def _introduction(random: Random) -> bytes:
    return frame(ConnectClientReq(CLIENT, ClientSlot(random.choice(_UNKNOWN_CLIENTS), random.randrange(1000))))


def _random_bytes(random: Random) -> Plan:
    return Plan("random bytes", [_junk(random)])


def _half(random: Random) -> Plan:
    """A sound beginning, of RSPRO or of TLS, whose rest comes a byte at a time and never to its end."""
    whole = random.choice((_introduction(random), _HELLO))
    return Plan("half frames", [whole[:9], *(whole[index : index + 1] for index in range(9, len(whole) - 1))])


def _framed_junk(random: Random) -> Plan:
    """A frame with a right header and an impossible message."""
    return Plan("framed junk", [ipa.encode_rspro(_junk(random))])


def _huge(random: Random) -> Plan:
    """The longest frame that a header can announce, or the longest TLS greeting, in large pieces."""
    head = random.choice((b"\xff\xff\xee\x07", b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03"))
    pieces = [head + random.randbytes(_HUGE_PIECE), *(random.randbytes(_HUGE_PIECE) for _ in range(_HUGE_PIECES))]
    return Plan("huge frames", pieces, 0.05)


def _tls_junk(random: Random) -> Plan:
    """A TLS record header, and nothing of TLS behind it."""
    junk = _junk(random)
    return Plan("TLS junk", [b"\x16\x03\x01%c%c" % (len(junk) >> 8, len(junk) & 0xFF) + junk])


def _hello(random: Random) -> Plan:
    """A sound beginning of TLS, which is answered with all that is expensive, and junk in the place of the rest."""
    return Plan("TLS hellos", [_HELLO, b"\x17\x03\x03\x00\x40" + random.randbytes(64)], 0.2)


def _unknown(random: Random) -> Plan:
    """A sound connect request of an unknown client, and then silence."""
    return Plan("unknown clients", [_introduction(random)])


#: How many of each kind there are among the connections, of twenty.
KINDS: Final[dict[str, tuple[int, Callable[[Random], Plan]]]] = {
    "random": (5, _random_bytes),
    "half": (2, _half),
    "framed": (3, _framed_junk),
    "huge": (2, _huge),
    "tls-junk": (3, _tls_junk),
    "hello": (4, _hello),
    "unknown": (1, _unknown),
}


def choose(random: Random, kinds: list[str]) -> Plan:
    """What the next connection sends, if it is to be of one of these kinds."""
    (kind,) = random.choices(kinds, weights=[KINDS[kind][0] for kind in kinds])
    return KINDS[kind][1](random)
