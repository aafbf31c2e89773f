# SPDX-License-Identifier: Apache-2.0
"""Peers and mappings as JSON objects, in the shapes of REST v1 (rsres.md, 2).

v1 is exactly what the C server gives, because programs with strict decoders refuse any other member. Who asks for
``more`` gets members of our own behind those of v1; they may come and go with what they describe.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import shorten_iccid
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ErrorInd, ResultCode, SlotPhysStatus

#: A JSON object.
Json = dict[str, object]

_TYPE_NAMES = {
    ComponentType.REMSIM_CLIENT: "remsimClient",
    ComponentType.REMSIM_SERVER: "remsimServer",
    ComponentType.REMSIM_BANKD: "remsimBankd",
}


def slotmap_id(slot: BankSlot) -> int:
    """rsres.md, 4: the number of a mapping in REST is computed from its bank slot."""
    return slot.bank_id << 16 | slot.slot_nr


def slot_of(number: int) -> BankSlot | None:
    """The bank slot with this number in REST; None if there can be none."""
    bank_id, slot_nr = number >> 16, number & 0xFFFF
    return BankSlot(bank_id, slot_nr) if bank_id <= 1023 and slot_nr <= 1023 else None


def result_name(result: int) -> str:
    """The name of a result code as in the ASN.1: ``illegalSlotId``."""
    return asn1_name(ResultCode(result))


def asn1_name(value: IntEnum) -> str:
    """``ILLEGAL_SLOT_ID`` as ``illegalSlotId``."""
    first, *others = value.name.split("_")
    return first.lower() + "".join(word.capitalize() for word in others)


def time_text(wall: float) -> str:
    """Seconds since 1970-01-01 UTC as ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def component(identity: ComponentIdentity, *, more: bool) -> Json:
    """``component_id``: what a peer says that it is. The type's name has an underscore in v1, which loses hwModel."""
    optional = {
        "hwManufacturer": identity.hw_manufacturer,
        "hwModel": identity.hw_model if more else None,
        "hwSerialNr": identity.hw_serial_nr,
        "hwVersion": identity.hw_version,
        "fwVersion": identity.fw_version,
    }
    return {
        "type_": _TYPE_NAMES[identity.type],
        "name": identity.name,
        "software": identity.software,
        "swVersion": identity.plain_version,
        **{name: value for name, value in optional.items() if value is not None},
    }


def bank_slot(slot: BankSlot) -> Json:
    """A bank slot."""
    return {"bankId": slot.bank_id, "slotNr": slot.slot_nr}


def client_slot(slot: ClientSlot) -> Json:
    """A client slot."""
    return {"clientId": slot.client_id, "slotNr": slot.slot_nr}


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """What is known around a mapping."""

    #: Its bankd is connected.
    is_bank_there: bool
    is_client_there: bool = False
    #: Why its client has no card, as far as the server knows; empty if nothing is wrong.
    problem: str = ""


def mapping(item: Mapping, facts: MappingFacts, *, more: bool) -> Json:
    """A live mapping.

    v1 knows no REFUSED, and no moment between the arrival of a bankd and its being told, in which we make sure that
    the database knows: both are UNACKNOWLEDGED.
    """
    is_new = item.state is MappingState.NEW and not facts.is_bank_there
    state = MappingState.NEW if is_new else item.state
    if item.state is MappingState.REFUSED or (item.state is MappingState.NEW and not is_new):
        state = MappingState.UNACKNOWLEDGED
    shown: Json = {"bank": bank_slot(item.bank), "client": client_slot(item.client), "state": state.value}
    if not more:
        return shown
    if item.state is MappingState.REFUSED and item.result is not None:
        shown["result"] = result_name(item.result)
    if facts.problem:
        shown["problem"] = facts.problem
    shown["clientConnected"] = facts.is_client_there
    return shown | {"id": slotmap_id(item.bank), "createdAt": time_text(item.created_at)}


def _peer(peer: Peer, *, more: bool) -> Json:
    """What all peers show in v1."""
    shown: Json = {"peer": peer.name, "state": peer.state.value}
    if peer.identity is not None:
        shown["component_id"] = component(peer.identity, more=more)
    return shown


def _more(peer: Peer, connected_at: float) -> Json:
    """What all peers show besides."""
    shown: Json = {"address": str(peer.address), "connectedAt": time_text(connected_at)}
    if peer.identity is not None and peer.identity.abilities is not None:
        shown["abilities"] = list(peer.identity.abilities)
    if peer.contested_by:
        shown["contestedBy"] = peer.contested_by
    if peer.last_error is not None:
        shown |= {"errors": peer.error_count, "lastError": _error(peer.last_error)}
    return shown


def client(peer: Peer) -> Json:
    """A connected client in v1."""
    return _peer(peer, more=False)


def client_and_more(peer: Peer, item: Mapping | None, facts: MappingFacts, connected_at: float) -> Json:
    """A connected client, with its mapping if it has one."""
    shown = _peer(peer, more=True) | _more(peer, connected_at)
    if item is not None:
        shown["mapping"] = mapping(item, facts, more=True)
    if peer.announced is not None:
        to = peer.announced.bankd
        told: Json = {"bank": bank_slot(peer.announced.bank_slot), "ip": str(to.ip), "port": to.port}
        answered = {} if peer.announced_result is None else {"result": result_name(peer.announced_result)}
        shown["told"] = told | answered
    return shown


def bank(peer: Peer, *, more: bool = False) -> Json:
    """A connected bankd in v1."""
    return _peer(peer, more=more) | {"bankId": peer.bank, "numberOfSlots": peer.number_of_slots}


def bank_and_more(peer: Peer, mappings: int, removals: int, connected_at: float, known_cards: int | None) -> Json:
    """A connected bankd, with the number of its mappings and of its cards, None if it does not tell of them."""
    shown = bank(peer, more=True) | _more(peer, connected_at)
    shown["clientsGoTo"] = [
        {"ip": str(address.ip), "port": address.port}
        for address in dict.fromkeys(place.address for place in peer.addresses)
    ]
    shown |= {"mappings": mappings, "pendingRemovals": removals}
    return shown if known_cards is None else shown | {"knownCards": known_cards}


def slot(number: int, status: SlotPhysStatus | None, iccid: str | None, shown_mapping: Json | None) -> Json:
    """One slot of a bank: what its bankd has said about it, and its mapping."""
    shown: Json = {"slotNr": number}
    if status is not None:
        shown |= _lines(status)
    if iccid is not None:
        shown["iccid"] = shorten_iccid(iccid)
    return shown if shown_mapping is None else shown | {"mapping": shown_mapping}


def cards(numbers: dict[int, str]) -> list[Json]:
    """The cards of a bank, by slot number, with their numbers shortened."""
    return [{"slotNr": number, "iccid": shorten_iccid(iccid)} for number, iccid in numbers.items()]


def _lines(status: SlotPhysStatus) -> Json:
    lines = {
        "resetActive": status.reset_active,
        "vccPresent": status.vcc_present,
        "clkActive": status.clk_active,
        "cardPresent": status.card_present,
    }
    return {name: value for name, value in lines.items() if value is not None}


def _error(error: ErrorInd) -> Json:
    shown: Json = {"severity": asn1_name(error.severity), "code": asn1_name(error.code)}
    if error.bank_slot is not None:
        shown["bank"] = bank_slot(error.bank_slot)
    if error.client_slot is not None:
        shown["client"] = client_slot(error.client_slot)
    if error.error_string is not None:
        shown["text"] = error.error_string
    return shown
