# SPDX-License-Identifier: Apache-2.0
"""The JSON shapes of answers, for the schema. ``views`` makes the objects; a test holds them against these.

Optional members that are described as "more" come with ``?more=true`` only.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

_MORE: Final = "more"


class _Shape(BaseModel):
    # For the schema only: each is built when that is asked for.
    model_config = ConfigDict(extra="allow", defer_build=True)


class ComponentId(_Shape):
    """What a peer says that it is."""

    type_: Literal["remsimClient", "remsimServer", "remsimBankd"]
    name: str
    software: str
    swVersion: str  # noqa: N815
    hwManufacturer: str | None = None  # noqa: N815
    hwModel: str | None = Field(None, description=_MORE)  # noqa: N815
    hwSerialNr: str | None = None  # noqa: N815
    hwVersion: str | None = None  # noqa: N815
    fwVersion: str | None = None  # noqa: N815


class BankSlotShape(_Shape):
    """A bank slot."""

    bankId: int  # noqa: N815
    slotNr: int  # noqa: N815


class ClientSlotShape(_Shape):
    """A client slot."""

    clientId: int  # noqa: N815
    slotNr: int  # noqa: N815


class SessionShape(_Shape):
    """A card session, as its bankd tells."""

    state: str = Field(description="ATTACHED, RESUMABLE (it outlives its link) or DETACHED (its link is lost)")
    ageS: float = Field(description="seconds in this state")  # noqa: N815
    cuts: int = Field(description="how often its link was lost while it was held")


class MappingShape(_Shape):
    """A live mapping."""

    bank: BankSlotShape
    client: ClientSlotShape
    state: Literal["NEW", "UNACKNOWLEDGED", "ACTIVE"]
    result: str | None = Field(None, description="more: the bankd refused the mapping with this result")
    problem: str | None = Field(None, description="more: why the client has no card")
    missing: list[str] | None = Field(
        None, description="more: in words, what stands between the modem and its card, as in v2"
    )
    clientConnected: bool | None = Field(None, description=_MORE)  # noqa: N815
    session: SessionShape | None = Field(None, description="more: its card session, if the bankd tells of one")
    id: int | None = Field(None, description="more: bankId * 65536 + slotNr")
    createdAt: str | None = Field(None, description=_MORE)  # noqa: N815


_CONTESTED = "more: where a second program with this certificate was that was refused since this one connected"


class ClientShape(_Shape):
    """A connected client."""

    peer: str
    state: Literal["CONNECTED_CLIENT"]
    component_id: ComponentId
    address: str | None = Field(None, description=_MORE)
    connectedAt: str | None = Field(None, description=_MORE)  # noqa: N815
    contestedBy: str | None = Field(None, description=_CONTESTED)  # noqa: N815
    mapping: MappingShape | None = Field(None, description=_MORE)
    hiddenMapping: bool | None = Field(None, description=f"{_MORE}; true: it has one, which the token is not for")  # noqa: N815


class CardShape(_Shape):
    """A card whose number is known."""

    slotNr: int  # noqa: N815
    iccid: str = Field(description="shortened: 890010…0018")


class ReaderShape(_Shape):
    """A reader that does not work."""

    state: str = Field(description="suspended, or probing: tried once more")
    failures: int = Field(description="in a row")
    cause: str | None = None


class SlotShape(_Shape):
    """A slot of a bank."""

    slotNr: int  # noqa: N815
    cardPresent: bool | None = None  # noqa: N815
    iccid: str | None = Field(None, description="shortened: 890010…0018")
    readerName: str | None = Field(None, description="on the bank's host, if its bankd tells")  # noqa: N815
    reader: ReaderShape | None = Field(None, description="only while it does not work")
    mapping: MappingShape | None = None
    hiddenMapping: bool | None = Field(None, description="true: it has one, which the token is not for")  # noqa: N815


class BankShape(_Shape):
    """A connected bankd."""

    peer: str
    state: Literal["CONNECTED_BANKD"]
    component_id: ComponentId
    bankId: int  # noqa: N815
    numberOfSlots: int  # noqa: N815
    knownCards: int | None = Field(  # noqa: N815
        None, description="more: how many of its cards have told their number; absent if the bankd does not tell"
    )
    slots: list[SlotShape] | None = Field(None, description="more, where one bank is asked for")
    cards: list[CardShape] | None = Field(None, description="more, where one bank is asked for")
    address: str | None = Field(None, description=_MORE)
    connectedAt: str | None = Field(None, description=_MORE)  # noqa: N815
    contestedBy: str | None = Field(None, description=_CONTESTED)  # noqa: N815


class ClientList(_Shape):
    """All connected clients."""

    clients: list[ClientShape]


class BankList(_Shape):
    """All connected bankds."""

    banks: list[BankShape]


class MappingList(_Shape):
    """All live mappings, in the order of their creation."""

    slotmaps: list[MappingShape]


class RestartCounter(_Shape):
    """How often the server was started."""

    count: int = Field(alias="restart-counter")


class Health(_Shape):
    """The process lives."""

    status: Literal["ok"]


class Ready(_Shape):
    """It serves."""

    status: Literal["ready"]


class AuthorityShape(_Shape):
    """The authority's certificate, in PEM form."""

    authority: str


class IssuedShape(_Shape):
    """A new certificate, the authority's, and its revocation list, in PEM form."""

    certificate: str
    authority: str
    revocations: str


class AuditEntry(_Shape):
    """One line of the audit log."""

    id: int
    at: str
    who: str
    source: str
    action: str
    target: str
    outcome: Literal["done", "refused"]
    detail: str


class AuditList(_Shape):
    """Lines of the audit log, oldest first."""

    audit: list[AuditEntry]
