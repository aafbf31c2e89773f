# SPDX-License-Identifier: Apache-2.0
"""The message table: every structure of ``rspro.asn`` with its fields, identifiers and limits.

One table serves the codec, the generated protocol documentation and the tests, which compare it with the schema
file. What is ours are whole messages, from FIRST_OF_OURS on, and elements of others that the ability of their own
allows (``abilities.ABILITY_OF_ELEMENTS``); the rest is what every classic decoder knows.
"""

from typing import Final

from remsim.core.ids import MAX_ID, BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.wire.messages import extensions, health, rspro


@dataclass(frozen=True, slots=True)
class Integer:
    """INTEGER (low..high)."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Enumerated:
    """ENUMERATED; an open one keeps numbers that are not listed."""

    cls: type[
        rspro.ComponentType
        | rspro.ResultCode
        | rspro.ErrorCode
        | rspro.ErrorSeverity
        | rspro.AddressKind
        | rspro.ReaderState
        | rspro.SessionEnd
        | health.SessionPhase
        | health.CardErrorKind
        | health.ClientPhase
        | extensions.TraceKind
        | extensions.TraceOrigin
    ]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Boolean:
    """BOOLEAN."""


@dataclass(frozen=True, slots=True)
class Text:
    """IA5String (SIZE (low..high))."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class ByteString:
    """OCTET STRING (SIZE (low..high))."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class IpAddress:
    """CHOICE { ipv4 [0] OCTET STRING (SIZE (4)), ipv6 [1] OCTET STRING (SIZE (16)) }."""


@dataclass(frozen=True, slots=True)
class SequenceOf:
    """SEQUENCE OF item, each under ``identifier``."""

    identifier: int
    item: "Kind"
    most: int


@dataclass(frozen=True, slots=True)
class Field:
    """One component of a SEQUENCE. ``name`` is that of the ASN.1, ``attr`` that of the dataclass."""

    name: str
    attr: str
    identifier: int
    kind: "Kind"
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Struct:
    """A SEQUENCE and the dataclass that stands for it; an extensible one may be followed by unknown elements."""

    name: str
    cls: type
    fields: tuple[Field, ...]
    is_extensible: bool = True


Kind = Integer | Enumerated | Boolean | Text | ByteString | IpAddress | SequenceOf | Struct

BOOLEAN, INTEGER, OCTET_STRING, ENUMERATED, IA5_STRING, SEQUENCE = 0x01, 0x02, 0x04, 0x0A, 0x16, 0x30
IPV4, IPV6 = 0x80, 0x81

#: Bound of a list of ours: more is a mistake or an attack.
MAX_ADVERTISED: Final = 16

_ID = Integer(0, MAX_ID)
_NAME = Text(1, rspro.MAX_NAME)
_RESULT = Field("result", "result", ENUMERATED, Enumerated(rspro.ResultCode, is_open=True))
_FLAG = Boolean()
_TOKEN = ByteString(rspro.MIN_TOKEN, rspro.MAX_TOKEN)

COMPONENT_IDENTITY = Struct(
    "ComponentIdentity",
    rspro.ComponentIdentity,
    (
        Field("type", "type", ENUMERATED, Enumerated(rspro.ComponentType, is_open=False)),
        Field("name", "name", IA5_STRING, _NAME),
        Field("software", "software", 0x80, _NAME),
        Field("swVersion", "sw_version", 0x81, _NAME),
        Field("hwManufacturer", "hw_manufacturer", 0x82, _NAME, is_optional=True),
        Field("hwModel", "hw_model", 0x83, _NAME, is_optional=True),
        Field("hwSerialNr", "hw_serial_nr", 0x84, _NAME, is_optional=True),
        Field("hwVersion", "hw_version", 0x85, _NAME, is_optional=True),
        Field("fwVersion", "fw_version", 0x86, _NAME, is_optional=True),
    ),
)
CLIENT_SLOT = Struct(
    "ClientSlot",
    ClientSlot,
    (Field("clientId", "client_id", INTEGER, _ID), Field("slotNr", "slot_nr", INTEGER, _ID)),
)
BANK_SLOT = Struct(
    "BankSlot",
    BankSlot,
    (Field("bankId", "bank_id", INTEGER, _ID), Field("slotNr", "slot_nr", INTEGER, _ID)),
)
IP_PORT = Struct(
    "IpPort",
    rspro.IpPort,
    (Field("ip", "ip", IPV4, IpAddress()), Field("port", "port", INTEGER, Integer(0, 65535))),
    is_extensible=False,
)
ADVERTISED_ADDRESS = Struct(
    "AdvertisedAddress",
    rspro.AdvertisedAddress,
    (
        Field("address", "address", SEQUENCE, IP_PORT),
        Field("kind", "kind", ENUMERATED, Enumerated(rspro.AddressKind, is_open=True)),
    ),
)
TPDU_FLAGS = Struct(
    "TpduFlags",
    rspro.TpduFlags,
    (
        Field("tpduHeaderPresent", "tpdu_header_present", BOOLEAN, _FLAG),
        Field("finalPart", "final_part", BOOLEAN, _FLAG),
        Field("procByteContinueTx", "proc_byte_continue_tx", BOOLEAN, _FLAG),
        Field("procByteContinueRx", "proc_byte_continue_rx", BOOLEAN, _FLAG),
    ),
)
SLOT_PHYS_STATUS = Struct(
    "SlotPhysStatus",
    rspro.SlotPhysStatus,
    (
        Field("resetActive", "reset_active", 0x80, _FLAG),
        Field("vccPresent", "vcc_present", 0x81, _FLAG, is_optional=True),
        Field("clkActive", "clk_active", 0x82, _FLAG, is_optional=True),
        Field("cardPresent", "card_present", 0x83, _FLAG, is_optional=True),
    ),
)

_MICROSECONDS = Integer(0, extensions.MAX_MICROSECONDS)
_HIDDEN = ByteString(1, extensions.MAX_HIDDEN)
TRACE_RECORD = Struct(
    "TraceRecord",
    extensions.TraceRecord,
    (
        Field("kind", "kind", ENUMERATED, Enumerated(extensions.TraceKind, is_open=True)),
        Field("origin", "origin", ENUMERATED, Enumerated(extensions.TraceOrigin, is_open=True)),
        Field("ageUs", "age_us", INTEGER, _MICROSECONDS),
        Field(
            "session", "session", 0x80, ByteString(extensions.SESSION_LABEL, extensions.SESSION_LABEL), is_optional=True
        ),
        Field("tag", "tag", 0x81, Integer(0, rspro.MAX_OPERATION_TAG), is_optional=True),
        Field("index", "index", 0x82, Integer(1, extensions.MAX_AHEAD), is_optional=True),
        Field("command", "command", 0x83, ByteString(0, rspro.MAX_COMMAND), is_optional=True),
        Field("response", "response", 0x84, ByteString(0, rspro.MAX_RESPONSE), is_optional=True),
        Field("hiddenCommand", "hidden_command", 0x85, _HIDDEN, is_optional=True),
        Field("hiddenResponse", "hidden_response", 0x86, _HIDDEN, is_optional=True),
        Field("words", "words", 0x87, Text(1, extensions.MAX_WORDS), is_optional=True),
        Field("spentUs", "spent_us", 0x88, _MICROSECONDS, is_optional=True),
    ),
)
_COUNT = Integer(0, health.MAX_COUNT)
_AGE = Integer(0, health.MAX_AGE_MS)

QUANTILES = Struct(
    "Quantiles",
    health.Quantiles,
    (
        Field("samples", "samples", INTEGER, _COUNT),
        Field("p50us", "p50_us", INTEGER, _COUNT),
        Field("p99us", "p99_us", INTEGER, _COUNT),
    ),
)
NETWORK_TIME = Struct(
    "NetworkTime",
    health.NetworkTime,
    (Field("times", "times", SEQUENCE, QUANTILES), Field("isOfPings", "is_of_pings", BOOLEAN, _FLAG)),
)
SLOT_COUNTERS = Struct(
    "SlotCounters",
    health.SlotCounters,
    (
        Field("commands", "commands", INTEGER, _COUNT),
        Field("resets", "resets", INTEGER, _COUNT),
        Field("mutes", "mutes", INTEGER, _COUNT),
        Field("transmissionErrors", "transmission_errors", INTEGER, _COUNT),
        Field("otherErrors", "other_errors", INTEGER, _COUNT),
        Field("recoveries", "recoveries", INTEGER, _COUNT),
    ),
)
RECENT_ERRORS = Struct(
    "RecentErrors",
    health.RecentErrors,
    (
        Field("mutes", "mutes", INTEGER, _COUNT),
        Field("transmissionErrors", "transmission_errors", INTEGER, _COUNT),
    ),
)
LAST_ERROR = Struct(
    "LastError",
    health.LastError,
    (
        Field("kind", "kind", ENUMERATED, Enumerated(health.CardErrorKind, is_open=True)),
        Field("ageMs", "age_ms", INTEGER, _AGE),
    ),
)
SAME_STATUS = Struct(
    "SameStatus",
    health.SameStatus,
    (
        Field("statusWord", "status_word", INTEGER, Integer(0, 65535)),
        Field("count", "count", INTEGER, _COUNT),
        Field("ageMs", "age_ms", INTEGER, _AGE),
    ),
)
LATENCY = Struct(
    "Latency",
    health.Latency,
    (
        Field("commands", "commands", INTEGER, _COUNT),
        Field("roundTrips", "round_trips", INTEGER, _COUNT),
        Field("holdMs", "hold_ms", INTEGER, _COUNT),
        Field("guesses", "guesses", INTEGER, _COUNT),
        Field("hits", "hits", INTEGER, _COUNT),
        Field("misses", "misses", INTEGER, _COUNT),
        Field("undone", "undone", INTEGER, _COUNT),
        Field("restores", "restores", INTEGER, _COUNT),
        Field("savedMs", "saved_ms", INTEGER, Integer(-health.MAX_COUNT, health.MAX_COUNT)),
        Field("waitedMs", "waited_ms", 0x80, _COUNT, is_optional=True),
        Field("cardMs", "card_ms", 0x81, _COUNT, is_optional=True),
        Field("roundTripMs", "round_trip_ms", 0x82, _COUNT, is_optional=True),
    ),
)
CLIENT_COUNTERS = Struct(
    "ClientCounters",
    health.ClientCounters,
    (
        Field("commands", "commands", INTEGER, _COUNT),
        Field("failures", "failures", INTEGER, _COUNT),
        Field("resets", "resets", INTEGER, _COUNT),
        Field("cuts", "cuts", INTEGER, _COUNT),
        Field("resumes", "resumes", INTEGER, _COUNT),
        Field("recentCuts", "recent_cuts", INTEGER, _COUNT),
        Field("longestHoldMs", "longest_hold_ms", INTEGER, _COUNT),
        Field("guessesHit", "guesses_hit", INTEGER, _COUNT),
        Field("guessesMissed", "guesses_missed", INTEGER, _COUNT),
    ),
)
MODEM_LINES = Struct(
    "ModemLines",
    health.ModemLines,
    (
        Field("ageMs", "age_ms", INTEGER, _AGE),
        Field("resetActive", "is_reset_active", BOOLEAN, _FLAG),
        Field("vccPresent", "has_vcc", 0x80, _FLAG, is_optional=True),
        Field("clkActive", "has_clk", 0x81, _FLAG, is_optional=True),
    ),
)
MODEM_SPEED = Struct(
    "ModemSpeed",
    health.ModemSpeed,
    (
        Field("fIndex", "f_index", INTEGER, Integer(0, health.MAX_SPEED_INDEX)),
        Field("dIndex", "d_index", INTEGER, Integer(0, health.MAX_SPEED_INDEX)),
    ),
)
HOST_CONDITION = Struct(
    "HostCondition",
    health.HostCondition,
    (
        Field("code", "code", IA5_STRING, Text(1, health.MAX_CODE)),
        Field("isError", "is_error", BOOLEAN, _FLAG),
        Field("detail", "detail", IA5_STRING, Text(1, health.MAX_CONDITION)),
    ),
)

_IDENTITY = Field("identity", "identity", SEQUENCE, COMPONENT_IDENTITY)
_MAPPING = (Field("client", "client", SEQUENCE, CLIENT_SLOT), Field("bank", "bank", SEQUENCE, BANK_SLOT))
_FROM_CLIENT = (
    Field("fromClientSlot", "from_client_slot", SEQUENCE, CLIENT_SLOT),
    Field("toBankSlot", "to_bank_slot", SEQUENCE, BANK_SLOT),
)
_FROM_BANK = (
    Field("fromBankSlot", "from_bank_slot", SEQUENCE, BANK_SLOT),
    Field("toClientSlot", "to_client_slot", SEQUENCE, CLIENT_SLOT),
)
_FLAGS = Field("flags", "flags", SEQUENCE, TPDU_FLAGS)
_DATA = Field("data", "data", OCTET_STRING, ByteString(0, 65535))
_BANK_TIME = Field("bankTime", "bank_us", 0x96, Integer(0, extensions.MAX_MICROSECONDS), is_optional=True)
_STATUS = Field("slotPhysStatus", "slot_phys_status", SEQUENCE, SLOT_PHYS_STATUS)

#: Alternative number (context tag of ``RsproPDU.msg``) to structure; the structure's name is that of the alternative.
ALTERNATIVES: Final[dict[int, Struct]] = {
    0: Struct(
        "connectBankReq",
        rspro.ConnectBankReq,
        (
            _IDENTITY,
            Field("bankId", "bank_id", INTEGER, _ID),
            Field("numberOfSlots", "number_of_slots", INTEGER, _ID),
        ),
    ),
    1: Struct("connectBankRes", rspro.ConnectBankRes, (_IDENTITY, _RESULT)),
    2: Struct(
        "connectClientReq",
        rspro.ConnectClientReq,
        (_IDENTITY, Field("clientSlot", "client_slot", SEQUENCE, CLIENT_SLOT, is_optional=True)),
    ),
    3: Struct("connectClientRes", rspro.ConnectClientRes, (_IDENTITY, _RESULT)),
    4: Struct("createMappingReq", rspro.CreateMappingReq, _MAPPING),
    5: Struct("createMappingRes", rspro.CreateMappingRes, (_RESULT,)),
    6: Struct("removeMappingReq", rspro.RemoveMappingReq, _MAPPING),
    7: Struct("removeMappingRes", rspro.RemoveMappingRes, (_RESULT,)),
    8: Struct(
        "configClientIdReq", rspro.ConfigClientIdReq, (Field("clientSlot", "client_slot", SEQUENCE, CLIENT_SLOT),)
    ),
    9: Struct("configClientIdRes", rspro.ConfigClientIdRes, (_RESULT,)),
    10: Struct(
        "setAtrReq",
        rspro.SetAtrReq,
        (
            Field("slot", "slot", SEQUENCE, CLIENT_SLOT),
            Field("atr", "atr", OCTET_STRING, ByteString(1, rspro.MAX_ATR)),
        ),
    ),
    11: Struct("setAtrRes", rspro.SetAtrRes, (_RESULT,)),
    12: Struct("tpduModemToCard", rspro.TpduModemToCard, (*_FROM_CLIENT, _FLAGS, _DATA)),
    13: Struct("tpduCardToModem", rspro.TpduCardToModem, (*_FROM_BANK, _FLAGS, _DATA, _BANK_TIME)),
    14: Struct("clientSlotStatusInd", rspro.ClientSlotStatusInd, (*_FROM_CLIENT, _STATUS)),
    15: Struct("bankSlotStatusInd", rspro.BankSlotStatusInd, (*_FROM_BANK, _STATUS)),
    16: Struct(
        "errorInd",
        rspro.ErrorInd,
        (
            Field("sender", "sender", ENUMERATED, Enumerated(rspro.ComponentType, is_open=False)),
            Field("severity", "severity", ENUMERATED, Enumerated(rspro.ErrorSeverity, is_open=True)),
            Field("code", "code", ENUMERATED, Enumerated(rspro.ErrorCode, is_open=True)),
            Field("bankSlot", "bank_slot", 0xA0, BANK_SLOT, is_optional=True),
            Field("clientSlot", "client_slot", 0xA1, CLIENT_SLOT, is_optional=True),
            Field("errorString", "error_string", 0x82, Text(1, rspro.MAX_ERROR_STRING), is_optional=True),
        ),
    ),
    17: Struct(
        "configClientBankReq",
        rspro.ConfigClientBankReq,
        (Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT), Field("bankd", "bankd", SEQUENCE, IP_PORT)),
    ),
    18: Struct("configClientBankRes", rspro.ConfigClientBankRes, (_RESULT,)),
    # Declared extensible, yet the classic decoder refuses any element inside it (interop.md, b): so do we.
    19: Struct("resetStateReq", rspro.ResetStateReq, (), is_extensible=False),
    20: Struct("resetStateRes", rspro.ResetStateRes, (_RESULT,)),
    40: Struct(
        "revocationListInd",
        extensions.RevocationListInd,
        (
            Field("total", "total", INTEGER, Integer(1, extensions.MAX_LIST)),
            Field("offset", "offset", INTEGER, Integer(0, extensions.MAX_LIST - 1)),
            Field("content", "raw", OCTET_STRING, ByteString(1, extensions.MAX_LIST_PART)),
        ),
    ),
    41: Struct(
        "auditInd",
        extensions.AuditInd,
        (
            Field("action", "action", IA5_STRING, Text(1, extensions.MAX_ACTION)),
            Field("isRefused", "is_refused", BOOLEAN, _FLAG),
            Field("bankSlot", "bank_slot", 0xA0, BANK_SLOT, is_optional=True),
            Field("clientSlot", "client_slot", 0xA1, CLIENT_SLOT, is_optional=True),
            Field("detail", "detail", 0x82, Text(1, extensions.MAX_DETAIL), is_optional=True),
        ),
    ),
    42: Struct(
        "certifiedInd",
        extensions.CertifiedInd,
        (
            Field("isFirst", "is_first", BOOLEAN, _FLAG),
            Field("isLast", "is_last", BOOLEAN, _FLAG),
            Field(
                "clients",
                "clients",
                SEQUENCE,
                SequenceOf(IA5_STRING, Text(1, extensions.MAX_IDENTITY), extensions.MAX_CERTIFIED_PART),
            ),
        ),
    ),
    43: Struct(
        "cardInd",
        extensions.CardInd,
        (
            Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT),
            Field("iccid", "iccid", 0x80, Text(1, extensions.MAX_ICCID), is_optional=True),
        ),
    ),
    44: Struct(
        "addressesInd",
        rspro.AddressesInd,
        (Field("addresses", "addresses", SEQUENCE, SequenceOf(SEQUENCE, ADVERTISED_ADDRESS, MAX_ADVERTISED)),),
    ),
    45: Struct(
        "sessionInd",
        rspro.SessionInd,
        (
            Field("isResumed", "is_resumed", BOOLEAN, _FLAG),
            Field("token", "token", OCTET_STRING, _TOKEN),
            Field("holdIdleMs", "hold_idle_ms", INTEGER, Integer(0, rspro.MAX_HOLD_MS)),
            Field("holdBusyMs", "hold_busy_ms", INTEGER, Integer(0, rspro.MAX_HOLD_MS)),
            Field("lastTag", "last_tag", INTEGER, Integer(0, rspro.MAX_OPERATION_TAG)),
        ),
    ),
    46: Struct(
        "resumeInd",
        rspro.ResumeInd,
        (
            Field("token", "token", OCTET_STRING, _TOKEN),
            Field("waitsFor", "waits_for", 0x80, Integer(0, rspro.MAX_OPERATION_TAG), is_optional=True),
        ),
    ),
    47: Struct(
        "sessionEndInd",
        rspro.SessionEndInd,
        (Field("cause", "cause", ENUMERATED, Enumerated(rspro.SessionEnd, is_open=True)),),
    ),
    48: Struct(
        "sessionStateInd",
        rspro.SessionStateInd,
        (
            Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT),
            Field("clientSlot", "client_slot", SEQUENCE, CLIENT_SLOT),
            Field("phase", "phase", ENUMERATED, Enumerated(health.SessionPhase, is_open=True)),
            Field("ageMs", "age_ms", INTEGER, Integer(0, rspro.MAX_OPERATION_TAG)),
            Field("cuts", "cuts", INTEGER, Integer(0, rspro.MAX_OPERATION_TAG)),
        ),
    ),
    49: Struct(
        "readerHealthInd",
        rspro.ReaderHealthInd,
        (
            Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT),
            Field("state", "state", ENUMERATED, Enumerated(rspro.ReaderState, is_open=True)),
            Field("failures", "failures", INTEGER, Integer(0, rspro.MAX_FAILURES)),
            Field("cause", "cause", 0x80, Text(1, rspro.MAX_ERROR_STRING), is_optional=True),
        ),
    ),
    50: Struct(
        "aheadInd",
        extensions.AheadInd,
        (
            Field("base", "base", INTEGER, Integer(0, rspro.MAX_OPERATION_TAG)),
            Field("index", "index", INTEGER, Integer(1, extensions.MAX_AHEAD)),
            Field("command", "command", OCTET_STRING, ByteString(rspro.MIN_COMMAND, rspro.MAX_COMMAND)),
            Field("response", "response", OCTET_STRING, ByteString(rspro.MIN_RESPONSE, rspro.MAX_RESPONSE)),
        ),
    ),
    51: Struct(
        "aheadUsedInd",
        extensions.AheadUsedInd,
        (
            Field("base", "base", INTEGER, Integer(0, rspro.MAX_OPERATION_TAG)),
            Field("count", "count", INTEGER, Integer(1, extensions.MAX_AHEAD)),
        ),
    ),
    52: Struct(
        "slotHealthInd",
        health.SlotHealthInd,
        (
            Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT),
            Field("isPresent", "is_present", BOOLEAN, _FLAG),
            Field("presenceAgeMs", "presence_age_ms", INTEGER, _AGE),
            Field("phase", "phase", ENUMERATED, Enumerated(health.SessionPhase, is_open=True)),
            Field("phaseAgeMs", "phase_age_ms", INTEGER, _AGE),
            Field("counters", "counters", SEQUENCE, SLOT_COUNTERS),
            Field("recent", "recent", SEQUENCE, RECENT_ERRORS),
            Field("reader", "reader", 0x80, Text(1, health.MAX_READER), is_optional=True),
            Field("atr", "atr", 0x81, ByteString(1, rspro.MAX_ATR), is_optional=True),
            Field("iccid", "iccid", 0x82, Text(1, extensions.MAX_ICCID), is_optional=True),
            Field("client", "client", 0xA3, CLIENT_SLOT, is_optional=True),
            Field("lastError", "last_error", 0xA4, LAST_ERROR, is_optional=True),
            Field("sameStatus", "same_status", 0xA5, SAME_STATUS, is_optional=True),
            Field("cardTime", "card_time", 0xA6, QUANTILES, is_optional=True),
            Field("latency", "latency", 0xA7, LATENCY, is_optional=True),
        ),
    ),
    53: Struct(
        "clientHealthInd",
        health.ClientHealthInd,
        (
            Field("clientSlot", "client_slot", SEQUENCE, CLIENT_SLOT),
            Field("phase", "phase", ENUMERATED, Enumerated(health.ClientPhase, is_open=True)),
            Field("phaseAgeMs", "phase_age_ms", INTEGER, _AGE),
            Field("counters", "counters", SEQUENCE, CLIENT_COUNTERS),
            Field("emulator", "emulator", 0x80, Text(1, health.MAX_KIND), is_optional=True),
            Field("board", "board", 0x81, Text(1, health.MAX_DESCRIPTION), is_optional=True),
            Field("firmware", "firmware", 0x82, Text(1, health.MAX_DESCRIPTION), is_optional=True),
            Field("hasHardware", "has_hardware", 0x83, _FLAG, is_optional=True),
            Field("bankSlot", "bank_slot", 0xA4, BANK_SLOT, is_optional=True),
            Field("lines", "lines", 0xA5, MODEM_LINES, is_optional=True),
            Field("speed", "speed", 0xA6, MODEM_SPEED, is_optional=True),
            Field("roundTrip", "round_trip", 0xA7, QUANTILES, is_optional=True),
            Field("latency", "latency", 0xA8, LATENCY, is_optional=True),
            Field("network", "network", 0xA9, NETWORK_TIME, is_optional=True),
        ),
    ),
    54: Struct(
        "traceReq",
        extensions.TraceReq,
        (
            Field("forMs", "for_ms", INTEGER, Integer(0, extensions.MAX_TRACE_MS)),
            Field("bankSlot", "bank_slot", 0xA0, BANK_SLOT, is_optional=True),
            Field("clientSlot", "client_slot", 0xA1, CLIENT_SLOT, is_optional=True),
        ),
    ),
    55: Struct(
        "traceInd",
        extensions.TraceInd,
        (
            Field("leftOut", "left_out", INTEGER, Integer(0, extensions.MAX_MICROSECONDS)),
            Field("records", "records", SEQUENCE, SequenceOf(SEQUENCE, TRACE_RECORD, extensions.MAX_TRACE_RECORDS)),
            Field("bankSlot", "bank_slot", 0xA0, BANK_SLOT, is_optional=True),
            Field("clientSlot", "client_slot", 0xA1, CLIENT_SLOT, is_optional=True),
        ),
    ),
    57: Struct(
        "inventoryInd",
        health.InventoryInd,
        (
            Field("bankSlot", "bank_slot", SEQUENCE, BANK_SLOT),
            Field("iccid", "iccid", 0x80, Text(1, extensions.MAX_ICCID), is_optional=True),
            Field("imsi", "imsi", 0x81, Text(health.MIN_IMSI, health.MAX_IMSI), is_optional=True),
            Field(
                "serviceProvider",
                "service_provider",
                0x82,
                ByteString(1, health.MAX_PROVIDER),
                is_optional=True,
            ),
            Field("eid", "eid", 0x83, Text(health.EID_DIGITS, health.EID_DIGITS), is_optional=True),
        ),
    ),
    58: Struct(
        "hostConditionsInd",
        health.HostConditionsInd,
        (Field("conditions", "conditions", SEQUENCE, SequenceOf(SEQUENCE, HOST_CONDITION, health.MAX_CONDITIONS)),),
    ),
}
#: Alternatives of ours; classic programs know the others.
FIRST_OF_OURS: Final = 40
NUMBER_OF: Final[dict[type, int]] = {struct.cls: number for number, struct in ALTERNATIVES.items()}
