# SPDX-License-Identifier: Apache-2.0
"""State tables of a bank: connections, cards, breakers. The diagrams in the docs are drawn from here."""

from typing import Final

from remsim.core.state_machine import Event, State, Transitions


class ConnectionState(State):
    """A connection: what one TCP connection to the bank is about (rspro.md, 9.2: the "worker")."""

    INIT = "INIT"  # a slot of a bank that does not listen yet
    ACCEPTING = "ACCEPTING"  # a slot without a peer
    CONNECTED_WAIT_ID = "CONNECTED_WAIT_ID"  # connected; the peer has not said who it is, or that is being checked
    CONNECTED_CLIENT = "CONNECTED_CLIENT"  # a client; its mapping is being looked up
    CONNECTED_CLIENT_WAIT_MAP = "CONNECTED_CLIENT_WAIT_MAP"  # no mapping names this client
    CONNECTED_CLIENT_MAPPED = "CONNECTED_CLIENT_MAPPED"  # mapped; the card is not powered yet, or cannot be
    CONNECTED_CLIENT_MAPPED_CARD = "CONNECTED_CLIENT_MAPPED_CARD"  # in service
    CONNECTED_CLIENT_UNMAPPED = "CONNECTED_CLIENT_UNMAPPED"  # mapping removed; the connection is being closed
    CONNECTED_SERVER = "CONNECTED_SERVER"  # the peer is a server: an ordinary control link


class ConnectionInput(Event):
    """What moves a connection."""

    LISTENING = "bank listens"
    STOPPED = "bank stops"
    TCP_UP = "TCP up"
    IS_CLIENT = "connectClientReq of a client"
    IS_SERVER = "connectClientReq of a server"
    MAPPED = "mapping found"
    NOT_MAPPED = "no mapping"
    CARD_OPENED = "card powered"
    CARD_LOST = "card gone or faulty"
    UNMAPPED = "mapping removed"
    ENDED = "TCP down"


_S, _E = ConnectionState, ConnectionInput

CONNECTION_TRANSITIONS: Final[Transitions[ConnectionState, ConnectionInput]] = Transitions(
    "connection",
    {
        (_S.INIT, _E.LISTENING): _S.ACCEPTING,
        (_S.ACCEPTING, _E.STOPPED): _S.INIT,
        (_S.ACCEPTING, _E.TCP_UP): _S.CONNECTED_WAIT_ID,
        (_S.CONNECTED_WAIT_ID, _E.IS_CLIENT): _S.CONNECTED_CLIENT,
        (_S.CONNECTED_WAIT_ID, _E.IS_SERVER): _S.CONNECTED_SERVER,
        (_S.CONNECTED_CLIENT, _E.MAPPED): _S.CONNECTED_CLIENT_MAPPED,
        (_S.CONNECTED_CLIENT, _E.NOT_MAPPED): _S.CONNECTED_CLIENT_WAIT_MAP,
        (_S.CONNECTED_CLIENT_WAIT_MAP, _E.MAPPED): _S.CONNECTED_CLIENT_MAPPED,
        (_S.CONNECTED_CLIENT_MAPPED, _E.CARD_OPENED): _S.CONNECTED_CLIENT_MAPPED_CARD,
        (_S.CONNECTED_CLIENT_MAPPED_CARD, _E.CARD_LOST): _S.CONNECTED_CLIENT_MAPPED,
        (_S.CONNECTED_CLIENT_MAPPED, _E.UNMAPPED): _S.CONNECTED_CLIENT_UNMAPPED,
        (_S.CONNECTED_CLIENT_MAPPED_CARD, _E.UNMAPPED): _S.CONNECTED_CLIENT_UNMAPPED,
        (_S.CONNECTED_WAIT_ID, _E.ENDED): _S.ACCEPTING,
        (_S.CONNECTED_CLIENT_WAIT_MAP, _E.ENDED): _S.ACCEPTING,
        (_S.CONNECTED_CLIENT_MAPPED, _E.ENDED): _S.ACCEPTING,
        (_S.CONNECTED_CLIENT_MAPPED_CARD, _E.ENDED): _S.ACCEPTING,
        (_S.CONNECTED_CLIENT_UNMAPPED, _E.ENDED): _S.ACCEPTING,
        (_S.CONNECTED_SERVER, _E.ENDED): _S.ACCEPTING,
    },
)


class CardState(State):
    """A card position. At most one operation runs at a time; none is ever interrupted or repeated."""

    OFF = "OFF"  # not powered; nobody wants it
    READING = "READING"  # its ICCID is being read, for nobody; powered off afterwards
    WAITING = "WAITING"  # wanted, but there is no card, or it could not be powered
    OPENING = "OPENING"  # being powered up
    READY = "READY"  # powered and idle
    BUSY = "BUSY"  # a command or reset runs
    CLOSING = "CLOSING"  # being powered off


class CardEvent(Event):
    """What moves a card position."""

    READ = "its ICCID is not known"
    NUMBER = "reading is over"
    WANTED = "a client wants it"
    NO_CARD = "a client wants it, the reader is empty"
    NOT_YET = "a client wants it, the reader failed just now"
    OPENED = "powered"
    OPEN_FAILED = "could not be powered"
    RETRY = "card inserted, or delay over"
    COMMAND = "command or reset begins"
    DONE = "command or reset is done"
    FAULT = "command or reset failed"
    RELEASED = "no client wants it, or the card is gone"
    CLOSED = "powered off"


_C, _V = CardState, CardEvent

CARD_TRANSITIONS: Final[Transitions[CardState, CardEvent]] = Transitions(
    "card position",
    {
        (_C.OFF, _V.READ): _C.READING,
        (_C.READING, _V.NUMBER): _C.OFF,
        (_C.OFF, _V.WANTED): _C.OPENING,
        (_C.OFF, _V.NO_CARD): _C.WAITING,
        (_C.OFF, _V.NOT_YET): _C.WAITING,
        (_C.WAITING, _V.READ): _C.READING,
        (_C.WAITING, _V.RETRY): _C.OPENING,
        (_C.WAITING, _V.RELEASED): _C.OFF,
        (_C.OPENING, _V.OPENED): _C.READY,
        (_C.OPENING, _V.OPEN_FAILED): _C.WAITING,
        (_C.READY, _V.COMMAND): _C.BUSY,
        (_C.READY, _V.RELEASED): _C.CLOSING,
        (_C.BUSY, _V.DONE): _C.READY,
        (_C.BUSY, _V.FAULT): _C.CLOSING,
        (_C.CLOSING, _V.CLOSED): _C.OFF,
    },
)


class BreakerState(State):
    """How much a reader is trusted."""

    CLOSED = "CLOSED"  # the card is powered when it is wanted
    OPEN = "OPEN"  # the reader has failed several times in a row; it is left alone for a while
    PROBING = "PROBING"  # the card is being powered up, or is powered, and has not answered a command yet


class BreakerEvent(Event):
    """What moves a breaker."""

    TRIPPED = "several failures in a row"
    INTERVAL_OVER = "interval over, and a client wants the card"
    PROBE_FAILED = "it failed again"
    ANSWERED = "a command was answered"
    EXCHANGED = "card or reader came or went"


_B, _W = BreakerState, BreakerEvent

BREAKER_TRANSITIONS: Final[Transitions[BreakerState, BreakerEvent]] = Transitions(
    "breaker",
    {
        (_B.CLOSED, _W.TRIPPED): _B.OPEN,
        (_B.OPEN, _W.INTERVAL_OVER): _B.PROBING,
        (_B.PROBING, _W.PROBE_FAILED): _B.OPEN,
        (_B.PROBING, _W.ANSWERED): _B.CLOSED,
        (_B.OPEN, _W.EXCHANGED): _B.CLOSED,
        (_B.PROBING, _W.EXCHANGED): _B.CLOSED,
    },
)


class HoldState(State):
    """A card session: whether it outlives its link."""

    ATTACHED = "ATTACHED"  # has a connection, and ends with it
    RESUMABLE = "RESUMABLE"  # has a connection, and outlives it: its client has a token
    DETACHED = "DETACHED"  # its link is lost; it is held for its client
    ENDED = "ENDED"  # nobody can return to it


class HoldEvent(Event):
    """What moves a card session."""

    OFFERED = "card powered, client got a token"
    LINK_LOST = "link lost"
    RETURNED = "client is back"
    OVER = "card gone, hold time over, or ended"


_HS, _HE = HoldState, HoldEvent

HOLD_TRANSITIONS: Final[Transitions[HoldState, HoldEvent]] = Transitions(
    "card session",
    {
        (_HS.ATTACHED, _HE.OFFERED): _HS.RESUMABLE,
        (_HS.RESUMABLE, _HE.LINK_LOST): _HS.DETACHED,
        # Over a link that was still thought to be alive.
        (_HS.RESUMABLE, _HE.RETURNED): _HS.RESUMABLE,
        (_HS.DETACHED, _HE.RETURNED): _HS.RESUMABLE,
        (_HS.RESUMABLE, _HE.OVER): _HS.ATTACHED,
        (_HS.DETACHED, _HE.OVER): _HS.ENDED,
    },
)
