# SPDX-License-Identifier: Apache-2.0
"""How peers and mappings appear in log events, and what the database keeps of a peer."""

from typing import Final

from remsim.core.ids import BankSlot
from remsim.core.log_event import Level, LogEvent
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import Note, NoteBank, NoteClient, ParkedMapping
from remsim.server.core.peers import Peer, PeerState
from remsim.server.core.slotmap import Mapping

#: Events about unauthenticated peers and callers.
UNAUTHENTICATED_EVENTS: Final = frozenset(
    {
        *("peer_refused", "identity_in_use", "undecodable_message", "unsupported_version", "unknown_message"),
        *("unexpected_message", "unasked_answer", "repeated_connect_request", "client_did_not_take_id"),
        *(
            "foreign_slot_status",
            "foreign_reader_health",
            "foreign_session_state",
            "foreign_slot_health",
            "foreign_client_health",
            "foreign_card_contents",
            "too_many_reports",
            "foreign_audit_entry",
            "odd_audit_action",
            "foreign_card",
            "foreign_trace",
            "bad_card_number",
        ),
        *("token_refused", "access_refused", "policy_refused", "enrolment_refused"),
    }
)

#: Events that follow from what operators ask for, not from what peers do again and again.
OF_OPERATORS: Final = frozenset(
    {"mapping_created", "mapping_deleted", "bankd_reset_ordered", "lease_granted", "lease_released", "lease_renewed"}
)


def mapping_event(level: Level, name: str, mapping: Mapping, /, **fields: object) -> LogEvent:
    """Something happened to a mapping."""
    return LogEvent(level, name, mapping.bank, mapping.client, fields)


def parked_event(parked: ParkedMapping) -> LogEvent:
    """A mapping waits for its card from now on."""
    fields = {"iccid": shorten_iccid(parked.iccid)}
    return LogEvent("warning", "mapping_parked", parked.bank, parked.client, fields)


def peer_event(level: Level, name: str, peer: Peer, bank_slot: BankSlot | None = None, /, **fields: object) -> LogEvent:
    """Something happened to a peer, which is named by its address, and its client slot or bank."""
    about: dict[str, object] = {"peer": str(peer.address)}
    if peer.bank_id is not None:
        about["bank"] = peer.bank_id
    return LogEvent(level, name, bank_slot, peer.client, about | fields)


def program_event(level: Level, name: str, peer: Peer, /, **fields: object) -> LogEvent:
    """The same, with the program that the peer says it is."""
    program = {} if peer.identity is None else {"name": peer.identity.name, "software": peer.identity.software}
    event = peer_event(level, name, peer)
    return LogEvent(level, name, client_slot=peer.client, fields={**event.fields, **program, **fields})


def ignored(peer: Peer, name: str, bank_slot: BankSlot | None = None, **fields: object) -> LogEvent:
    """Something is ignored: a warning the first time on a link, then only for debugging; always counted."""
    is_known = name in peer.reported
    peer.reported.add(name)
    return peer_event("debug" if is_known else "warning", name, peer, bank_slot, **fields)


def places_of(peer: Peer) -> list[str]:
    """Where clients reach a bankd."""
    known = dict.fromkeys(place.address for place in peer.addresses)
    return [f"{address.ip}:{address.port}" for address in known]


def note_of(peer: Peer, *, has_moved: bool = False) -> list[Note]:
    """What is kept of an accepted peer. ``has_moved``: of a bankd, the addresses are new."""
    identity = peer.identity
    if identity is None:
        return []
    names = (identity.name, identity.software, identity.plain_version)
    if peer.state is PeerState.CONNECTED_CLIENT and peer.client is not None:
        return [NoteClient(peer.client, *names, identity.hw_serial_nr, str(peer.address.host))]
    if peer.state is PeerState.CONNECTED_BANKD:
        return [NoteBank(peer.bank, *names, peer.number_of_slots, peer.addresses, has_moved)]
    return []
