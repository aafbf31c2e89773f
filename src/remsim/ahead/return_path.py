# SPDX-License-Identifier: Apache-2.0
"""How to select again what is selected on a channel: the commands that selected it, to be repeated.

A restoring command is one that this card took in this session, in the form in which it took it, so no assumption about
the card's file system is needed. The list begins with a SELECT that works from anywhere (by path from the MF, of the
MF, or of 7FFF); what follows is relative to it. A command that was refused is on the list if cards differ in what it
leaves selected. Sources: ETSI TS 102 221, clauses 8.4 and 11.1; 3GPP TS 51.011, clauses 6.5 and 9.2.
"""

from enum import Enum
from typing import Final

from remsim.card.class_byte import GSM_CLA, Family, class_byte
from remsim.card.selection import CURRENT_APPLICATION, MF, is_success, short_identifier
from remsim.core.values import dataclass

INS_SELECT: Final = 0xA4
INS_READ_BINARY: Final = 0xB0
INS_READ_RECORD: Final = 0xB2
INS_SEARCH: Final = 0xA2
INS_GET_RESPONSE: Final = 0xC0
INS_MANAGE_CHANNEL: Final = 0x70
UPDATE_RECORD: Final = 0xDC

#: P1 of SELECT.
BY_FID: Final = 0x00
BY_AID: Final = 0x04
PATH_FROM_MF: Final = 0x08
PATH_FROM_DF: Final = 0x09
#: P2 of SELECT: no data are returned (table 11.2).
NO_DATA: Final = 0x0C
#: Mode of READ and UPDATE RECORD that leaves the record pointer where it is (clause 11.1.5).
MODE_MASK: Final = 0x07
ABSOLUTE: Final = 0x04

#: Modes of SEARCH RECORD: forward, backward, enhanced (table 11.9).
SEARCH_MODES: Final = frozenset({0x04, 0x05, 0x06})

#: A longer list would make a modem wait for long when a guess was wrong.
MAX_STEPS: Final = 16

_HEADER: Final = 5
_UPDATE_BINARY: Final = 0xD6
_DATA_FILES: Final = frozenset({0x2F, 0x4F, 0x6F})
#: The command was not looked at.
_NOT_LOOKED_AT: Final = frozenset({0x68, 0x6D, 0x6E})


class Effect(Enum):
    """What a command does to the selection of its channel."""

    KEEPS = "keeps it"
    REPEATABLE = "changes it, and does the same when it is repeated"
    #: UPDATE with a short file identifier: a READ with the same one selects the same file.
    WRITES_BY_SFI = "changes it as a READ would"
    LOSES = "changes it in a way that is not repeated"


#: Neither selection nor record pointer: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK PIN, AUTHENTICATE, GET CHALLENGE, GET
#: RESPONSE, ENVELOPE, GET DATA, MANAGE CHANNEL (for the channel that it is sent on).
_KEEPING: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C, 0x88, 0x89, 0x84, 0xC0, 0xC2, 0xCA, 0x70})
#: TERMINAL PROFILE, FETCH, TERMINAL RESPONSE, ENVELOPE, STATUS, TERMINAL CAPABILITY, GET IDENTITY, EXCHANGE
#: CAPABILITIES.
_KEEPING_PROPRIETARY: Final = frozenset({0x10, 0x12, 0x14, 0xC2, 0xF2, 0xAA, 0x78, 0x7A})
#: As above, in class A0; RUN GSM ALGORITHM, SLEEP.
_KEEPING_GSM: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C, 0x88, 0xC0, 0x10, 0x12, 0x14, 0xC2, 0xF2, 0xFA})
#: DEACTIVATE and ACTIVATE FILE without data are about the current file.
_STATE_OF_FILE: Final = frozenset({0x04, 0x44})


@dataclass(frozen=True, slots=True)
class Step:
    """A command as the card took it, with the status word that it gave."""

    command: bytes
    sw: int

    @property
    def is_success(self) -> bool:
        """Whether the card did what the command says."""
        return is_success(self.sw)

    def is_matched_by(self, sw: int) -> bool:
        """Whether a repetition that ends with ``sw`` went as before. Proactive commands come and go meanwhile."""
        return is_success(sw) if self.is_success else sw == self.sw


def effect(tpdu: bytes) -> Effect:
    """What a complete command in clear does to the selection of its channel, judged by its header."""
    cla, ins = tpdu[0], tpdu[1]
    family = class_byte(cla).family
    if family is Family.PROPRIETARY:
        return Effect.KEEPS if ins in _KEEPING_PROPRIETARY else Effect.LOSES
    if family is None:
        return Effect.LOSES
    if ins in (_KEEPING_GSM if cla == GSM_CLA else _KEEPING) or (ins in _STATE_OF_FILE and len(tpdu) == _HEADER):
        return Effect.KEEPS
    if ins == INS_SELECT:
        return Effect.REPEATABLE if _is_plain_select(tpdu) else Effect.LOSES
    if ins == INS_SEARCH:
        is_known = cla == GSM_CLA or tpdu[3] & MODE_MASK in SEARCH_MODES
        return Effect.REPEATABLE if is_known else Effect.LOSES
    if ins in (INS_READ_RECORD, UPDATE_RECORD) and tpdu[3] & MODE_MASK != ABSOLUTE:
        return Effect.LOSES
    if ins in (INS_READ_BINARY, INS_READ_RECORD):
        if short_identifier(tpdu) is None:
            return Effect.KEEPS
        # Record 00 is the current one, and class A0 has no short identifiers.
        is_current = ins == INS_READ_RECORD and tpdu[2] == 0
        return Effect.LOSES if is_current or cla == GSM_CLA else Effect.REPEATABLE
    if ins in (_UPDATE_BINARY, UPDATE_RECORD):
        if short_identifier(tpdu) is None:
            return Effect.KEEPS
        is_current = ins == UPDATE_RECORD and tpdu[2] == 0
        return Effect.LOSES if is_current or cla == GSM_CLA else Effect.WRITES_BY_SFI
    return Effect.LOSES


def _is_plain_select(tpdu: bytes) -> bool:
    """SELECT by file identifier or path that leaves the application's session alone."""
    p1, p2, length = tpdu[2], tpdu[3], len(tpdu) - _HEADER
    if p2 & ~NO_DATA:
        return False
    if p1 == BY_FID:
        return length == 2
    return p1 in (PATH_FROM_MF, PATH_FROM_DF) and tpdu[0] != GSM_CLA and length >= 2 and length % 2 == 0


def is_not_looked_at(sw: int) -> bool:
    """Whether a status word says that the command has no meaning to the card, so nothing is changed."""
    return sw >> 8 in _NOT_LOOKED_AT


def is_absolute(tpdu: bytes) -> bool:
    """Whether a SELECT finds its file wherever the selection is."""
    cla, ins, p1 = tpdu[:3]
    data = tpdu[_HEADER:]
    if ins != INS_SELECT:
        return False
    if cla != GSM_CLA and p1 == PATH_FROM_MF:
        return len(data) >= 2
    if p1 != BY_FID or len(data) != 2:
        return False
    fid = int.from_bytes(data)
    return fid == MF or (fid == CURRENT_APPLICATION and cla != GSM_CLA)


def selects_itself(tpdu: bytes) -> bool:
    """Whether a SELECT that was taken selects the same when it is sent again from there."""
    return is_absolute(tpdu) or (tpdu[1] == INS_SELECT and _says_file_only(tpdu))


def after(steps: tuple[Step, ...] | None, tpdu: bytes, sw: int) -> tuple[Step, ...] | None:
    """The steps that lead to what is selected after a repeatable command, None if none are known."""
    step = Step(bytes(tpdu), sw)
    if step.is_success and is_absolute(tpdu):
        return (step,)
    if steps is None:
        return None
    if step.is_success:
        steps = steps if tpdu[1] == INS_SEARCH else _without_file(steps, tpdu)
    elif steps[-1] == step:
        # What is refused twice in a row leaves nothing that the first refusal did not.
        return steps
    return (*steps, step) if len(steps) < MAX_STEPS else None


def _without_file(steps: tuple[Step, ...], tpdu: bytes) -> tuple[Step, ...]:
    """The steps without those at the end that ``tpdu``, which was taken, makes superfluous: which file was selected."""
    # A READ by short identifier leaves a pointer alone that a SEARCH set in the same file, unless another file was
    # selected by such an identifier in between.
    sfi = None if tpdu[1] == INS_SELECT else short_identifier(tpdu)
    last = _read_sfi(steps[-1])
    keeps_pointer = sfi is not None and last in (None, sfi)
    end = len(steps)
    while end > 1 and _says_file_only(steps[end - 1].command):
        if keeps_pointer and steps[end - 1].command[1] == INS_SEARCH:
            return steps if last is None else steps[:-1]
        end -= 1
    return steps[:end]


def _read_sfi(step: Step) -> int | None:
    """The short identifier by which a successful READ selected its file."""
    is_read = step.command[1] in (INS_READ_BINARY, INS_READ_RECORD)
    return short_identifier(step.command) if is_read and step.is_success else None


def _says_file_only(tpdu: bytes) -> bool:
    if tpdu[1] != INS_SELECT:
        return True
    return tpdu[2] == BY_FID and len(tpdu) == _HEADER + 2 and tpdu[_HEADER] in _DATA_FILES


def quiet(tpdu: bytes) -> bytes:
    """The form of a command that restores: a SELECT that returns no data. Class A0 has none."""
    if tpdu[1] != INS_SELECT or tpdu[0] == GSM_CLA or tpdu[3] == NO_DATA:
        return tpdu
    return bytes((*tpdu[:3], NO_DATA, *tpdu[4:]))


def of_application(cla: int) -> Step:
    """SELECT of the current application on the channel of ``cla``, as if the card had taken it."""
    return Step(bytes((cla, INS_SELECT, BY_FID, NO_DATA, 2)) + CURRENT_APPLICATION.to_bytes(2), 0x9000)


def form(tpdu: bytes) -> bytes:
    """What a card takes or refuses whatever the file: class, instruction, P1, P2, and 7FFF where that is selected."""
    data = bytes(tpdu[_HEADER:])
    return bytes(tpdu[:4]) + (data if data == CURRENT_APPLICATION.to_bytes(2) else b"")
