# SPDX-License-Identifier: Apache-2.0
"""Plays a recorded session of real programs against one of our coordinators, without sockets or waiting.

The recorded frames of the other roles go in through real link engines, what the role under test sends comes out of
them, and both are compared per connection: byte for byte, with names, versions and operation tags set to the same
values, PING and PONG aside. A strict decoder of the classic schema must accept all that we send. What happened outside
RSPRO (REST calls, lines typed, cards) reaches the coordinator through the adapter's ``on_action``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol, TypedDict, cast

from remsim.wire.ipa import FrameReader
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkAction, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import Event, LinkEngine, LinkFailed
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import Message, RsproPdu, UnknownMessage
from tests.doubles import strict_asn1

_LINK_ACTIONS = (Send, Close, Accepted, Probe, AskIdentity)


class _JsonConnection(TypedDict):
    conn: int
    client_end: str
    server_end: str
    opened_ms: float
    closed_ms: float | None
    closed_by: str | None


class _JsonAction(TypedDict):
    t_ms: float
    what: str


_JsonMessage = TypedDict("_JsonMessage", {"conn": int, "from": str, "to": str, "t_ms": float, "hex": str})


class _JsonSession(TypedDict):
    title: str
    note: str
    peers: dict[str, str]
    connections: list[_JsonConnection]
    actions: list[_JsonAction]
    messages: list[_JsonMessage]


@dataclass(frozen=True, slots=True)
class RecordedConnection:
    """One TCP connection: who dialled whom, when (s), and how it ended."""

    number: int
    dialled_by: str
    accepted_by: str
    opened_s: float
    closed_s: float | None
    closed_by: str | None

    @property
    def was_refused(self) -> bool:
        """Nobody listened."""
        return (self.closed_by or "").startswith("refused")


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One IPA frame on the wire."""

    connection: int
    sender: str
    receiver: str
    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A session file of ``tests/reference/vectors/rspro``."""

    title: str
    peers: dict[str, str]
    connections: tuple[RecordedConnection, ...]
    actions: tuple[tuple[float, str], ...]
    frames: tuple[RecordedFrame, ...]


def load_session(reference: Path, number: int) -> RecordedSession:
    """Read session ``number`` (1..31) below the folder ``reference``."""
    (path,) = (reference / "vectors" / "rspro").glob(f"{number:02}_*.json")
    recorded = cast(_JsonSession, json.loads(path.read_text(encoding="utf-8")))
    connections = tuple(
        RecordedConnection(
            entry["conn"],
            entry["client_end"],
            entry["server_end"],
            entry["opened_ms"] / 1000,
            None if entry["closed_ms"] is None else entry["closed_ms"] / 1000,
            entry["closed_by"],
        )
        for entry in recorded["connections"]
    )
    frames = tuple(
        RecordedFrame(entry["conn"], entry["from"], entry["to"], entry["t_ms"] / 1000, bytes.fromhex(entry["hex"]))
        for entry in recorded["messages"]
    )
    actions = tuple((entry["t_ms"] / 1000, entry["what"]) for entry in recorded["actions"])
    return RecordedSession(recorded["title"], recorded["peers"], connections, actions, frames)


class Adapter(Protocol):
    """The role under test: its coordinator, and stand-ins for what is around it."""

    def connection(self, recorded: RecordedConnection, now: float) -> LinkEngine:
        """Our end of a connection."""
        ...

    def on_link_up(self, link: LinkId, peer: PeerAddress, recorded: RecordedConnection, now: float) -> list[object]:
        """As the coordinator's, with the recorded connection to tell which link it is."""
        ...

    def on_event(self, link: LinkId, event: Event, now: float) -> list[object]:
        """As the coordinator's."""
        ...

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[object]:
        """As the coordinator's."""
        ...

    def next_deadline(self) -> float | None:
        """As the coordinator's."""
        ...

    def handle_timer(self, now: float) -> list[object]:
        """As the coordinator's."""
        ...

    def on_action(self, what: str, now: float) -> list[object]:
        """Something happened outside RSPRO, in the words of the recording."""
        ...

    def perform(self, action: object, now: float) -> list[object]:
        """Carry out an action that is not about links; may lead to further actions."""
        ...


@dataclass(slots=True)
class PlayedConnection:
    """What came of one recorded connection: normalised frames expected and sent, and whether we closed it."""

    recorded: RecordedConnection
    expected: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    was_closed_by_us: bool = False


@dataclass(slots=True)
class _LiveLink:
    link: LinkId
    connection: LinkEngine
    played: PlayedConnection
    reader: FrameReader
    is_open: bool = True


class Player:
    """Plays one session against one role. ``now`` runs as recorded, starting at 1 000 s."""

    START_S = 1000.0

    def __init__(self, session: RecordedSession, role: str, adapter: Adapter) -> None:
        self._session = session
        self._role = role
        self._adapter = adapter
        self._links: dict[int, _LiveLink] = {}
        self.played: dict[int, PlayedConnection] = {}

    def run(self, *, tail_s: float = 0.0) -> dict[int, PlayedConnection]:
        """Play to the end, then let ``tail_s`` seconds pass; return what came of the role's connections."""
        now = self.START_S
        # Within one millisecond, what was sent before a connection was closed comes first.
        for at_s, step in sorted(self._steps(), key=lambda entry: (entry[0], isinstance(entry[1], tuple))):
            self._let_time_pass(self.START_S + at_s)
            now = self.START_S + at_s
            self._step(step, now)
        self._let_time_pass(now + tail_s)
        return self.played

    def _steps(self) -> Iterator[tuple[float, RecordedConnection | RecordedFrame | str | tuple[str, int]]]:
        for connection in self._session.connections:
            if self._role in (connection.dialled_by, connection.accepted_by) and not connection.was_refused:
                yield connection.opened_s, connection
                if connection.closed_s is not None and connection.closed_by != self._role:
                    yield connection.closed_s, ("closed", connection.number)
        for frame in self._session.frames:
            if frame.connection in {c.number for c in self._session.connections}:
                yield frame.at_s, frame
        yield from self._session.actions

    def _step(self, step: RecordedConnection | RecordedFrame | str | tuple[str, int], now: float) -> None:
        match step:
            case RecordedConnection():
                self._open(step, now)
            case RecordedFrame():
                self._frame(step, now)
            case str():
                self._carry_out(self._adapter.on_action(step, now), now)
            case (_, number):
                self._lose(self._links[number], "closed by the peer", now)

    def _open(self, recorded: RecordedConnection, now: float) -> None:
        link = LinkId(recorded.number)
        played = PlayedConnection(recorded)
        live = _LiveLink(link, self._adapter.connection(recorded, now), played, FrameReader())
        self._links[recorded.number] = live
        self.played[recorded.number] = played
        peer = PeerAddress(IPv4Address("127.0.0.1"), 40000 + recorded.number)
        self._carry_out(self._adapter.on_link_up(link, peer, recorded, now), now)
        self._drain(live, now)

    def _frame(self, frame: RecordedFrame, now: float) -> None:
        live = self._links.get(frame.connection)
        if live is None:
            return
        if frame.sender == self._role:
            live.played.expected.extend(normalised_frames(frame.data))
        elif live.is_open:
            live.connection.receive_data(frame.data, now)
            self._drain(live, now)

    def _drain(self, live: _LiveLink, now: float) -> None:
        while live.is_open and (event := live.connection.next_event()) is not None:
            if isinstance(event, LinkFailed):
                self._close(live, event.reason, now)
            else:
                self._carry_out(self._adapter.on_event(live.link, event, now), now)
        self._collect(live)

    def _collect(self, live: _LiveLink) -> None:
        live.played.sent.extend(normalised_frames(_strictly(live.connection.data_to_send())))

    def _carry_out(self, actions: list[object], now: float) -> None:
        for action in actions:
            if isinstance(action, _LINK_ACTIONS):
                self._link_action(action, now)
            else:
                self._carry_out(self._adapter.perform(action, now), now)

    def _link_action(self, action: LinkAction, now: float) -> None:
        live = self._links[int(action.link)]
        if not live.is_open:
            return
        match action:
            case Send():
                live.connection.send(action.message, now=now, reply_to=action.reply_to)
                self._collect(live)
            case Close():
                self._close(live, action.reason, now)
            case Accepted():
                live.connection.connected()
            case Probe():
                live.connection.probe(now, action.timeout_s)
            case AskIdentity():
                live.connection.send_id_get()

    def _close(self, live: _LiveLink, reason: str, now: float) -> None:
        live.played.was_closed_by_us = True
        self._collect(live)
        self._lose(live, reason, now)

    def _lose(self, live: _LiveLink, reason: str, now: float) -> None:
        if live.is_open:
            live.is_open = False
            self._carry_out(self._adapter.on_link_lost(live.link, reason, now), now)

    def _let_time_pass(self, until: float) -> None:
        """Let every deadline up to ``until`` come due, in order."""
        while True:
            due = [
                (d, live) for live in self._links.values() if live.is_open and (d := live.connection.next_deadline())
            ]
            link_due = min(due, key=lambda entry: entry[0], default=None)
            own_due = self._adapter.next_deadline()
            if own_due is not None and own_due <= until and (link_due is None or own_due <= link_due[0]):
                self._carry_out(self._adapter.handle_timer(own_due), own_due)
            elif link_due is not None and link_due[0] <= until:
                link_due[1].connection.handle_timer(link_due[0])
                self._drain(link_due[1], link_due[0])
            else:
                return


_SOMEBODY = ("name", "software", "1")


def _strictly(raw: bytes) -> bytes:
    """What goes to a classic peer, which may have a strict decoder. Raises StrictError."""
    for _ in strict_asn1.frames(raw):
        pass
    return raw


def normalise(message: Message | UnknownMessage) -> Message | UnknownMessage:
    """Set to one value what may differ between programs: names and versions."""
    match message:
        case rspro.ConnectBankReq() | rspro.ConnectBankRes() | rspro.ConnectClientReq() | rspro.ConnectClientRes():
            return replace(message, identity=_somebody(message.identity))
    return message


def _somebody(identity: rspro.ComponentIdentity) -> rspro.ComponentIdentity:
    return rspro.ComponentIdentity(identity.type, *_SOMEBODY)


def normalised_frames(data: bytes) -> list[str]:
    """The frames in ``data`` as ``name hex``, without PING and PONG, tags zero, names the same."""
    reader = FrameReader()
    reader.receive_data(data)
    found: list[str] = []
    while (frame := reader.next_frame()) is not None:
        is_rspro, payload = frame
        if is_rspro:
            message = normalise(decode_pdu(payload).msg)
            assert not isinstance(message, UnknownMessage)
            found.append(f"{type(message).__name__} {encode_pdu(RsproPdu(0, message)).hex()}")
        elif payload[0] > 1:
            found.append(f"CCM {payload.hex()}")
    return found
