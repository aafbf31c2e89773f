# SPDX-License-Identifier: Apache-2.0
"""Which commands may be run before the modem sends them: one table, looked through from its beginning.

The first row that is about a command decides. The table is asked for each command that is expected, so the rows are
found by instruction: seven rows may be about most commands. A command is guessed only if nothing but the selection
changes by it, in a class where that is so defined, and if the selection that it leaves can be restored. Sources:
ETSI TS 102 221, clauses 7.3.1.1 and 11.1; 3GPP TS 51.011, clauses 8 and 9.2; 3GPP TS 31.102, clause 7.1.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from remsim.ahead.return_path import (
    ABSOLUTE,
    BY_AID,
    BY_FID,
    INS_GET_RESPONSE,
    INS_MANAGE_CHANNEL,
    INS_READ_BINARY,
    INS_READ_RECORD,
    INS_SEARCH,
    INS_SELECT,
    MODE_MASK,
    PATH_FROM_DF,
    PATH_FROM_MF,
    SEARCH_MODES,
    Effect,
    effect,
)
from remsim.ahead.view import CardView
from remsim.card.class_byte import GSM_CLA, Family, class_byte
from remsim.card.selection import CURRENT_APPLICATION, short_identifier
from remsim.card.tpdu import HEADER_LENGTH, is_well_formed
from remsim.core.values import dataclass

_AUTHENTICATE, _ENVELOPE, _VERIFY, _UNBLOCK = 0x88, 0xC2, 0x20, 0x2C
_PIN: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C})
#: UPDATE, WRITE, ERASE, INCREASE, DEACTIVATE, ACTIVATE, CREATE, DELETE, RESIZE, TERMINATE, SET and RETRIEVE DATA.
_WRITING: Final = frozenset(
    {0xD6, 0xD7, 0xDC, 0xDD, 0xD0, 0xD2, 0xE2, 0x0C, 0x0E, 0x32, 0x04, 0x44, 0xE0, 0xE4, 0xD4, 0xE6, 0xE8, 0xFE}
    | {0xCB, 0xDB}
)
#: TERMINAL PROFILE, FETCH, TERMINAL RESPONSE, ENVELOPE.
_TOOLKIT: Final = frozenset({0x10, 0x12, 0x14, 0xC2})
_STATUS: Final = 0xF2
#: P2 of SELECT: FCP or nothing is returned, and no session is touched (TS 102 221, table 11.2).
_SELECT_P2: Final = frozenset({0x04, 0x0C})
#: Type and mode of SEEK (TS 51.011, 9.2.7).
_SEEK_TYPES: Final = frozenset({0x00, 0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13})


class Verdict(Enum):
    """What becomes of a command that the modem is expected to send."""

    GUESS = "guess"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class GuessRule:
    """One row of the table. It is about a command if both ``instructions`` and ``applies`` say so.

    ``applies`` is asked with a command of legal length, of one of the instructions, and what is known of the card.
    """

    name: str
    verdict: Verdict
    why: str
    #: None: all.
    instructions: frozenset[int] | None
    applies: Callable[[bytes, CardView], bool]


def _is_gsm(tpdu: bytes) -> bool:
    return tpdu[0] == GSM_CLA


def _is_plain(tpdu: bytes) -> bool:
    """In class A0, or in an inter-industry class, neither in secure messaging nor a part of several."""
    cla = class_byte(tpdu[0])
    return cla.family in (Family.GSM, Family.INTER_INDUSTRY) and not cla.is_secured and not cla.is_chained


def _is_in_family(tpdu: bytes, view: CardView) -> bool:
    return view.family is class_byte(tpdu[0]).family


def _fetches(tpdu: bytes, view: CardView) -> bool:
    """A GET RESPONSE on the channel whose response waits."""
    found = view.fetching
    is_get = len(tpdu) == HEADER_LENGTH and tpdu[2] == tpdu[3] == 0
    return is_get and found is not None and found.channel == class_byte(tpdu[0]).channel and found.waiting > 0


def _fetches_again(tpdu: bytes, view: CardView) -> bool:
    found = view.fetching
    return _fetches(tpdu, view) and found is not None and found.is_repeatable and (tpdu[4] or 256) <= found.waiting


def _fetches_once(tpdu: bytes, view: CardView) -> bool:
    """All of a response whose command is never repeated; the bytes are kept for the modem."""
    found = view.fetching
    if not _fetches(tpdu, view) or found is None or found.is_repeatable or found.gets or _is_gsm(tpdu):
        return False
    source = found.source.command
    is_select = source[1] == INS_SELECT and source[2] == BY_AID and view.place(tpdu[0]).steps is not None
    return (is_select or source[1] in (_AUTHENTICATE, _ENVELOPE)) and (tpdu[4] or 256) == found.waiting


def _awaits_once(tpdu: bytes, view: CardView) -> bool:
    found = view.fetching
    return found is not None and found.waiting > 0 and not found.is_repeatable


def _is_lost(tpdu: bytes, view: CardView) -> bool:
    place = view.place(tpdu[0])
    return place.steps is None or place.is_foreign or view.plan_before(tpdu) is None


def _data(tpdu: bytes) -> bytes:
    return tpdu[HEADER_LENGTH:]


def _selects_current_application(tpdu: bytes, view: CardView) -> bool:
    return _selects_by_fid(tpdu, view) and not _is_gsm(tpdu) and _data(tpdu) == CURRENT_APPLICATION.to_bytes(2)


def _selects_by_fid(tpdu: bytes, view: CardView) -> bool:
    if tpdu[2] != BY_FID or len(_data(tpdu)) != 2:
        return False
    return tpdu[3] == 0 if _is_gsm(tpdu) else tpdu[3] in _SELECT_P2


def _selects_by_path(tpdu: bytes, view: CardView) -> bool:
    if _is_gsm(tpdu) or tpdu[2] not in (PATH_FROM_MF, PATH_FROM_DF):
        return False
    return tpdu[3] in _SELECT_P2 and len(_data(tpdu)) >= 2 and len(_data(tpdu)) % 2 == 0


def _reads_binary(tpdu: bytes, view: CardView) -> bool:
    return len(tpdu) == HEADER_LENGTH and short_identifier(tpdu) is None


def _reads_binary_by_sfi(tpdu: bytes, view: CardView) -> bool:
    return len(tpdu) == HEADER_LENGTH and _has_sfi(tpdu)


def _is_absolute(tpdu: bytes) -> bool:
    return len(tpdu) == HEADER_LENGTH and tpdu[3] & MODE_MASK == ABSOLUTE and tpdu[2] > 0


def _reads_record(tpdu: bytes, view: CardView) -> bool:
    return _is_absolute(tpdu) and short_identifier(tpdu) is None


def _reads_record_by_sfi(tpdu: bytes, view: CardView) -> bool:
    return _is_absolute(tpdu) and _has_sfi(tpdu)


def _has_sfi(tpdu: bytes) -> bool:
    return short_identifier(tpdu) is not None and not _is_gsm(tpdu)


def _searches(tpdu: bytes, view: CardView) -> bool:
    if not _data(tpdu):
        return False
    return tpdu[3] in _SEEK_TYPES if _is_gsm(tpdu) else tpdu[3] & MODE_MASK in SEARCH_MODES


def _asks_for_tries(tpdu: bytes, view: CardView) -> bool:
    return len(tpdu) == HEADER_LENGTH and tpdu[2] == 0 == tpdu[4] and not _is_gsm(tpdu)


def _always(tpdu: bytes, view: CardView) -> bool:
    return True


_G, _N = Verdict.GUESS, Verdict.NEVER

_GET, _SEL, _BINARY, _RECORD = (
    frozenset({ins}) for ins in (INS_GET_RESPONSE, INS_SELECT, INS_READ_BINARY, INS_READ_RECORD)
)

#: The table. The last row is about every command that no other is about.
TABLE: Final = (
    GuessRule("status", _N, "it triggers applets of the toolkit", frozenset({_STATUS}), _always),
    GuessRule("toolkit", _N, "it drives the toolkit", _TOOLKIT, _always),
    GuessRule("authenticate", _N, "it moves the sequence number", frozenset({_AUTHENTICATE, 0x89}), _always),
    GuessRule("write", _N, "it changes files", _WRITING, _always),
    GuessRule("manage-channel", _N, "it opens or closes a channel", frozenset({INS_MANAGE_CHANNEL}), _always),
    GuessRule("pin", _N, "it uses up tries", _PIN, lambda tpdu, view: len(tpdu) > HEADER_LENGTH),
    GuessRule(
        "class", _N, "the command has no plain meaning in this class", None, lambda tpdu, view: not _is_plain(tpdu)
    ),
    GuessRule(
        "other-family",
        _N,
        "the modem did not use these classes",
        None,
        lambda tpdu, view: not _is_in_family(tpdu, view),
    ),
    GuessRule(
        "unsettled", _N, "cards differ in what the last command left", None, lambda tpdu, view: view.is_unsettled
    ),
    GuessRule("fetch", _G, "its source may be repeated", _GET, _fetches_again),
    GuessRule("fetch-once", _G, "the bytes are kept for the modem", _GET, _fetches_once),
    GuessRule("no-fetch", _N, "no such response waits", _GET, _always),
    GuessRule("awaited", _N, "a response waits that cannot be had twice", None, _awaits_once),
    GuessRule("lost", _N, "what is selected, or the way back to it, is not known", None, _is_lost),
    GuessRule(
        "local-pin",
        _N,
        "a PIN of the application was verified, and cards may forget that outside of its directory",
        None,
        lambda tpdu, view: view.has_local_pin and effect(tpdu) is not Effect.KEEPS,
    ),
    GuessRule("select-adf", _G, "only the selection changes", _SEL, _selects_current_application),
    GuessRule("select-fid", _G, "only the selection changes", _SEL, _selects_by_fid),
    GuessRule("select-path", _G, "only the selection changes", _SEL, _selects_by_path),
    GuessRule("select-other", _N, "it may reset an application, or has no meaning here", _SEL, _always),
    GuessRule("read-binary-sfi", _G, "it selects its file", _BINARY, _reads_binary_by_sfi),
    GuessRule("read-binary", _G, "nothing changes", _BINARY, _reads_binary),
    GuessRule("read-record-sfi", _G, "it selects its file", _RECORD, _reads_record_by_sfi),
    GuessRule("read-record", _G, "nothing changes", _RECORD, _reads_record),
    GuessRule("read-other", _N, "it moves the record pointer, or depends on it", _BINARY | _RECORD, _always),
    GuessRule(
        "search",
        _G,
        "it moves the record pointer, which a repeated SEARCH restores",
        frozenset({INS_SEARCH}),
        _searches,
    ),
    GuessRule("verify-query", _G, "it only asks for the tries left", frozenset({_VERIFY}), _asks_for_tries),
    GuessRule("unblock-query", _G, "it only asks for the tries left", frozenset({_UNBLOCK}), _asks_for_tries),
    GuessRule("unknown", _N, "nobody knows what it does", None, _always),
)

#: The rows that may be about each instruction, in the order of the table.
_ROWS: Final = tuple(
    tuple(row for row in TABLE if row.instructions is None or ins in row.instructions) for ins in range(256)
)

#: What has no legal length is no command.
MALFORMED: Final = GuessRule("malformed", _N, "it is no command", None, lambda tpdu, view: not is_well_formed(tpdu))


@dataclass(frozen=True, slots=True)
class Judgement:
    """The row that decided, and for a guess the commands that would undo it."""

    row: GuessRule
    undo: tuple[bytes, ...] = ()
    #: A restoring command to be tried before, where it changes nothing: the card was not seen to take its form yet.
    trial: bytes | None = None

    @property
    def is_guess(self) -> bool:
        """Whether the command may be run now."""
        return self.row.verdict is Verdict.GUESS


#: The way back is known, in a form that this card was not seen to take, and it cannot be tried now.
UNTRIED: Final = GuessRule("untried", _N, "the card was not seen to take the commands that restore", None, _always)


def judge(tpdu: bytes, view: CardView) -> Judgement:
    """What the table says about a command that the modem is expected to send next."""
    if not is_well_formed(tpdu):
        return Judgement(MALFORMED)
    row = next(row for row in _ROWS[tpdu[1]] if row.applies(tpdu, view))
    if row.verdict is Verdict.NEVER or row.name == "fetch-once":
        return Judgement(row)
    plan = view.plan_before(tpdu)
    if plan is None:
        return Judgement(UNTRIED)
    untried = view.untried(plan)
    undo = tuple(step.command for step in plan)
    if untried is None:
        return Judgement(row, undo)
    trial = view.trial(untried)
    return Judgement(UNTRIED) if trial is None else Judgement(row, undo, trial)
