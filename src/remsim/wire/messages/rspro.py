# SPDX-License-Identifier: Apache-2.0
"""RSPRO messages as values, named as in the ASN.1 (``rspro.asn``).

Fields keep the order and meaning of the schema. Ranges are the codec's business: it refuses values out of range in
both directions, so what a peer sent and arrives here is in range. Knows nothing of BER, frames or links.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.wire.link.ability_bits import named_abilities, plain_version, version_with
from remsim.wire.messages.extensions import (
    AheadInd,
    AheadUsedInd,
    AuditInd,
    CardInd,
    CertifiedInd,
    RevocationListInd,
    TraceInd,
    TraceReq,
)
from remsim.wire.messages.health import ClientHealthInd, HostConditionsInd, InventoryInd, SessionPhase, SlotHealthInd
from remsim.wire.messages.open_enum import OpenEnum

#: The only protocol version in use. Requests with a larger one are answered ``unsupportedProtocolVersion``.
VERSION: Final = 2

MAX_OPERATION_TAG: Final = 2**31 - 1
MAX_NAME: Final = 32
MAX_ERROR_STRING: Final = 255
MAX_ATR: Final = 55
#: Failures of a reader that are told; more count as so many.
MAX_FAILURES: Final = 65535
#: A session token has at least 128 bits.
MIN_TOKEN, MAX_TOKEN = 16, 64
#: An hour: nobody holds a card for longer.
MAX_HOLD_MS: Final = 3_600_000

#: A command TPDU is CLA INS P1 P2 P3 and up to 255 bytes of data (ISO 7816-3, 10.3).
MIN_COMMAND, MAX_COMMAND = 5, 260
#: A response is up to 256 bytes of data and SW1 SW2.
MIN_RESPONSE, MAX_RESPONSE = 2, 258


class ComponentType(IntEnum):
    """What a peer is."""

    REMSIM_CLIENT = 0
    REMSIM_SERVER = 1
    REMSIM_BANKD = 2


class ResultCode(OpenEnum):
    """How a request ended."""

    OK = 0
    ILLEGAL_CLIENT_ID = 1
    ILLEGAL_BANK_ID = 2
    ILLEGAL_SLOT_ID = 3
    UNSUPPORTED_PROTOCOL_VERSION = 4
    UNKNOWN_SLOTMAP = 5
    IDENTITY_IN_USE = 6
    CARD_NOT_PRESENT = 100
    CARD_UNRESPONSIVE = 101
    CARD_TRANSMISSION_ERROR = 102


class ErrorCode(OpenEnum):
    """What an ``errorInd`` reports."""

    UNKNOWN_CLIENT_CONNECTED = 1
    UNEXPECTED_DISCONNECT = 2
    UNEXPECTED_PROTOCOL_VERSION = 3


class ErrorSeverity(OpenEnum):
    """How bad it is."""

    MINOR = 1
    MAJOR = 2
    FATAL = 3


class AddressKind(OpenEnum):
    """What a bankd speaks at an advertised address (ability ``advertise.1``)."""

    TLS = 0
    PLAINTEXT = 1


class ReaderState(OpenEnum):
    """How much a bankd trusts a reader (ability ``slots.1``)."""

    WORKING = 0
    SUSPENDED = 1  # left alone for a while, after several failures in a row
    PROBING = 2  # tried once more


class SessionEnd(OpenEnum):
    """Why a card session has ended, or does not go on (ability ``resume.1``)."""

    UNKNOWN = 0  # there is none with this token: it is over for long, or the bankd was restarted
    HOLD_OVER = 1  # the client was away for too long
    CARD_GONE = 2  # the card or its reader was pulled, or failed
    UNMAPPED = 3  # the mapping was removed
    REPLACED = 4  # the same client has begun another session
    NOT_TRUSTED = 5  # the certificate was revoked
    STOPPING = 6  # the bankd stops
    REFUSED = 7  # the client broke the protocol
    LEAVING = 8  # the client ends it: it stops, or is given another card


@dataclass(frozen=True, slots=True)
class ComponentIdentity:
    """Who speaks."""

    type: ComponentType
    name: str
    software: str
    sw_version: str
    hw_manufacturer: str | None = None
    hw_model: str | None = None
    hw_serial_nr: str | None = None
    hw_version: str | None = None
    fw_version: str | None = None

    @property
    def abilities(self) -> tuple[str, ...] | None:
        """The abilities that stand in the version; None from a classic peer."""
        return named_abilities(self.software, self.sw_version)

    @property
    def plain_version(self) -> str:
        """The version as people write it, without abilities."""
        return self.sw_version if self.abilities is None else plain_version(self.sw_version)

    def with_abilities(self, abilities: tuple[str, ...] | None) -> "ComponentIdentity":
        """The same identity naming other abilities; None names none, as a classic peer."""
        return replace(self, sw_version=version_with(self.sw_version, abilities))


def clean_name(text: str) -> str:
    """Make ``text`` a legal ComponentName: ASCII, 1..32 characters (host names have up to 64)."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:MAX_NAME] or "?"


@dataclass(frozen=True, slots=True)
class IpPort:
    """Where a bankd listens. Port 0 means: no bankd."""

    ip: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class AdvertisedAddress:
    """One address at which clients reach a bankd (ability ``advertise.1``)."""

    address: IpPort
    kind: AddressKind


@dataclass(frozen=True, slots=True)
class AddressesInd:
    """Where clients reach a bankd: ability ``advertise.1``. Empty: where it calls from, at the classic port."""

    addresses: tuple[AdvertisedAddress, ...]


@dataclass(frozen=True, slots=True)
class ReaderHealthInd:
    """A reader has failed several times in a row, is tried once more, or works again: ability ``slots.1``."""

    bank_slot: BankSlot
    state: ReaderState
    #: Failures in a row.
    failures: int
    #: Why the last one failed.
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class SessionInd:
    """A bankd has attached a client to a session that outlives this link: ability ``resume.1``."""

    #: The client goes on with the session that it had, after ``last_tag``.
    is_resumed: bool
    #: Proves the session at the next return, once.
    token: bytes
    #: How long the bankd holds the session without a link, in milliseconds: idle, and while a command waits.
    hold_idle_ms: int
    hold_busy_ms: int
    #: The newest operation of the client that the bankd has received; 0: none.
    last_tag: int = 0


@dataclass(frozen=True, slots=True)
class ResumeInd:
    """A client returns to its session: ability ``resume.1``. It goes ahead of the connect request."""

    token: bytes
    #: The command whose answer the client waits for.
    waits_for: int | None = None


@dataclass(frozen=True, slots=True)
class SessionEndInd:
    """A session is over, says either end: ability ``resume.1``."""

    cause: SessionEnd


@dataclass(frozen=True, slots=True)
class SessionStateInd:
    """The card session of a mapping has changed: ability ``sessions.1``."""

    bank_slot: BankSlot
    client_slot: ClientSlot
    phase: SessionPhase
    #: For how long it has been in this state, in milliseconds.
    age_ms: int
    #: How often its link was lost while it was held.
    cuts: int


@dataclass(frozen=True, slots=True)
class TpduFlags:
    """Meant for partial transfers, which nobody does: all four are sent FALSE and ignored on receipt."""

    tpdu_header_present: bool = False
    final_part: bool = False
    proc_byte_continue_tx: bool = False
    proc_byte_continue_rx: bool = False


NO_FLAGS: Final = TpduFlags()


@dataclass(frozen=True, slots=True)
class SlotPhysStatus:
    """Lines of a slot. None means: not known."""

    reset_active: bool
    vcc_present: bool | None = None
    clk_active: bool | None = None
    card_present: bool | None = None


@dataclass(frozen=True, slots=True)
class ConnectBankReq:
    """A bankd introduces itself to the server."""

    identity: ComponentIdentity
    bank_id: int
    number_of_slots: int


@dataclass(frozen=True, slots=True)
class ConnectBankRes:
    """The server's answer to a bankd."""

    identity: ComponentIdentity
    result: ResultCode


@dataclass(frozen=True, slots=True)
class ConnectClientReq:
    """A client introduces itself. Without ``client_slot`` it asks the server for a number."""

    identity: ComponentIdentity
    client_slot: ClientSlot | None = None


@dataclass(frozen=True, slots=True)
class ConnectClientRes:
    """The answer of server or bankd to a client."""

    identity: ComponentIdentity
    result: ResultCode


@dataclass(frozen=True, slots=True)
class CreateMappingReq:
    """The server tells a bankd: this client may use this slot."""

    client: ClientSlot
    bank: BankSlot


@dataclass(frozen=True, slots=True)
class CreateMappingRes:
    """Answer to CreateMappingReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class RemoveMappingReq:
    """The server tells a bankd: this client may not use this slot any more."""

    client: ClientSlot
    bank: BankSlot


@dataclass(frozen=True, slots=True)
class RemoveMappingRes:
    """Answer to RemoveMappingReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class ConfigClientIdReq:
    """The server gives a client its id."""

    client_slot: ClientSlot


@dataclass(frozen=True, slots=True)
class ConfigClientIdRes:
    """Answer to ConfigClientIdReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class SetAtrReq:
    """The bankd gives a client the ATR of its card."""

    slot: ClientSlot
    atr: bytes


@dataclass(frozen=True, slots=True)
class SetAtrRes:
    """Answer to SetAtrReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class TpduModemToCard:
    """One complete command TPDU."""

    from_client_slot: ClientSlot
    to_bank_slot: BankSlot
    flags: TpduFlags
    data: bytes


@dataclass(frozen=True, slots=True)
class TpduCardToModem:
    """Response data and status word."""

    from_bank_slot: BankSlot
    to_client_slot: ClientSlot
    flags: TpduFlags
    data: bytes
    #: Microseconds from the command's arrival at the bankd to this answer (ability ``times.1``); None: it does not say.
    bank_us: int | None = None


@dataclass(frozen=True, slots=True)
class ClientSlotStatusInd:
    """The modem changed the lines of its slot."""

    from_client_slot: ClientSlot
    to_bank_slot: BankSlot
    slot_phys_status: SlotPhysStatus


@dataclass(frozen=True, slots=True)
class BankSlotStatusInd:
    """The card slot changed. Never sent to classic peers."""

    from_bank_slot: BankSlot
    to_client_slot: ClientSlot
    slot_phys_status: SlotPhysStatus


@dataclass(frozen=True, slots=True)
class ErrorInd:
    """A fault worth telling the server."""

    sender: ComponentType
    severity: ErrorSeverity
    code: ErrorCode
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None
    error_string: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigClientBankReq:
    """The server tells a client which bank slot it has and where its bankd listens."""

    bank_slot: BankSlot
    bankd: IpPort


@dataclass(frozen=True, slots=True)
class ConfigClientBankRes:
    """Answer to ConfigClientBankReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class ResetStateReq:
    """Drop all mappings. Sent on an operator's order only."""


@dataclass(frozen=True, slots=True)
class ResetStateRes:
    """Answer to ResetStateReq."""

    result: ResultCode


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A PDU alternative that this version does not know: ``number`` is its tag."""

    number: int


Request = (
    ConnectBankReq
    | ConnectClientReq
    | CreateMappingReq
    | RemoveMappingReq
    | ConfigClientIdReq
    | SetAtrReq
    | TpduModemToCard
    | ConfigClientBankReq
    | ResetStateReq
)
Response = (
    ConnectBankRes
    | ConnectClientRes
    | CreateMappingRes
    | RemoveMappingRes
    | ConfigClientIdRes
    | SetAtrRes
    | TpduCardToModem
    | ConfigClientBankRes
    | ResetStateRes
)
Addition = (
    RevocationListInd
    | AuditInd
    | CertifiedInd
    | CardInd
    | AddressesInd
    | SessionInd
    | ResumeInd
    | SessionEndInd
    | SessionStateInd
    | AheadInd
    | AheadUsedInd
    | ReaderHealthInd
    | SlotHealthInd
    | ClientHealthInd
    | InventoryInd
    | TraceReq
    | TraceInd
    | HostConditionsInd
)
Indication = ClientSlotStatusInd | BankSlotStatusInd | ErrorInd | Addition
Message = Request | Response | Indication

#: Which response answers which request.
RESPONSE_TO: Final[dict[type[Request], type[Response]]] = {
    ConnectBankReq: ConnectBankRes,
    ConnectClientReq: ConnectClientRes,
    CreateMappingReq: CreateMappingRes,
    RemoveMappingReq: RemoveMappingRes,
    ConfigClientIdReq: ConfigClientIdRes,
    SetAtrReq: SetAtrRes,
    TpduModemToCard: TpduCardToModem,
    ConfigClientBankReq: ConfigClientBankRes,
    ResetStateReq: ResetStateRes,
}
REQUEST_OF: Final[dict[type[Response], type[Request]]] = {res: req for req, res in RESPONSE_TO.items()}


@dataclass(frozen=True, slots=True)
class RsproPdu:
    """What one frame carries."""

    tag: int
    msg: Message | UnknownMessage
    version: int = VERSION


def refusal(kind: type, result: ResultCode, identity: ComponentIdentity) -> Response | None:
    """The response that refuses a request of class ``kind`` with ``result``.

    None for a TPDU, whose response carries no result, and for what is no request.
    """
    response = RESPONSE_TO.get(kind)
    if response is None or response is TpduCardToModem:
        return None
    if response is ConnectBankRes or response is ConnectClientRes:
        return response(identity, result)
    return cast(Callable[[ResultCode], Response], response)(result)
