# SPDX-License-Identifier: Apache-2.0
"""Which messages of a peer count in which of its states. Others are ignored, and so is what cannot be read; a connect
request that cannot be read is refused.
"""

from typing import Final

from remsim.server.core.actions import Action
from remsim.server.core.log_events import ignored
from remsim.server.core.peers import Peer, PeerState
from remsim.wire.link.actions import Close, Send
from remsim.wire.link.engine import Undecodable, UnsupportedVersion
from remsim.wire.messages import extensions, health, rspro
from remsim.wire.messages.rspro import ComponentIdentity, Message, ResultCode, UnknownMessage
from remsim.wire.messages.schema import NUMBER_OF

CONNECT_REQUESTS: Final = (rspro.ConnectBankReq, rspro.ConnectClientReq)
_CONNECT_KINDS: Final[dict[int | None, type]] = {NUMBER_OF[kind]: kind for kind in CONNECT_REQUESTS}

#: Which message means something in which state of the peer. Everything else is ignored, logged once and counted.
LEGAL_IN: Final[dict[type[Message], frozenset[PeerState]]] = {
    rspro.ConnectClientReq: frozenset({PeerState.ESTABLISHED}),
    rspro.ConnectBankReq: frozenset({PeerState.ESTABLISHED}),
    rspro.ConnectClientRes: frozenset({PeerState.ESTABLISHED}),
    rspro.ConfigClientIdRes: frozenset({PeerState.ESTABLISHED}),
    rspro.CreateMappingRes: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.RemoveMappingRes: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.ResetStateRes: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.BankSlotStatusInd: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.ReaderHealthInd: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.SessionStateInd: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.ConfigClientBankRes: frozenset({PeerState.CONNECTED_CLIENT}),
    rspro.ErrorInd: frozenset({PeerState.CONNECTED_BANKD, PeerState.CONNECTED_CLIENT}),
    extensions.AuditInd: frozenset({PeerState.CONNECTED_BANKD}),
    extensions.CardInd: frozenset({PeerState.CONNECTED_BANKD}),
    rspro.AddressesInd: frozenset({PeerState.CONNECTED_BANKD}),
    extensions.TraceInd: frozenset({PeerState.CONNECTED_BANKD, PeerState.CONNECTED_CLIENT}),
    health.InventoryInd: frozenset({PeerState.CONNECTED_BANKD}),
    health.HostConditionsInd: frozenset({PeerState.CONNECTED_BANKD}),
    health.SlotHealthInd: frozenset({PeerState.CONNECTED_BANKD}),
    health.ClientHealthInd: frozenset({PeerState.CONNECTED_CLIENT}),
}


def on_undecodable(peer: Peer, event: Undecodable, own: ComponentIdentity) -> list[Action]:
    """A message whose content cannot be read; ``own`` is who we are, for a refusal."""
    error = event.error
    actions: list[Action] = [ignored(peer, "undecodable_message", error=str(error))]
    kind = _CONNECT_KINDS.get(error.alternative)
    if kind is None or peer.identity is not None:
        return actions
    # A peer whose identity cannot be read gets no further (known-limits 22).
    result = ResultCode.ILLEGAL_BANK_ID if kind is rspro.ConnectBankReq else ResultCode.ILLEGAL_CLIENT_ID
    refusal = rspro.refusal(kind, result, own)
    if refusal is not None and error.tag is not None:
        actions.append(Send(peer.link, refusal, error.tag))
    return [*actions, Close(peer.link, "its connect request cannot be read")]


def on_unsupported_version(peer: Peer, event: UnsupportedVersion) -> list[Action]:
    """A message of another version of the protocol. The engine has refused it already."""
    actions: list[Action] = [ignored(peer, "unsupported_version", version=event.version)]
    message = event.message
    is_connect = isinstance(message, CONNECT_REQUESTS) or (
        isinstance(message, UnknownMessage) and message.number in _CONNECT_KINDS
    )
    if is_connect and peer.identity is None:
        actions.append(Close(peer.link, "unsupported protocol version"))
    return actions
