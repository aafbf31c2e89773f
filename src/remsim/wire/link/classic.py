# SPDX-License-Identifier: Apache-2.0
"""What may be sent to a classic peer, one that named no abilities.

The programs of the C suite abort, crash or hang up on messages that are legal in the schema (known-limits.md 1-6,
interop.md b and c). This table is the last check before the wire: whatever a coordinator decides, a message that is
not listed for the peer's role does not go out.
"""

from typing import Final

from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, Message

#: By role of the peer. The answers to requests of its own are always allowed; the engine sends no other answers.
_REQUESTS_AND_INDICATIONS: Final[dict[ComponentType, frozenset[type[Message]]]] = {
    ComponentType.REMSIM_SERVER: frozenset({rspro.ConnectBankReq, rspro.ConnectClientReq}),
    # A bankd knows two kinds of links: its server's, and those of its clients, whose connection it closes on
    # anything that is not listed here.
    ComponentType.REMSIM_BANKD: frozenset(
        {
            rspro.CreateMappingReq,
            rspro.RemoveMappingReq,
            rspro.ResetStateReq,
            rspro.ConnectClientReq,
            rspro.TpduModemToCard,
            rspro.ClientSlotStatusInd,
        }
    ),
    ComponentType.REMSIM_CLIENT: frozenset({rspro.SetAtrReq, rspro.ConfigClientIdReq, rspro.ConfigClientBankReq}),
}


def is_allowed(peer: ComponentType, kind: type[Message]) -> bool:
    """Whether requests or indications of this class go to classic programs in the role ``peer`` at all."""
    return kind in _REQUESTS_AND_INDICATIONS[peer]


def is_safe(peer: ComponentType, message: Message) -> bool:
    """Whether a classic program in the role ``peer`` survives and keeps the link on this request or indication."""
    if isinstance(message, rspro.ConnectClientReq) and message.client_slot is None:
        # A classic server aborts on it, a classic bankd hangs up.
        return False
    return is_allowed(peer, type(message))
