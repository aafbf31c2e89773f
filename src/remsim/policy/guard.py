# SPDX-License-Identifier: Apache-2.0
"""Which commands reach a card: rules that block or only note them, by class, instruction, file and length.

::

    [presets]                    # each "log" (the default), "block" or "off"
    pin-change = "block"         # CHANGE, ENABLE, DISABLE and UNBLOCK PIN
    file-update = "log"          # writing files other than those that a modem keeps up to date
    globalplatform = "log"       # managing applications and keys of the card

    [[rule]]                     # in their order, before the presets; the first that matches decides
    name = "phone book is private"
    action = "block"             # or "log", or "allow": no further rule is looked at
    cla = ["00/FC"]              # class bytes, with the mask of the bits that count
    ins = ["B2", "DC"]
    file = ["7F10/6F3A"]         # the end of the path: file identifiers and applications (see below)
    not_file = []                # or every file but these
    length = "1-255"             # bytes that the command brings
    banks = ["1"]                # limits the rule to these bank slots ...
    clients = ["23:0"]           # ... and these client slots

An application is ADF.USIM, ADF.ISIM and the like, ADF for any, or AID and the digits with which its AID begins.

A blocked command does not reach the card; the modem gets 6985. Where it is not known which file a command works on, it
counts as the file of any rule: a guard errs on the safe side, and says so with ``RuleMatch.path`` None.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Final

from remsim.card.filenames import application_prefix
from remsim.card.selection import Path, SelectionTracker, Step
from remsim.card.status import SW_CONDITIONS_NOT_SATISFIED
from remsim.card.tpdu import is_well_formed
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.policy.fields import PolicyError, Slots, Table, parse_slots

#: What the modem gets for a blocked command.
BLOCKED_RESPONSE: Final = SW_CONDITIONS_NOT_SATISFIED.to_bytes(2)

_HEADER: Final = 5
_MAX_NAME: Final = 64
#: Sets of rules whose tables are kept; most mappings of a bank have the same.
_TABLES: Final = 64
_CLA: Final = re.compile(r"([0-9A-F]{2})(?:/([0-9A-F]{2}))?", re.IGNORECASE)
_INS: Final = re.compile(r"[0-9A-F]{2}", re.IGNORECASE)
_STEP: Final = re.compile(r"[0-9A-F]{4}", re.IGNORECASE)
_ANY_APPLICATION: Final = "ADF"
_APPLICATION: Final = re.compile(r"ADF(?:\.[A-Za-z]{1,16})?|AID [0-9A-F]{2,32}")
_LENGTH: Final = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", re.ASCII)


class Action(Enum):
    """What becomes of a command that matches."""

    BLOCK = "block"
    LOG = "log"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class ClassMask:
    """Class bytes that agree with ``cla`` in the bits of ``mask``."""

    cla: int
    mask: int = 0xFF

    def has(self, cla: int) -> bool:
        """Whether a class byte is among them."""
        return (cla ^ self.cla) & self.mask == 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. An empty tuple, or None, does not restrict it."""

    name: str
    action: Action
    classes: tuple[ClassMask, ...] = ()
    instructions: frozenset[int] = frozenset()
    files: tuple[Path, ...] = ()
    not_files: tuple[Path, ...] = ()
    #: Fewest and most bytes of command data.
    length: tuple[int, int] | None = None
    banks: tuple[Slots, ...] = ()
    clients: tuple[Slots, ...] = ()
    #: Not about PIN commands that only ask how many tries are left. For presets; rule files have no key for it.
    spares_queries: bool = False

    def concerns(self, bank: BankSlot, client: ClientSlot) -> bool:
        """Whether the rule holds for this mapping."""
        if self.banks and not any(slots.has(bank.bank_id, bank.slot_nr) for slots in self.banks):
            return False
        return not self.clients or any(slots.has(client.client_id, client.slot_nr) for slots in self.clients)

    def matches(self, tpdu: bytes, target: Callable[[], Path | None]) -> bool:
        """Whether the rule is about this command, which is one; ``target`` tells the file that it works on."""
        if self.instructions and tpdu[1] not in self.instructions:
            return False
        if self.classes and not any(mask.has(tpdu[0]) for mask in self.classes):
            return False
        if self.length is not None and not self.length[0] <= len(tpdu) - _HEADER <= self.length[1]:
            return False
        if self.spares_queries and _asks_for_tries(tpdu):
            return False
        if not self.files and not self.not_files:
            return True
        path = target()
        if path is None:
            return True
        if self.files and not any(_may_end_with(path, end) for end in self.files):
            return False
        return not any(_must_end_with(path, end) for end in self.not_files)


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A command that a rule is about, for log and audit. Never the command's data."""

    action: Action
    rule: str
    #: CLA, INS, P1, P2, P3. Empty if the command's length is not what they say: then a PIN may stand anywhere.
    header: bytes
    #: The file that it works on, None if nobody knows.
    path: Path | None

    @property
    def is_blocked(self) -> bool:
        """Whether the card must not see it."""
        return self.action is Action.BLOCK


@lru_cache(maxsize=_TABLES)
def _by_instruction(rules: tuple[Rule, ...]) -> tuple[tuple[Rule, ...], ...]:
    """Of each instruction byte, the rules that may be about it. Mappings with the same rules share it."""
    return tuple(
        tuple(rule for rule in rules if not rule.instructions or ins in rule.instructions) for ins in range(256)
    )


class Guard:
    """Watches the commands of one mapping. Cheap for those that no rule is about."""

    def __init__(self, rules: Sequence[Rule], tracker: SelectionTracker | None = None) -> None:
        """``tracker`` knows what is selected; without it, the card was powered just now."""
        #: What is selected, for the guard that replaces this one.
        self.tracker = SelectionTracker() if tracker is None else tracker
        #: To be told of each command with the card's answer, and of each reset.
        self.on_exchange, self.on_reset = self.tracker.on_exchange, self.tracker.on_reset
        self._rules = _by_instruction(tuple(rules))

    def check(self, tpdu: bytes) -> RuleMatch | None:
        """What the rules say about a command before the card sees it; None: nothing."""
        if len(tpdu) < _HEADER:
            return None
        for rule in self._rules[tpdu[1]]:
            if rule.matches(tpdu, lambda: self.tracker.target(tpdu)):
                if rule.action is Action.ALLOW:
                    return None
                header = bytes(tpdu[:_HEADER]) if is_well_formed(tpdu) else b""
                return RuleMatch(rule.action, rule.name, header, self.tracker.target(tpdu))
        return None


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """All rules, presets included, in their order."""

    rules: tuple[Rule, ...]

    def concerns(self, bank: BankSlot, client: ClientSlot) -> bool:
        """Whether any rule holds for this mapping."""
        return any(rule.concerns(bank, client) for rule in self.rules)

    def guard_for(self, bank: BankSlot, client: ClientSlot, tracker: SelectionTracker | None = None) -> Guard:
        """The guard of one mapping; ``tracker`` as for ``Guard``."""
        return Guard([rule for rule in self.rules if rule.concerns(bank, client)], tracker)


def parse_guard_policy(text: str, origin: str, presets: Sequence[Rule]) -> GuardPolicy:
    """Read the rules; ``origin`` is the file's name, ``presets`` those that it can switch. Raises PolicyError."""
    table = Table.of_text(text, origin)
    switches = table.table("presets")
    rules = [_rule(rule) for rule in table.tables("rule")]
    table.finish()
    for name in dict.fromkeys(preset.name for preset in presets):
        action = switches.word(name, ("log", "block", "off"), "log")
        if action != "off":
            rules += [_with_action(preset, Action(action)) for preset in presets if preset.name == name]
    switches.finish()
    return GuardPolicy(tuple(rules))


def _with_action(rule: Rule, action: Action) -> Rule:
    return replace(rule, action=action)


def _rule(table: Table) -> Rule:
    name = table.text("name")
    if not 1 <= len(name) <= _MAX_NAME:
        raise table.error(f"name must have 1..{_MAX_NAME} characters")
    action = Action(table.word("action", [action.value for action in Action]))
    lengths = table.each("length", _parse_length)
    if len(lengths) > 1:
        raise table.error("length is one number or range")
    rule = Rule(
        name,
        action,
        table.each("cla", _parse_class),
        frozenset(table.each("ins", _parse_instruction)),
        table.each("file", parse_path),
        table.each("not_file", parse_path),
        lengths[0] if lengths else None,
        table.each("banks", parse_slots),
        table.each("clients", parse_slots),
    )
    table.finish()
    return rule


def parse_path(text: str) -> Path:
    """Read ``6F07``, ``7F20/6F07`` or ``ADF.USIM/6F07``. Raises PolicyError."""
    return tuple(_parse_step(step) for step in text.split("/"))


def _parse_step(text: str) -> Step:
    if _STEP.fullmatch(text):
        return int(text, 16)
    if _APPLICATION.fullmatch(text):
        return text
    raise PolicyError(
        f"{text!r} is neither a file identifier nor an application", hint="write for example 7F20/6F07 or ADF.USIM/6F07"
    )


def _parse_class(text: str) -> ClassMask:
    match = _CLA.fullmatch(text)
    if match is None:
        raise PolicyError(f"{text!r} is no class byte", hint="write for example A0, or 80/F0 for 80 to 8F")
    return ClassMask(int(match[1], 16), int(match[2] or "FF", 16))


def _parse_instruction(text: str) -> int:
    if _INS.fullmatch(text) is None:
        raise PolicyError(f"{text!r} is no instruction", hint="write two hex digits, for example D6")
    return int(text, 16)


def _parse_length(text: str) -> tuple[int, int]:
    match = _LENGTH.fullmatch(text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise PolicyError(f"{text!r} is no length", hint="write for example 8 or 10-255")
    return int(match[1]), int(match[2] or match[1])


def _asks_for_tries(tpdu: bytes) -> bool:
    """Whether a PIN command brings nothing, and the card answers 63Cx (ETSI TS 102 221, clauses 11.1.9 and 11.1.13).

    With another P1 than 00, RESET RETRY COUNTER and others work without data (ISO/IEC 7816-4, clause 11.5).
    """
    return len(tpdu) == _HEADER and tpdu[2] == 0 and tpdu[4] == 0


def _may_end_with(path: Path, end: Path) -> bool:
    """Whether a selected path may be one that ``end`` of a rule means: an application may be named only in part."""
    return len(end) <= len(path) and all(map(_may_be, path[-len(end) :], end))


def _must_end_with(path: Path, end: Path) -> bool:
    """Whether a selected path cannot be another than one that ``end`` means."""
    return len(end) <= len(path) and all(map(_must_be, path[-len(end) :], end))


def _may_be(step: Step, wanted: Step) -> bool:
    if _must_be(step, wanted):
        return True
    selected, meant = _aid_digits(step), _aid_digits(wanted)
    return selected is not None and meant is not None and meant.startswith(selected)


def _must_be(step: Step, wanted: Step) -> bool:
    if step == wanted:
        return True
    if wanted == _ANY_APPLICATION:
        return isinstance(step, str)
    selected, meant = _aid_digits(step), _aid_digits(wanted)
    return selected is not None and meant is not None and selected.startswith(meant)


def _aid_digits(step: Step) -> str | None:
    """The digits with which the AID of an application begins; None for a file."""
    if isinstance(step, int):
        return None
    return step.removeprefix("AID ") if step.startswith("AID ") else application_prefix(step)


# The shipped rules are about what a modem in normal service does not do; by default they only note it. Sources of the
# numbers: ISO 7816-4, clause 11; ETSI TS 102 221, clauses 10.1 and 13; 3GPP TS 31.102, clause 4; GlobalPlatform Card
# Specification, clause 11.

#: Files that a modem writes in normal service: location and security context, forbidden networks, messages, counters.
#: Those of TS 31.102 that it changes by itself; not what a person changes in a menu, such as the phone book.
MODEM_FILES: Final[tuple[Path, ...]] = (
    # LOCI, PSLOCI, LOCIGPRS, EPSLOCI, 5GS3GPPLOCI, 5GSN3GPPLOCI
    *((file,) for file in (0x6F7E, 0x6F73, 0x6F53, 0x6FE3, 0x4F01, 0x4F02)),
    # Keys, KeysPS, Kc, KcGPRS, EPSNSC, 5GS3GPPNSC, 5GSN3GPPNSC, 5GAUTHKEYS
    *((file,) for file in (0x6F08, 0x6F09, 0x6F20, 0x4F20, 0x6F52, 0x4F52, 0x6FE4, 0x4F03, 0x4F04, 0x4F05)),
    # FPLMN, START-HFN, THRESHOLD, RPLMNAcT, BCCH, CPBCCH, NETPAR
    *((0x6F7B,), (0x6F5B,), (0x6F5C,), (0x6F65,), (0x6F74,), (0x5F3B, 0x4F63), (0x6FC4,)),
    # SMS, SMSS, SMSR, MWIS; CFIS with EXT7; MMSN with EXT8
    *((file,) for file in (0x6F3C, 0x6F43, 0x6F47, 0x6FCA, 0x6FCB, 0x6FCC, 0x6FCE, 0x6FCF)),
    # ACM, LND; ICI, OCI, ICT and OCT with EXT5
    *((file,) for file in (0x6F39, 0x6F44, 0x6F80, 0x6F81, 0x6F82, 0x6F83, 0x6F4E)),
    # GBABP: the transaction behind GBA keys (TS 33.220, annex G.1). An ISIM has its own.
    *((0x6FD6,), ("ADF.ISIM", 0x6FD5)),
    # Pseudo, WRI and WLRPLMN of DF.WLAN, ACSGL of DF.HNB; these numbers are other files elsewhere.
    *((0x5F40, 0x4F41), (0x5F40, 0x4F46), (0x5F40, 0x4F4A), (0x5F50, 0x4F81)),
)

_INTER_INDUSTRY: Final = ClassMask(0x00, 0x80)
#: GlobalPlatform names 80 to 8F, C0 to CF and E0 to EF. Cards take the others, too: in 90 to 9F, for one, all but the
#: last part of a chain. None of the instructions below is one that a modem sends in class A0.
_PROPRIETARY: Final = ClassMask(0x80, 0x80)

#: All classes but those in which cards and applications have commands of their own (``class_byte``: PROPRIETARY).
_NOT_PROPRIETARY: Final = (_INTER_INDUSTRY, ClassMask(0xA0, 0xE0), ClassMask(0xFF))

PRESETS: Final = (
    # CHANGE, DISABLE, ENABLE, UNBLOCK. Modems ask with P3 = 00 how many tries are left; that changes nothing. In
    # proprietary classes 24 and 2C are PUT PUBLIC KEY and VERIFY SIGNATURE of IoT SAFE.
    Rule("pin-change", Action.LOG, instructions=frozenset({0x26, 0x28}), spares_queries=True),
    Rule("pin-change", Action.LOG, classes=_NOT_PROPRIETARY, instructions=frozenset({0x24, 0x2C}), spares_queries=True),
    # The odd forms of ISO 7816-4, which in proprietary classes are commands of IoT SAFE.
    Rule("pin-change", Action.LOG, classes=(_INTER_INDUSTRY,), instructions=frozenset({0x25, 0x2D})),
    # UPDATE BINARY and RECORD, INCREASE, SET DATA.
    Rule(
        "file-update",
        Action.LOG,
        instructions=frozenset({0xD6, 0xD7, 0xDC, 0xDD, 0x32, 0xDB}),
        not_files=MODEM_FILES,
    ),
    # CREATE and DELETE FILE, TERMINATE; of ISO 7816-4 WRITE, ERASE and APPEND RECORD, and what puts, updates, manages
    # and deletes data objects: no modem sends these to any file.
    Rule(
        "file-update",
        Action.LOG,
        classes=(_INTER_INDUSTRY,),
        instructions=frozenset(
            {0xE0, 0xE4, 0xE6, 0xE8, 0xFE, 0xD0, 0xD1, 0xD2, 0xE2, 0x0C, 0x0E, 0x0F}
            | {0xD8, 0xD9, 0xDA, 0xDE, 0xDF, 0xCF, 0xEE}
        ),
    ),
    # RESIZE FILE, which has class 80 (ETSI TS 102 222, clause 6.10).
    Rule("file-update", Action.LOG, instructions=frozenset({0xD4})),
    # INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, PSO, PUT KEY, STORE DATA, DELETE, INSTALL, LOAD, MANAGE ELF UPGRADE, SET
    # STATUS.
    Rule(
        "globalplatform",
        Action.LOG,
        classes=(_PROPRIETARY,),
        instructions=frozenset({0x50, 0x82, 0x2A, 0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xEA, 0xF0}),
    ),
    # The same by ISO 7816: APPLICATION MANAGEMENT REQUEST, LOAD and REMOVE APPLICATION, IMPORT CARD SECRET.
    Rule(
        "globalplatform",
        Action.LOG,
        classes=(_INTER_INDUSTRY,),
        instructions=frozenset({0x40, 0x41, 0xEA, 0xEB, 0xEC, 0xED, 0x48}),
    ),
)

#: Without a rule file.
DEFAULT: Final = GuardPolicy(PRESETS)
