# SPDX-License-Identifier: Apache-2.0
"""Link engines for tests: one end, a pair of ends, and the frames that a classic peer would send."""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.link.engine import ABILITIES, Event, KeepAliveTimes, LinkEngine
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, Message, ResultCode, RsproPdu

CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 2)


def identity(role: ComponentType) -> ComponentIdentity:
    """An identity without abilities."""
    return ComponentIdentity(role, "test", "remsim-test", "1")


def engine(
    role: ComponentType = ComponentType.REMSIM_SERVER,
    peer: ComponentType | None = ComponentType.REMSIM_BANKD,
    *,
    now: float = 0.0,
    keep_alive: KeepAliveTimes | None = None,
    abilities: tuple[str, ...] = ABILITIES,
) -> LinkEngine:
    """One end of a link, its first PING already taken."""
    made = LinkEngine(identity=identity(role), peer=peer, now=now, keep_alive=keep_alive, abilities=abilities)
    made.data_to_send()
    return made


def frame(message: Message, *, tag: int = 0, version: int = rspro.VERSION) -> bytes:
    """The frame of a message as a peer sends it."""
    return ipa.encode_rspro(encode_pdu(RsproPdu(tag, message, version)))


def events(connection: LinkEngine) -> list[Event]:
    """All events that wait."""
    found = []
    while (event := connection.next_event()) is not None:
        found.append(event)
    return found


def receive(connection: LinkEngine, *raw: bytes, now: float = 0.0) -> list[Event]:
    """The events that these bytes cause."""
    for piece in raw:
        connection.receive_data(piece, now)
    return events(connection)


def sent(connection: LinkEngine) -> list[RsproPdu | bytes]:
    """What the engine wants written: PDUs, and CCM payloads."""
    reader = ipa.FrameReader()
    reader.receive_data(connection.data_to_send())
    found: list[RsproPdu | bytes] = []
    while (item := reader.next_frame()) is not None:
        is_rspro, payload = item
        found.append(decode_pdu(payload) if is_rspro else payload)
    assert not reader.buffer
    return found


def server_with_bankd(
    *,
    abilities: tuple[str, ...] | None,
    keep_alive: KeepAliveTimes | None = None,
    own: tuple[str, ...] = ABILITIES,
) -> LinkEngine:
    """A server's end, with ``own`` abilities, after a bankd with these (None: classic) was accepted at time 0."""
    server = engine(ComponentType.REMSIM_SERVER, None, keep_alive=keep_alive, abilities=own)
    bankd = identity(ComponentType.REMSIM_BANKD).with_abilities(abilities)
    receive(server, frame(rspro.ConnectBankReq(bankd, 1, 8)))
    server.send(rspro.ConnectBankRes(server.identity, ResultCode.OK), now=0.0, reply_to=0)
    server.connected()
    server.data_to_send()
    return server


def client_at_bankd(*, abilities: tuple[str, ...] | None, keep_alive: KeepAliveTimes | None = None) -> LinkEngine:
    """A client's end after a bankd with these abilities (None: classic) accepted it at time 0."""
    client = engine(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD, keep_alive=keep_alive)
    tag = client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0.0)
    bankd = identity(ComponentType.REMSIM_BANKD).with_abilities(abilities)
    receive(client, frame(rspro.ConnectClientRes(bankd, ResultCode.OK), tag=tag if abilities is not None else 2342))
    client.connected()
    client.data_to_send()
    return client
