# SPDX-License-Identifier: Apache-2.0
"""Abilities: how peers of ours recognise each other and agree on what goes beyond the classic protocol.

Each end names its own in the element [20] of its identity: all of them in a connect request, those of both in the
response, which carries the element only if the request did. Classic peers never send it.
"""

from typing import Final

from remsim.wire import additions, rspro
from remsim.wire.rspro import Message

ECHO: Final = "echo.1"
ADVERTISE: Final = "advertise.1"
SLOTS: Final = "slots.1"
REVOKE: Final = "revoke.1"
AUDIT: Final = "audit.1"
CERTIFIED: Final = "certified.1"
CARDS: Final = "cards.1"
#: Every ability of this version, with what it means.
MEANINGS: Final = {
    ECHO: "answers carry the operation tag of their request",
    ADVERTISE: "a bankd says at which addresses clients reach it",
    SLOTS: "a bankd reports presence and faults of a slot at each change",
    REVOKE: "a server pushes the authority's revocation list",
    AUDIT: "a bankd tells what belongs into the audit log",
    CERTIFIED: "a server tells a bankd which clients have a certificate",
    CARDS: "a bankd tells the numbers of its cards",
}
ABILITIES: Final = tuple(MEANINGS)

#: Messages that a peer gets only after both named the ability.
ABILITY_OF: Final[dict[type[Message], str]] = {
    rspro.BankSlotStatusInd: SLOTS,
    additions.RevocationListInd: REVOKE,
    additions.AuditInd: AUDIT,
    additions.CertifiedInd: CERTIFIED,
    additions.CardInd: CARDS,
}


def introduce(message: Message, own: tuple[str, ...], common: frozenset[str] | None) -> Message:
    """The connect message with the abilities that belong into it. ``common`` is None if the peer named none."""
    match message:
        case rspro.ConnectBankReq():
            identity = message.identity.with_abilities(own or None)
            return rspro.ConnectBankReq(identity, message.bank_id, message.number_of_slots, message.advertise)
        case rspro.ConnectClientReq():
            return rspro.ConnectClientReq(message.identity.with_abilities(own or None), message.client_slot)
        case rspro.ConnectBankRes() | rspro.ConnectClientRes():
            shared = None if common is None else tuple(name for name in own if name in common)
            return type(message)(message.identity.with_abilities(shared), message.result)
    return message


def voids_commands(message: Message) -> bool:
    """Whether ``message`` says that the card is gone: commands not answered by then get no answer any more."""
    return isinstance(message, rspro.BankSlotStatusInd) and message.slot_phys_status.card_present is False
