# SPDX-License-Identifier: Apache-2.0
"""How peers and mappings appear in the log, and what the database keeps of a peer."""

from remsim.server.core.actions import Note, NoteBank, NoteClient, Report
from remsim.server.core.peers import Peer, PeerState
from remsim.server.core.slotmap import Mapping


def slots_of(mapping: Mapping) -> dict[str, object]:
    """Fields that name a mapping."""
    return {"bank_slot": mapping.bank, "client_slot": mapping.client}


def named(peer: Peer) -> dict[str, object]:
    """Fields that name a peer: its address, and its client slot or bank."""
    fields: dict[str, object] = {"peer": str(peer.address)}
    if peer.client is not None:
        fields["client_slot"] = peer.client
    if peer.bank_id is not None:
        fields["bank"] = peer.bank_id
    return fields


def described(peer: Peer) -> dict[str, object]:
    """Fields that name a peer, and what program it says it is."""
    fields = named(peer)
    if peer.identity is not None:
        fields |= {"name": peer.identity.name, "software": peer.identity.software}
    return fields


def places_of(peer: Peer) -> dict[str, object]:
    """Where clients reach a bankd."""
    known = dict.fromkeys(place.address for place in peer.addresses)
    return {"clients_go_to": [f"{address.ip}:{address.port}" for address in known]}


def odd(peer: Peer, event: str, **fields: object) -> Report:
    """Something that is ignored: a warning the first time on a link, then only for debugging; always counted."""
    is_known = event in peer.reported
    peer.reported.add(event)
    return Report("debug" if is_known else "warning", event, named(peer) | fields)


def note_of(peer: Peer) -> list[Note]:
    """What is kept of an accepted peer."""
    identity = peer.identity
    if identity is None:
        return []
    names = (identity.name, identity.software, identity.plain_version)
    if peer.state is PeerState.CONNECTED_CLIENT and peer.client is not None:
        return [NoteClient(peer.client, *names, identity.hw_serial_nr, str(peer.address.host))]
    if peer.state is PeerState.CONNECTED_BANKD:
        return [NoteBank(peer.bank, *names, peer.number_of_slots, peer.addresses)]
    return []
