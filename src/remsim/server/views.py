# SPDX-License-Identifier: Apache-2.0
"""Peers and mappings as JSON objects, in the shapes of REST v1 (rsres.md, 2) with members of our own behind them.

Members that v1 does not have may come and go with what they describe; those of v1 are always as they were.
"""

from datetime import UTC, datetime
from enum import IntEnum

from remsim.ids import BankSlot, ClientSlot
from remsim.redaction import shorten_iccid
from remsim.server.peers import Peer
from remsim.slotmap import Mapping, MappingState
from remsim.wire.rspro import ComponentIdentity, ComponentType, ErrorInd, ResultCode, SlotPhysStatus

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


def component(identity: ComponentIdentity) -> Json:
    """``component_id``: what a peer says that it is. The type's name has an underscore in v1."""
    optional = {
        "hwManufacturer": identity.hw_manufacturer,
        "hwModel": identity.hw_model,
        "hwSerialNr": identity.hw_serial_nr,
        "hwVersion": identity.hw_version,
        "fwVersion": identity.fw_version,
    }
    return {
        "type_": _TYPE_NAMES[identity.type],
        "name": identity.name,
        "software": identity.software,
        "swVersion": identity.sw_version,
        **{name: value for name, value in optional.items() if value is not None},
    }


def bank_slot(slot: BankSlot) -> Json:
    """A bank slot."""
    return {"bankId": slot.bank_id, "slotNr": slot.slot_nr}


def client_slot(slot: ClientSlot) -> Json:
    """A client slot."""
    return {"clientId": slot.client_id, "slotNr": slot.slot_nr}


def mapping(item: Mapping) -> Json:
    """A live mapping. v1 knows no REFUSED: it shows it as UNACKNOWLEDGED, with the result."""
    is_refused = item.state is MappingState.REFUSED
    shown: Json = {
        "bank": bank_slot(item.bank),
        "client": client_slot(item.client),
        "state": (MappingState.UNACKNOWLEDGED if is_refused else item.state).value,
    }
    if is_refused and item.result is not None:
        shown["result"] = result_name(item.result)
    return shown | {"id": slotmap_id(item.bank), "createdAt": time_text(item.created_at)}


def _peer(peer: Peer, connected_at: float) -> tuple[Json, Json]:
    """What all peers show: first the members of v1, then ours."""
    first: Json = {"peer": peer.name, "state": peer.state.value}
    if peer.identity is not None:
        first["component_id"] = component(peer.identity)
    ours: Json = {"address": str(peer.address), "connectedAt": time_text(connected_at)}
    if peer.identity is not None and peer.identity.abilities is not None:
        ours["abilities"] = list(peer.identity.abilities)
    if peer.contested_by:
        ours["contestedBy"] = peer.contested_by
    if peer.last_error is not None:
        ours |= {"errors": peer.error_count, "lastError": _error(peer.last_error)}
    return first, ours


def client(peer: Peer, item: Mapping | None, connected_at: float) -> Json:
    """A connected client, with its mapping if it has one."""
    first, ours = _peer(peer, connected_at)
    if item is not None:
        ours["mapping"] = mapping(item)
    if peer.announced is not None:
        to = peer.announced.bankd
        told: Json = {"bank": bank_slot(peer.announced.bank_slot), "ip": str(to.ip), "port": to.port}
        answered = {} if peer.announced_result is None else {"result": result_name(peer.announced_result)}
        ours["told"] = told | answered
    return first | ours


def bank(peer: Peer, items: tuple[Mapping, ...], removals: int, connected_at: float, known_cards: int) -> Json:
    """A connected bankd, with the number of its mappings and what is known of its slots."""
    first, ours = _peer(peer, connected_at)
    first |= {"bankId": peer.bank, "numberOfSlots": peer.number_of_slots}
    ours["clientsGoTo"] = [
        {"ip": str(address.ip), "port": address.port}
        for address in dict.fromkeys(place.address for place in peer.addresses)
    ]
    ours |= {"mappings": len(items), "pendingRemovals": removals, "knownCards": known_cards}
    if peer.slot_status:
        ours["slots"] = [{"slotNr": number} | _lines(status) for number, status in sorted(peer.slot_status.items())]
    return first | ours


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
