# SPDX-License-Identifier: Apache-2.0
"""What programs tell their server of the slots that they serve: abilities ``slots.2``, ``client.1``,
``inventory.1``, ``conditions.1``.

Each message tells all of one slot, so the newest one counts and the others may be lost. Times are ages in
milliseconds, because nobody's clock is right. No field holds bytes of a command or of its answer.
"""

from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.wire.messages.open_enum import OpenEnum

#: Counts and ages end here; what is more counts as so much. In milliseconds it is 24 days.
MAX_COUNT: Final = 2**31 - 1
MAX_AGE_MS: Final = 2**31 - 1
#: Names of readers, boards and the like. PC/SC has names of up to 128 bytes, one of which ends it.
MAX_READER: Final = 128
MAX_KIND: Final = 32
MAX_DESCRIPTION: Final = 64
#: Parts of the clock frequency (ISO/IEC 7816-3, tables 7 and 8): indexes of four bits.
MAX_SPEED_INDEX: Final = 15
#: Of what is wrong with a host: so many things at a time; characters of a name and of the words.
MAX_CONDITIONS: Final = 32
MAX_CODE: Final = 32
MAX_CONDITION: Final = 255
#: Digits of an IMSI (3GPP TS 23.003, 2.2: 6 to 15), and of an EID (GSMA SGP.29: 32).
MIN_IMSI, MAX_IMSI = 6, 15
EID_DIGITS: Final = 32
#: The service provider's name in UTF-8: EF.SPN has 16 bytes, in an alphabet whose characters need three at most.
MAX_PROVIDER: Final = 64


class SessionPhase(OpenEnum):
    """Where a card session stands (abilities ``sessions.1`` and ``slots.2``)."""

    NONE = 0  # there is none, or it is over
    ATTACHED = 1  # it ends with its link
    RESUMABLE = 2  # it outlives its link
    DETACHED = 3  # its link is lost; it is held


class CardErrorKind(OpenEnum):
    """Why an operation of a card failed."""

    NO_READER = 0  # none configured, unplugged, or its service is gone
    READER_BUSY = 1  # another program holds the reader or its card
    NO_CARD = 2
    MUTE = 3  # no ATR, or no answer in time
    PROTOCOL = 4  # card or reader cannot exchange T=0 TPDUs
    TRANSMISSION = 5  # a command failed with unknown outcome


class ClientPhase(OpenEnum):
    """What a client slot can do for its modem."""

    INIT = 0  # no server has accepted it yet
    UNCONFIGURED = 1  # known to the server, no bankd given
    WAIT_BANKD = 2  # bankd given; not connected, or it has no card for it yet
    OPERATIONAL = 3  # the bankd serves it
    HOLDING = 4  # the link is lost, the session is held


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Durations of the last commands, in microseconds: half of them took no longer than ``p50_us``."""

    samples: int
    p50_us: int
    p99_us: int


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """What passes between a client and its bankd, the programs at both ends included: ability ``times.1``."""

    #: Of commands, less the time that the bankd had each; or of PINGs, where it does not tell that.
    times: Quantiles
    is_of_pings: bool


@dataclass(frozen=True, slots=True)
class SlotCounters:
    """Totals of a bank slot since its bankd started."""

    commands: int = 0
    resets: int = 0
    #: Operations that failed: without an answer, in transmission, and for other reasons.
    mutes: int = 0
    transmission_errors: int = 0
    other_errors: int = 0
    #: How often the card answered again after it had failed.
    recoveries: int = 0


@dataclass(frozen=True, slots=True)
class RecentErrors:
    """Operations of a card that failed within the last hour."""

    mutes: int = 0
    transmission_errors: int = 0


@dataclass(frozen=True, slots=True)
class LastError:
    """The last operation of a card that failed."""

    kind: CardErrorKind
    age_ms: int


@dataclass(frozen=True, slots=True)
class SameStatus:
    """The card has answered the last ``count`` commands with this status word, which says that it cannot do it."""

    status_word: int
    count: int
    #: How long ago the first of them was.
    age_ms: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Where a modem's waiting went, and what answers ahead spared it: totals since the program started."""

    commands: int = 0
    #: Commands for which the modem waited for the bankd.
    round_trips: int = 0
    #: How long sessions were held while a command waited.
    hold_ms: int = 0
    #: Commands that the bankd ran before the modem sent them; those of them that it sent, and those that did not fit.
    guesses: int = 0
    hits: int = 0
    misses: int = 0
    #: Guesses after which the card was brought back to what the modem believes, and the commands that this took.
    undone: int = 0
    restores: int = 0
    #: Waiting that the modem was spared, less what guessing cost it.
    saved_ms: int = 0
    #: How long the modem waited: known to its client only.
    waited_ms: int | None = None
    #: How long the card took: known to its bankd only.
    card_ms: int | None = None
    #: How long a command and its answer are on their way.
    round_trip_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SlotHealthInd:
    """How a bank slot stands: ability ``slots.2``."""

    bank_slot: BankSlot
    is_present: bool
    #: Since when there is a card, or none.
    presence_age_ms: int
    phase: SessionPhase
    phase_age_ms: int
    counters: SlotCounters
    recent: RecentErrors
    #: The reader's name; None: the slot has none.
    reader: str | None = None
    #: The ATR that the card gave last.
    atr: bytes | None = None
    iccid: str | None = None
    #: Whose session it is.
    client: ClientSlot | None = None
    last_error: LastError | None = None
    same_status: SameStatus | None = None
    card_time: Quantiles | None = None
    latency: Latency | None = None


@dataclass(frozen=True, slots=True)
class ClientCounters:
    """Totals of a client slot since its program started."""

    commands: int = 0
    #: Commands that got no answer.
    failures: int = 0
    resets: int = 0
    #: Links to the bankd that were lost while the session was held, and sessions that went on over another link.
    cuts: int = 0
    resumes: int = 0
    #: Of the cuts, those within the last hour.
    recent_cuts: int = 0
    longest_hold_ms: int = 0
    #: Answers that were there before the command, and those that did not fit.
    guesses_hit: int = 0
    guesses_missed: int = 0


@dataclass(frozen=True, slots=True)
class ModemLines:
    """The lines of a modem's card slot. None: the hardware does not tell."""

    age_ms: int
    is_reset_active: bool
    has_vcc: bool | None = None
    has_clk: bool | None = None


@dataclass(frozen=True, slots=True)
class ModemSpeed:
    """What modem and emulator agreed on (ISO/IEC 7816-3, clause 9)."""

    f_index: int
    d_index: int


@dataclass(frozen=True, slots=True)
class ClientHealthInd:
    """How a client slot stands: ability ``client.1``."""

    client_slot: ClientSlot
    phase: ClientPhase
    phase_age_ms: int
    counters: ClientCounters
    #: What plays the card: ``simtrace2``, ``vpcd``.
    emulator: str | None = None
    board: str | None = None
    firmware: str | None = None
    #: None: the emulator needs none.
    has_hardware: bool | None = None
    #: The bank slot that it was given.
    bank_slot: BankSlot | None = None
    lines: ModemLines | None = None
    speed: ModemSpeed | None = None
    #: From a command's hand-over to its answer, guesses left out.
    round_trip: Quantiles | None = None
    latency: Latency | None = None
    network: NetworkTime | None = None


@dataclass(frozen=True, slots=True)
class InventoryInd:
    """What the card in a slot tells without a PIN: ability ``inventory.1``."""

    bank_slot: BankSlot
    iccid: str | None = None
    imsi: str | None = None
    #: UTF-8.
    service_provider: bytes | None = None
    eid: str | None = None


@dataclass(frozen=True, slots=True)
class HostCondition:
    """One thing that is wrong. ``code`` is one of ``remsim.core.host_codes``, or of a later version."""

    code: str
    is_error: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HostConditionsInd:
    """All that is wrong with the host of a bankd; an empty list: nothing is. Ability ``conditions.1``."""

    conditions: tuple[HostCondition, ...]
