# SPDX-License-Identifier: Apache-2.0
"""Peers and mappings as JSON objects, in the shapes of REST v1 (rsres.md, 2).

v1 is exactly what the C server gives, because programs with strict decoders refuse any other member. Who asks for
``more`` gets members of our own behind those of v1; they may come and go with what they describe.
"""

from collections.abc import Callable
from enum import IntEnum

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.text import rfc3339
from remsim.redaction import shorten_iccid
from remsim.server.core.slotmap import MappingState
from remsim.server.query import BankInfo, ClientInfo, MappingInfo, PeerInfo, SlotInfo
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ComponentType,
    ErrorInd,
    ReaderHealthInd,
    ResultCode,
    SlotPhysStatus,
)

#: A JSON object.
Json = dict[str, object]

_TYPE_NAMES = {
    ComponentType.REMSIM_CLIENT: "remsimClient",
    ComponentType.REMSIM_SERVER: "remsimServer",
    ComponentType.REMSIM_BANKD: "remsimBankd",
}


#: Whether the caller may know of something about this bank slot and this client slot; None: it is not about one.
MaySee = Callable[[BankSlot | None, ClientSlot | None], bool]


def see_all(_bank: BankSlot | None, _client: ClientSlot | None) -> bool:
    """A caller without limits."""
    return True


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
    return rfc3339(wall)


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


def mapping(item: MappingInfo, *, more: bool) -> Json:
    """A live mapping.

    v1 knows no REFUSED, and no moment between the arrival of a bankd and its being told, in which we make sure that
    the database knows: both are UNACKNOWLEDGED.
    """
    is_told = item.state is MappingState.REFUSED or (item.state is MappingState.NEW and item.is_bank_connected)
    state = MappingState.UNACKNOWLEDGED if is_told else item.state
    shown: Json = {"bank": bank_slot(item.bank), "client": client_slot(item.client), "state": state.value}
    if not more:
        return shown
    if item.state is MappingState.REFUSED and item.result is not None:
        shown["result"] = result_name(item.result)
    if problem := item.problem:
        shown["problem"] = problem
    shown["missing"] = item.missing
    shown["clientConnected"] = item.is_client_connected
    if (session := item.session) is not None:
        shown["session"] = {"state": session.state, "ageS": round(item.session_age_s, 1), "cuts": session.cuts}
    return shown | {"id": slotmap_id(item.bank), "createdAt": time_text(item.created_at)}


def _peer(peer: PeerInfo, *, more: bool) -> Json:
    """What all peers show in v1."""
    shown: Json = {"peer": peer.name, "state": peer.state}
    if peer.identity is not None:
        shown["component_id"] = component(peer.identity, more=more)
    return shown


def _more(peer: PeerInfo, may_see: MaySee) -> Json:
    """What all peers show besides."""
    shown: Json = {"address": str(peer.address), "connectedAt": time_text(peer.connected_at)}
    if peer.identity is not None and peer.identity.abilities is not None:
        shown["abilities"] = list(peer.identity.abilities)
    if peer.contested_by:
        shown["contestedBy"] = peer.contested_by
    if (error := peer.last_error) is not None and may_see(error.bank_slot, error.client_slot):
        shown |= {"errors": peer.error_count, "lastError": _error(error)}
    return shown


def client(peer: ClientInfo, *, more: bool, may_see: MaySee = see_all) -> Json:
    """A connected client; with ``more``, its mapping and what it was told, as far as the caller may see them."""
    shown = _peer(peer, more=more)
    if not more:
        return shown
    shown |= _more(peer, may_see)
    shown |= _seen(peer.mapping, may_see)
    if peer.told is not None and may_see(peer.told.bank_slot, peer.slot):
        to = peer.told.bankd
        told: Json = {"bank": bank_slot(peer.told.bank_slot), "ip": str(to.ip), "port": to.port}
        answered = {} if peer.told_result is None else {"result": result_name(peer.told_result)}
        shown["told"] = told | answered
    return shown


def bank(peer: BankInfo, *, more: bool, may_see: MaySee = see_all) -> Json:
    """A connected bankd; with ``more``, the number of its mappings, and of its cards if it tells of them."""
    shown = _peer(peer, more=more) | {"bankId": peer.bank_id, "numberOfSlots": peer.number_of_slots}
    if not more:
        return shown
    shown |= _more(peer, may_see)
    shown["clientsGoTo"] = [{"ip": str(address.ip), "port": address.port} for address in peer.addresses]
    shown |= {"mappings": peer.mapping_count(may_see), "pendingRemovals": peer.removal_count(may_see)}
    return shown | {"knownCards": len(peer.cards)} if peer.tells_cards else shown


def slots(peer: BankInfo, *, may_see: MaySee = see_all) -> Json:
    """The slots of one bank, and its cards."""
    return {"slots": [slot(each, may_see=may_see) for each in peer.slots], "cards": cards(peer.cards)}


def slot(info: SlotInfo, *, may_see: MaySee = see_all) -> Json:
    """One slot of a bank, with its mapping if the caller may see that."""
    shown: Json = {"slotNr": info.slot_nr}
    if info.status is not None:
        shown |= _lines(info.status)
    if info.is_present is not None:
        shown["cardPresent"] = info.is_present
    if info.iccid is not None:
        shown["iccid"] = shorten_iccid(info.iccid)
    if info.reader_name is not None:
        shown["readerName"] = info.reader_name
    if info.reader is not None:
        shown["reader"] = _reader(info.reader)
    return shown | _seen(info.mapping, may_see)


def _seen(item: MappingInfo | None, may_see: MaySee) -> Json:
    """A mapping if the caller may see it, else no more than that there is one."""
    if item is None:
        return {}
    return {"mapping": mapping(item, more=True)} if may_see(item.bank, item.client) else {"hiddenMapping": True}


def _reader(health: ReaderHealthInd) -> Json:
    shown: Json = {"state": asn1_name(health.state), "failures": health.failures}
    return shown if health.cause is None else shown | {"cause": health.cause}


def cards(iccids: dict[int, str]) -> list[Json]:
    """The cards of a bank, by slot number, with their ICCIDs shortened."""
    return [{"slotNr": slot_nr, "iccid": shorten_iccid(iccid)} for slot_nr, iccid in iccids.items()]


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
