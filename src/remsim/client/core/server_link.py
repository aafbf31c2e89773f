# SPDX-License-Identifier: Apache-2.0
"""What a client slot's server says, and how it is answered. What follows from it is decided by ``Orders``. No I/O."""

from dataclasses import dataclass, field
from typing import Final, Protocol

from remsim.client.core.actions import Action, GiveUpCard
from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import NoticeKind, Notices, refusal_in
from remsim.core.errors import CLOSED_UNHEARD
from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import scrub
from remsim.wire.errors import DecodeError
from remsim.wire.link.abilities import CLIENT, TIMES
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, Send
from remsim.wire.link.engine import Received
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.revocation import ListParts, StoreRevocations
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, ResultCode
from remsim.wire.messages.schema import ALTERNATIVES

#: Why a client without a number gets no further at a classic server, and what to do.
NO_NUMBERS: Final = "the server gives no numbers, so name the client slot (--client ID:SLOT)"
#: A server of ours that ends closes a link in the same manner, but not the next one, which is dialled at once.
_SURE_AFTER: Final = 2


class Orders(Protocol):
    """What a server can make a slot do. Each method returns what is to be done."""

    def on_server_accepted(self) -> list[Action]:
        """The server knows us."""
        ...

    def take_client_slot(self, client_slot: ClientSlot) -> list[Action]:
        """The slot has this number from now on."""
        ...

    def take_bankd(self, bank_slot: BankSlot, address: IpPort) -> tuple[ResultCode, list[Action]]:
        """The slot is mapped to ``bank_slot``, whose bankd is at ``address``; the result goes into the answer."""
        ...

    def drop_bankd(self) -> list[Action]:
        """The slot is not mapped any more."""
        ...

    def reset(self) -> list[Action]:
        """The slot forgets its mapping; the server will give it another one."""
        ...


@dataclass(slots=True)
class _Link:
    """What is known of one link to the server."""

    id: LinkId
    #: Our connect request was sent on it.
    is_introduced: bool
    is_accepted: bool = False
    #: The server named abilities, so it is a program of ours.
    is_own: bool = False
    #: It wants to hear how the slot stands (ability ``client.1``).
    hears_health: bool = False
    #: And of what the network took (ability ``times.1``).
    hears_network: bool = False
    list_parts: ListParts = field(default_factory=ListParts)


class SlotServerLink:
    """The slot's side of the link to its server."""

    def __init__(
        self, assignment: Assignment, notices: Notices, *, identity: ComponentIdentity, orders: Orders
    ) -> None:
        self._assignment = assignment
        self._notices = notices
        self._identity = identity
        self._orders = orders
        self._asks_for_number = assignment.client_slot is None
        self._link: _Link | None = None
        # Links in a row that were closed on ID_GET.
        self._closed_on_identity = 0

    @property
    def is_accepted(self) -> bool:
        """Whether a server has accepted us and is there."""
        return self._link is not None and self._link.is_accepted

    @property
    def health_link(self) -> LinkId | None:
        """The link to a server that wants to hear how the slot stands; None: there is none."""
        link = self._link
        return link.id if link is not None and link.is_accepted and link.hears_health else None

    @property
    def hears_network(self) -> bool:
        """Whether the server wants to hear what the network took of the commands."""
        return self._link is not None and self._link.hears_network

    def owns(self, link: LinkId) -> bool:
        """Whether this is the link to the server."""
        return self._link is not None and self._link.id == link

    def on_link_up(self, link: LinkId) -> list[Action]:
        """The link to the server is up: introduce ourselves."""
        self._link = _Link(link, is_introduced=not self._asks_for_number)
        if self._asks_for_number:
            # A classic server dies of a connectClientReq without clientSlot (known-limits.md, 1). It closes the link
            # on ID_GET; a server of ours answers, and is asked then.
            return [AskIdentity(link, when_heard=True)]
        return [Send(link, rspro.ConnectClientReq(self._identity, self._assignment.client_slot))]

    def on_link_lost(self, reason: str) -> list[Action]:
        """The link is gone; a session does not depend on it."""
        lost, self._link = self._link, None
        if lost is None:
            return []
        if lost.is_accepted:
            return [self._notices.make(NoticeKind.SERVER_LOST, reason)]
        if lost.is_introduced or reason == CLOSED_UNHEARD:
            # The latter is a port of another kind, which has not seen ID_GET; the line about the link says what to do.
            return []
        self._closed_on_identity += 1
        refused = self._notices.make(NoticeKind.SERVER_REFUSED, f"{NO_NUMBERS}: {reason}")
        return [refused, GiveUpCard()] if self._closed_on_identity >= _SURE_AFTER else [refused]

    def on_identity(self) -> list[Action]:
        """The server has answered ID_GET: it is one of ours, and can be asked for a number."""
        link = self._link
        if link is None or link.is_introduced:
            return []
        link.is_introduced = True
        self._closed_on_identity = 0
        return [Send(link.id, rspro.ConnectClientReq(self._identity))]

    def on_undecodable(self, error: DecodeError) -> list[Action]:
        """The server sent something that cannot be read; if it was an order, it learns so."""
        refusal = refusal_of_undecodable(error)
        return [] if refusal is None or self._link is None else [Send(self._link.id, refusal, error.tag)]

    def on_message(self, event: Received) -> list[Action]:
        """A message of the server."""
        link = self._link
        if link is None:
            return []
        match event.message:
            case rspro.ConnectClientRes() if event.request is not None:
                return self._on_connect_answer(link, event.message)
            case rspro.ConfigClientIdReq():
                answer = Send(link.id, rspro.ConfigClientIdRes(ResultCode.OK), event.tag)
                return [answer, *self._orders.take_client_slot(event.message.client_slot)]
            case rspro.ConfigClientBankReq() if link.is_accepted:
                return self._on_config_bank(link, event.message, event.tag)
            case rspro.ResetStateReq() if link.is_own:
                return [*self._orders.reset(), Send(link.id, rspro.ResetStateRes(ResultCode.OK), event.tag)]
            case extensions.RevocationListInd() if link.is_own:
                whole = link.list_parts.add(event.message)
                return [] if whole is None else [StoreRevocations(whole)]
            case rspro.ErrorInd() as message:
                return self._on_error(message)
        return [self._notices.ignored(type(event.message).__name__)]

    def _on_connect_answer(self, link: _Link, answer: rspro.ConnectClientRes) -> list[Action]:
        refusal = refusal_in(answer, ComponentType.REMSIM_SERVER)
        if self._asks_for_number and answer.result is ResultCode.ILLEGAL_CLIENT_ID:
            # A server of ours that numbers no clients, or has no number left.
            refusal = f"{NO_NUMBERS}: {refusal}"
            refused = self._notices.make(NoticeKind.SERVER_REFUSED, refusal)
            return [refused, GiveUpCard(), Close(link.id, refusal)]
        if refusal:
            return [self._notices.make(NoticeKind.SERVER_REFUSED, refusal), Close(link.id, refusal)]
        link.is_accepted = True
        link.is_own = answer.identity.abilities is not None
        link.hears_health = CLIENT in (answer.identity.abilities or ())
        link.hears_network = TIMES in (answer.identity.abilities or ())
        return [
            Accepted(link.id),
            self._notices.make(NoticeKind.SERVER_CONNECTED, answer.identity.name),
            *self._orders.on_server_accepted(),
        ]

    def _on_config_bank(self, link: _Link, request: rspro.ConfigClientBankReq, tag: int) -> list[Action]:
        if request.bankd.port == 0:
            result, actions = ResultCode.OK, self._orders.drop_bankd()
        else:
            result, actions = self._orders.take_bankd(request.bank_slot, request.bankd)
        return [Send(link.id, rspro.ConfigClientBankRes(result), tag), *actions]

    def _on_error(self, message: rspro.ErrorInd) -> list[Action]:
        own = self._assignment.client_slot
        if own is not None and message.client_slot == own and message.error_string:
            # It is about our mapping, and says in words why we hear of no bankd.
            return [self._notices.make(NoticeKind.SERVER_SAYS, scrub(message.error_string))]
        return [self._notices.peer_error(message)]


def refusal_of_undecodable(error: DecodeError) -> rspro.ConfigClientBankRes | rspro.ConfigClientIdRes | None:
    """The answer to a server's order that is out of range or malformed; None if it was something else.

    known-limits.md, 22 and 35: the server learns that the client did not obey.
    """
    if error.alternative is None or error.tag is None:
        return None
    kind = ALTERNATIVES[error.alternative].cls
    if kind is rspro.ConfigClientIdReq:
        return rspro.ConfigClientIdRes(_result(error, ResultCode.ILLEGAL_CLIENT_ID))
    if kind is rspro.ConfigClientBankReq:
        return rspro.ConfigClientBankRes(_result(error, ResultCode.ILLEGAL_BANK_ID))
    return None


def _result(error: DecodeError, otherwise: ResultCode) -> ResultCode:
    return ResultCode.ILLEGAL_SLOT_ID if error.field.endswith("slotNr") else otherwise
