# SPDX-License-Identifier: Apache-2.0
"""The models of REST v2: what answers and bodies look like. Server, schema and client library have these in common.

Times are RFC 3339, in UTC. Every state says how old it is and from whom the server has it.
"""

from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from remsim.core.event_kinds import KINDS
from remsim.core.ids import MAX_ID

T = TypeVar("T")

_NUMBER: Final = r"([0-9]{1,3}|10[01][0-9]|102[0-3])"
BANK_SLOT: Final = rf"B{_NUMBER}:{_NUMBER}"
CLIENT_SLOT: Final = rf"C{_NUMBER}:{_NUMBER}"
#: Small letters are taken for the capitals that cards are listed with.
ICCID_DIGITS: Final = r"[0-9A-Ea-e]{1,20}"
IMSI_DIGITS: Final = r"[0-9]{6,15}"
#: How a card is named: by its slot, its number, or a label.
CARD: Final = rf"({BANK_SLOT}|iccid:{ICCID_DIGITS}|imsi:{IMSI_DIGITS}|label:\S(.{{0,62}}\S)?)"

#: Times that are given, such as 30s, 10m or 2h.
DURATION: Final = r"[0-9]{1,6}(ms|s|m|h|d)"

Id = Annotated[int, Field(ge=0, le=MAX_ID)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-29T14:03:00.123Z"])]
BankSlotText = Annotated[str, Field(pattern=f"^{BANK_SLOT}$", examples=["B1:3"])]
ClientSlotText = Annotated[str, Field(pattern=f"^{CLIENT_SLOT}$", examples=["C7:0"])]
_UNMAPPED: Final = (
    "when its last mapping ended; absent: it has one, or had none since the server was started, "
    "or the token is not for that one"
)
_HIDDEN: Final = "true: it has one, which the token is not for; nothing else is told of that. Else absent"
ShortIccid = Annotated[str, Field(description="shortened, unless revealed", examples=["890010…0018"])]


class V2Model(BaseModel):
    """Base of all answers. A newer server may have more to say: members that are not known are passed over."""

    # A program uses some of the models, and not at its start: each is built when it is first used.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class V2Order(BaseModel):
    """Base of all bodies of requests: members that it does not have are an error."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class Observed(V2Model):
    """A state, with its age and its source."""

    state: str
    since: Time | None = Field(None, description="absent: since before this run of the server")
    age_s: float | None = Field(None, ge=0, description="seconds since then")
    source: str = Field(description="who says so: server, database (an earlier run), B1, C7:0")


class LinkObserved(Observed):
    """Whether a program is connected."""

    state: Literal["connected", "absent"]


class PresenceObserved(Observed):
    """Whether a card is in its slot. A classic bankd does not tell: unknown."""

    state: Literal["present", "absent", "unknown"]


class MappingObserved(Observed):
    """How far a mapping has come at its bankd.

    stored: the bankd does not know it yet; sent: it has not answered; active: it has it; refused: it does not want it;
    waiting: it follows a card that is in no slot which it can have.
    """

    state: Literal["stored", "sent", "active", "refused", "waiting"]


class UsabilityObserved(Observed):
    """Whether a modem can use its card: since when that is so, or since when the first of ``missing`` is missing."""

    state: Literal["operational", "hindered"]


class MappingModel(V2Model):
    """A client slot uses a card."""

    client: ClientSlotText
    bank: BankSlotText | None = Field(None, description="absent: it waits for the card that it follows")
    state: MappingObserved
    operational: bool = Field(
        description="nothing is missing, as far as the server knows: the bankd has the mapping and reports no missing "
        "card, the client is connected and goes to that bankd. Whether the modem runs on it, the server is not told"
    )
    usability: UsabilityObserved | None = Field(None, description="the same with age and source")
    missing: list[str] = Field(description="in words, what stands between the modem and its card")
    iccid: ShortIccid | None = None
    follow: Literal["slot", "card"] = Field(
        "slot", description="card: when its card is recognised in another slot, the mapping goes there"
    )
    created_at: Time


class SessionModel(Observed):
    """A card session: attached (it ends with its link), resumable (it outlives it), or detached (its link is lost)."""

    bank: BankSlotText
    client: ClientSlotText
    cuts: int = Field(ge=0, description="how often its link was lost while it was held")


class DurationsModel(V2Model):
    """Of the last commands: half of them took no longer than p50."""

    samples: int = Field(ge=0)
    p50_us: int = Field(ge=0)
    p99_us: int = Field(ge=0)


#: By what it is known how long the network takes.
NetworkBy = Literal["commands", "pings"]


class NetworkModel(DurationsModel):
    """What passes between a client and its bankd, the programs at both ends included."""

    by: NetworkBy = Field(
        description="commands: of each, until its answer, less the time that the bankd had it; pings: until their "
        "PONG, where the bankd does not tell that"
    )


class LatencyModel(V2Model):
    """Where the waiting of a modem went, and what answers ahead spared it: totals since the program started."""

    commands: int = Field(ge=0)
    round_trips: int = Field(ge=0)
    hold_s: float = Field(ge=0)
    guesses: int = Field(ge=0)
    hits: int = Field(ge=0)
    misses: int = Field(ge=0)
    undone: int = Field(ge=0)
    restores: int = Field(ge=0)
    saved_s: float = Field(description="what the modem was spared, less what guessing cost it")
    waited_s: float | None = Field(None, ge=0, description="of clients")
    card_s: float | None = Field(None, ge=0, description="of bank slots")
    round_trip_s: float | None = Field(None, ge=0)


class LatencyPointModel(V2Model):
    """How commands fared between two reports of a program."""

    at: Time
    p50_us: int = Field(ge=0)
    p99_us: int = Field(ge=0)
    commands: int = Field(ge=0)
    hold_ms: int = Field(ge=0, description="how long the session was held for a lost link meanwhile")
    network_p50_us: int | None = Field(None, ge=0, description="of clients: what the network took, see `network_by`")
    network_by: NetworkBy | None = None


class LatencyCourseModel(V2Model):
    """What one end has told in the last ten minutes, the oldest first; empty: nothing, or it had no commands."""

    slot: str = Field(examples=["B1:3", "C7:0"])
    measures: Literal["card", "round_trip"] = Field(
        description="card: how long the card took; round_trip: from the client's sending to the answer"
    )
    points: list[LatencyPointModel]


class LatencyHistoryModel(V2Model):
    """How long the commands of a slot took of late, as both ends of its mapping tell."""

    courses: list[LatencyCourseModel]


class CardErrorModel(V2Model):
    """The last operation of a card that failed."""

    kind: str = Field(
        examples=["transmission"], description="no_reader, reader_busy, no_card, mute, protocol, transmission"
    )
    since: Time
    age_s: float = Field(ge=0)


class InventoryModel(V2Model):
    """What a card says of itself without a PIN. Numbers are shortened, unless revealed."""

    imsi: str | None = Field(None, examples=["00101…89"], description="absent unless the server keeps IMSIs")
    service_provider: str | None = None
    eid: str | None = Field(None, examples=["89049032…0018"], description="of an eUICC")
    since: Time | None = Field(None, description="absent: since before this run of the server")
    age_s: float | None = Field(None, ge=0)
    source: str


class SlotFiguresModel(V2Model):
    """What a bankd counts of one slot, since it started."""

    since: Time = Field(description="when the bankd told this")
    age_s: float = Field(ge=0)
    commands: int = Field(ge=0)
    resets: int = Field(ge=0)
    mutes: int = Field(ge=0)
    transmission_errors: int = Field(ge=0)
    other_errors: int = Field(ge=0)
    recoveries: int = Field(ge=0)
    mutes_in_1h: int = Field(ge=0)
    transmission_errors_in_1h: int = Field(ge=0)
    last_error: CardErrorModel | None = None
    card_time: DurationsModel | None = None
    latency: LatencyModel | None = None


class ClientFiguresModel(V2Model):
    """What a client counts of one slot, since it started."""

    since: Time = Field(description="when the client told this")
    age_s: float = Field(ge=0)
    commands: int = Field(ge=0)
    failures: int = Field(ge=0, description="commands without an answer")
    resets: int = Field(ge=0)
    cuts: int = Field(ge=0)
    cuts_in_1h: int = Field(ge=0)
    resumes: int = Field(ge=0)
    longest_hold_s: float = Field(ge=0)
    guesses_hit: int = Field(ge=0)
    guesses_missed: int = Field(ge=0)
    latency: LatencyModel | None = None


class HealthModel(V2Model):
    """A verdict on a slot. It is made anew for each answer, and clears itself."""

    kind: str = Field(examples=["contact"], description="for programs; ok and unknown are no trouble")
    trouble: bool = Field(description="somebody should look at it")
    verdict: str = Field(description="in words; empty if all is well")
    advice: str = Field(description="what to do; empty if nothing is")
    since: Time
    age_s: float = Field(ge=0)


class SlotHealthModel(HealthModel):
    """The verdict on a bank slot."""

    figures: SlotFiguresModel | None = Field(None, description="where one slot is asked for, and its bankd tells")


class ClientHealthModel(HealthModel):
    """The verdict on a client slot."""

    figures: ClientFiguresModel | None = Field(None, description="where one slot is asked for, and its client tells")


class BankModel(V2Model):
    """A bank that is, or was, connected, or has mappings."""

    bank: Id
    link: LinkObserved
    last_seen_at: Time | None = None
    name: str | None = None
    software: str | None = None
    version: str | None = None
    address: str | None = None
    clients_go_to: list[str] = Field(description="where its clients are sent; empty while it is absent")
    slots: int = Field(ge=0)
    mappings: int = Field(ge=0, description="those that the token may see")
    known_cards: int = Field(ge=0)


class LockModel(V2Model):
    """A bank slot that gets no new mapping and no lease; what it has goes on."""

    reason: str = Field(description="who locked it is in the audit log")
    since: Time
    age_s: float = Field(ge=0)


class BankSlotModel(V2Model):
    """One slot of a bank."""

    slot: BankSlotText
    labels: list[str]
    card: PresenceObserved
    reader: str | None = Field(
        None,
        description="suspended, or probing: its reader has failed several times; absent: it works, or nobody tells",
    )
    iccid: ShortIccid | None = None
    lock: LockModel | None = None
    mapping: MappingModel | None = None
    hidden_mapping: bool | None = Field(None, description=_HIDDEN)
    unmapped_since: Time | None = Field(None, description=_UNMAPPED)
    session: SessionModel | None = None
    health: SlotHealthModel | None = None
    inventory: InventoryModel | None = Field(None, description="where one slot is asked for")
    reader_name: str | None = Field(None, description="where one slot is asked for, and its bankd tells")
    atr: str | None = Field(None, description="likewise: what the card answered to reset last, in hex")


class LinesModel(V2Model):
    """The lines of a modem's card slot; what is absent, the hardware does not tell."""

    reset: bool = Field(description="the modem holds RST active")
    vcc: bool | None = None
    clk: bool | None = None
    since: Time
    age_s: float = Field(ge=0)
    f_index: int | None = Field(None, ge=0, le=15, description="the speed that the modem chose (ISO/IEC 7816-3)")
    d_index: int | None = Field(None, ge=0, le=15)


class BoardModel(V2Model):
    """What plays the card to the modem."""

    present: bool
    name: str | None = None
    firmware: str | None = None


class ClientPhaseModel(Observed):
    """What a client says that it can do for its modem.

    init, unconfigured (no bankd given), wait_bankd, operational (the bankd serves it), holding (its link is lost).
    """

    bank: BankSlotText | None = Field(None, description="the bank slot that it was given")


class ClientSlotModel(V2Model):
    """A client slot that is, or was, connected, or is mapped."""

    slot: ClientSlotText
    labels: list[str]
    link: LinkObserved
    last_seen_at: Time | None = None
    name: str | None = None
    software: str | None = None
    version: str | None = None
    address: str | None = None
    mapping: MappingModel | None = None
    hidden_mapping: bool | None = Field(None, description=_HIDDEN)
    unmapped_since: Time | None = Field(None, description=_UNMAPPED)
    health: ClientHealthModel | None = None
    session: ClientPhaseModel | None = None
    emulator: str | None = Field(None, examples=["simtrace2"])
    board: BoardModel | None = None
    lines: LinesModel | None = None
    round_trip: DurationsModel | None = Field(None, description="from a command's hand-over to its answer")
    network: NetworkModel | None = None


class ClientModel(V2Model):
    """A client: its slots."""

    client: Id
    slots: list[ClientSlotModel]


class CardModel(V2Model):
    """A card whose number is known, in the slot where it was heard of last."""

    iccid: ShortIccid
    slot: BankSlotText
    presence: PresenceObserved
    labels: list[str] = Field(description="those of the card; its slot may have others")
    mapping: MappingModel | None = None
    hidden_mapping: bool | None = Field(None, description=_HIDDEN)
    inventory: InventoryModel | None = None


class LabelsModel(V2Model):
    """The labels of a bank slot, a client slot or a card."""

    subject: str = Field(examples=["B1:3", "C7:0", "iccid:890010…0018"])
    labels: list[str]


class TokenModel(V2Model):
    """An access token, without its secret."""

    id: str
    name: str
    role: Literal["viewer", "operator", "admin"]
    banks: list[Id] | None = Field(None, description="absent: all")
    clients: list[Id] | None = Field(None, description="absent: all")
    created_at: Time
    expires_at: Time | None = None
    revoked_at: Time | None = None


class AuditModel(V2Model):
    """Who changed or tried what."""

    id: int
    at: Time
    who: str
    source: str
    action: str
    target: str
    outcome: str
    detail: str


class EventModel(V2Model):
    """Something happened."""

    id: str = Field(description="for Last-Event-ID, or as cursor", examples=["3-1017"])
    at: Time
    kind: str = Field(json_schema_extra={"enum": list(KINDS)})
    level: Literal["debug", "info", "warning", "error"]
    bank_slot: BankSlotText | None = None
    client_slot: ClientSlotText | None = None
    data: dict[str, object]


class ChangeModel(V2Model):
    """One thing that differs."""

    kind: Literal["mapping", "labels"]
    subject: str = Field(examples=["C7:0", "B1:3"])
    before: str | None = Field(None, description="absent: nothing")
    after: str | None = Field(None, description="absent: nothing")


class ApplyModel(V2Model):
    """What differed from a desired state; unless it was a dry run, it does not any more."""

    dry_run: bool
    changes: list[ChangeModel]


Next = Annotated[str | None, Field(description="give it as cursor for what follows; absent: that was all")]


class PageOf(V2Model, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: Next = None


class BankPage(PageOf[BankModel]):
    """Banks."""


class BankSlotPage(PageOf[BankSlotModel]):
    """Slots of one bank."""


class ClientPage(PageOf[ClientModel]):
    """Clients."""


class ClientSlotPage(PageOf[ClientSlotModel]):
    """Slots of one client."""


class CardPage(PageOf[CardModel]):
    """Cards."""


class MappingPage(PageOf[MappingModel]):
    """Mappings."""


class SessionPage(PageOf[SessionModel]):
    """Card sessions."""


class LabelsPage(PageOf[LabelsModel]):
    """What has labels."""


class TokenPage(PageOf[TokenModel]):
    """Tokens."""


class EventPage(V2Model):
    """Events."""

    items: list[EventModel]
    next: str = Field(description="give it as cursor for what follows, now or later")
    lost: bool = Field(default=False, description="events behind the cursor are not kept any more: get the lists anew")


class AuditPage(PageOf[AuditModel]):
    """Entries of the audit log."""


# Bodies of requests


class MappingOrder(V2Order):
    """Which card a client slot is to have."""

    card: str = Field(
        description="a bank slot, a card by its number (an IMSI, if the server keeps them), or any free card with a "
        "label",
        pattern=f"^{CARD}$",
        examples=["B1:3", "iccid:8900101234567890018", "imsi:001010123456789", "label:roaming"],
    )
    follow: Literal["slot", "card"] | None = Field(
        None, description="what the mapping follows; absent: as it is, and the slot for a new one"
    )


class FleetOrder(V2Order):
    """A desired state as a whole; a part that is left out stays as it is."""

    mappings: dict[ClientSlotText, str | MappingOrder] | None = Field(
        None,
        description="which card each client slot has, and what its mapping follows; others have none",
        examples=[{"C7:0": "label:roaming"}],
    )
    labels: dict[str, list[str]] | None = Field(
        None, description="which labels each slot or card has; others have none", examples=[{"B1:3": ["roaming"]}]
    )


class LockOrder(V2Order):
    """Why a bank slot is to be locked."""

    reason: str = Field(min_length=1, max_length=200, examples=["contact trouble: cleaned on Monday"])


class LabelsOrder(V2Order):
    """Which labels something is to have; others are taken away."""

    labels: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(max_length=8, examples=[["roaming"]])
