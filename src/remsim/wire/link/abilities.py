# SPDX-License-Identifier: Apache-2.0
"""Abilities: how peers of ours recognise each other and agree on what goes beyond the classic protocol.

Each end names its own in the version of its identity (see ``ability_bits``): all of them in a connect request, those
of both in the response, and only if the request named any. Classic peers never do. Everything else of ours follows
afterwards, in messages of their own: nothing that a classic decoder does not list is ever in a connect message.
"""

from typing import Final

from remsim.wire.link.ability_bits import (
    ABILITIES,
    ADVERTISE,
    AHEAD,
    AUDIT,
    CARDS,
    CERTIFIED,
    CLIENT,
    CONDITIONS,
    ECHO,
    INVENTORY,
    MEANINGS,
    REGISTRY,
    RESUME,
    REVOKE,
    SESSIONS,
    SLOTS,
    SLOTS_2,
    TIMES,
    TRACE,
)
from remsim.wire.messages import extensions, health, rspro
from remsim.wire.messages.rspro import Message

__all__ = [
    "ABILITIES",
    "ABILITY_OF",
    "ABILITY_OF_ELEMENTS",
    "ADVERTISE",
    "AHEAD",
    "AUDIT",
    "CARDS",
    "CERTIFIED",
    "CLIENT",
    "CONDITIONS",
    "ECHO",
    "INVENTORY",
    "MEANINGS",
    "REGISTRY",
    "RESUME",
    "REVOKE",
    "SESSIONS",
    "SLOTS",
    "SLOTS_2",
    "TIMES",
    "TRACE",
    "introduce",
    "voids_commands",
]

#: Messages that a peer gets only after both named the ability.
ABILITY_OF: Final[dict[type[Message], str]] = {
    rspro.BankSlotStatusInd: SLOTS,
    extensions.RevocationListInd: REVOKE,
    extensions.AuditInd: AUDIT,
    extensions.CertifiedInd: CERTIFIED,
    extensions.CardInd: CARDS,
    rspro.AddressesInd: ADVERTISE,
    rspro.ReaderHealthInd: SLOTS,
    rspro.SessionInd: RESUME,
    rspro.ResumeInd: RESUME,
    rspro.SessionEndInd: RESUME,
    rspro.SessionStateInd: SESSIONS,
    extensions.AheadInd: AHEAD,
    extensions.AheadUsedInd: AHEAD,
    health.SlotHealthInd: SLOTS_2,
    health.ClientHealthInd: CLIENT,
    health.InventoryInd: INVENTORY,
    extensions.TraceReq: TRACE,
    extensions.TraceInd: TRACE,
    health.HostConditionsInd: CONDITIONS,
}
#: Elements that a message carries only to a peer that named the ability: attribute and ability.
ABILITY_OF_ELEMENTS: Final[dict[type[Message], tuple[str, str]]] = {
    rspro.TpduCardToModem: ("bank_us", TIMES),
    health.ClientHealthInd: ("network", TIMES),
}


def introduce(message: Message, own: tuple[str, ...], common: frozenset[str] | None) -> Message:
    """The connect message with the abilities that belong into it. ``common`` is None if the peer named none."""
    match message:
        case rspro.ConnectBankReq():
            identity = message.identity.with_abilities(own or None)
            return rspro.ConnectBankReq(identity, message.bank_id, message.number_of_slots)
        case rspro.ConnectClientReq():
            return rspro.ConnectClientReq(message.identity.with_abilities(own or None), message.client_slot)
        case rspro.ConnectBankRes() | rspro.ConnectClientRes():
            shared = None if common is None else tuple(name for name in own if name in common)
            return type(message)(message.identity.with_abilities(shared), message.result)
    return message


def voids_commands(message: Message) -> bool:
    """Whether ``message`` says that the card is gone: commands not answered by then get no answer any more."""
    return isinstance(message, rspro.BankSlotStatusInd) and message.slot_phys_status.card_present is False
