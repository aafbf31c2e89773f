# SPDX-License-Identifier: Apache-2.0
"""Class A0: what differs from the UICC's commands (3GPP TS 51.011, clauses 8, 9.2 and 9.4).

Most instructions share the UICC's handlers; their status words are translated by ``gsm_sw``.
"""

from dataclasses import replace
from typing import Final

from remsim.card.status import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_CORRECT_LENGTH,
    SW_DATA_INVALIDATED,
    SW_DATA_NOT_FOUND,
    SW_FILE_NOT_FOUND,
    SW_GSM_ACCESS_DENIED,
    SW_GSM_BLOCKED,
    SW_GSM_CHV_CONTRADICTION,
    SW_GSM_INVALIDATED,
    SW_GSM_NO_CHV,
    SW_GSM_NO_EF_SELECTED,
    SW_GSM_NOT_FOUND,
    SW_GSM_OUT_OF_RANGE,
    SW_GSM_WRONG_FILE,
    SW_METHOD_BLOCKED,
    SW_NO_EF_SELECTED,
    SW_OK,
    SW_RECORD_NOT_FOUND,
    SW_SECURITY_NOT_SATISFIED,
    SW_TRIES_LEFT,
    SW_UNSUCCESSFUL_SEARCH,
    SW_WRONG_FILE_STRUCTURE,
    SW_WRONG_LENGTH,
    SW_WRONG_OFFSET,
    SW_WRONG_P1_P2,
)
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.commands import pin, record
from remsim.uicc.commands.select import find_by_fid
from remsim.uicc.errors import RefusedError
from remsim.uicc.fcp import gsm_df_header, gsm_ef_header
from remsim.uicc.files import Df, EfKind
from remsim.uicc.session import Answer, Channel, Handler, UiccSession

_TRANSLATION: Final = {
    SW_UNSUCCESSFUL_SEARCH: SW_GSM_NOT_FOUND,
    SW_WRONG_FILE_STRUCTURE: SW_GSM_WRONG_FILE,
    SW_SECURITY_NOT_SATISFIED: SW_GSM_ACCESS_DENIED,
    SW_METHOD_BLOCKED: SW_GSM_BLOCKED,
    SW_DATA_INVALIDATED: SW_GSM_INVALIDATED,
    SW_NO_EF_SELECTED: SW_GSM_NO_EF_SELECTED,
    SW_FILE_NOT_FOUND: SW_GSM_NOT_FOUND,
    SW_RECORD_NOT_FOUND: SW_GSM_OUT_OF_RANGE,
    SW_WRONG_P1_P2: SW_WRONG_OFFSET,
    SW_DATA_NOT_FOUND: SW_GSM_NO_CHV,
    SW_WRONG_OFFSET: SW_GSM_OUT_OF_RANGE,
    # Outside DF GSM the algorithm is out of reach like a file that is not there.
    SW_CONDITIONS_NOT_SATISFIED: SW_GSM_ACCESS_DENIED,
}

_CHV_REFERENCES: Final = {1: 0x01, 2: 0x81}


def gsm_sw(sw: int) -> int:
    """The status word of clause 9.4 for one of the UICC's."""
    if sw & 0xFF00 == SW_CORRECT_LENGTH:
        return SW_WRONG_LENGTH | sw & 0xFF
    if sw & 0xFFF0 == SW_TRIES_LEFT:
        return SW_GSM_ACCESS_DENIED if sw & 0x0F else SW_GSM_BLOCKED
    return _TRANSLATION.get(sw, sw)


def _plain(command: CommandTpdu) -> None:
    if command.p1 or command.p2:
        raise RefusedError(SW_WRONG_P1_P2)


def select(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SELECT by file identifier. A cyclic file's record pointer then stands at the newest record (clause 6.5)."""
    _plain(command)
    if len(command.data) != 2:
        raise RefusedError(SW_WRONG_LENGTH | 2)
    node = find_by_fid(session, channel, int.from_bytes(command.data))
    if node is None or (isinstance(node, Df) and node.aid is not None):
        raise RefusedError(SW_FILE_NOT_FOUND)
    if isinstance(node, Df):
        channel.select_df(node)
        return gsm_df_header(node, session.pins), SW_OK
    channel.select_ef(node)
    channel.record = 1 if node.kind is EfKind.CYCLIC else 0
    return gsm_ef_header(node, is_active=session.is_active(node)), SW_OK


def status(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """STATUS: as much of the directory's header as is asked for."""
    _plain(command)
    header = gsm_df_header(channel.df, session.pins)
    if command.le > len(header):
        raise RefusedError(SW_WRONG_LENGTH | len(header))
    return header[: command.le], SW_OK


def seek(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SEEK: type 1 sets the record pointer, type 2 also tells the record number."""
    kind, mode = command.p2 >> 4, command.p2 & 0x0F
    if command.p1 or kind > 1 or mode > 3:
        raise RefusedError(SW_WRONG_P1_P2)
    ef = session.current_ef(channel, 0, EfKind.LINEAR)
    session.require(ef.rule.read)
    if not command.data or len(command.data) > ef.record_length:
        raise RefusedError(SW_WRONG_LENGTH)
    count, current = ef.record_count, channel.record
    orders = (
        range(1, count + 1),
        range(count, 0, -1),
        range(current + 1, count + 1),
        range((current or count + 1) - 1, 0, -1),
    )
    for number in orders[mode]:
        # Clause 8.9: the pattern is compared from the first byte of the record.
        if record.record_of(session, ef, number).startswith(command.data):
            channel.record = number
            return (bytes((number,)) if kind else b""), SW_OK
    raise RefusedError(SW_GSM_NOT_FOUND)


def read_record(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """READ RECORD of the current file; there are no short identifiers."""
    if command.p2 >> 3:
        raise RefusedError(SW_WRONG_P1_P2)
    return record.read_record(session, channel, command)


def update_record(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """UPDATE RECORD of the current file."""
    if command.p2 >> 3:
        raise RefusedError(SW_WRONG_P1_P2)
    return record.update_record(session, channel, command)


def increase(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """INCREASE by three bytes."""
    _plain(command)
    if len(command.data) != 3:
        raise RefusedError(SW_WRONG_LENGTH | 3)
    return record.increase(session, channel, command)


def _chv(handler: Handler, length: int, references: dict[int, int]) -> Handler:
    """A CHV command: P2 names CHV1 or CHV2, data of ``length`` bytes; contradictions become 9808."""

    def run(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
        reference = references.get(command.p2)
        if command.p1 or reference is None:
            raise RefusedError(SW_WRONG_P1_P2)
        if len(command.data) != length:
            raise RefusedError(SW_WRONG_LENGTH | length)
        data, sw = handler(session, channel, replace(command, p2=reference))
        contradicts = sw in (SW_DATA_INVALIDATED, SW_CONDITIONS_NOT_SATISFIED)
        return data, SW_GSM_CHV_CONTRADICTION if contradicts else sw

    return run


verify = _chv(pin.verify, 8, _CHV_REFERENCES)
change = _chv(pin.change, 16, _CHV_REFERENCES)
disable = _chv(pin.disable, 8, {1: 0x01})
enable = _chv(pin.enable, 8, {1: 0x01})
# Clause 9.2.13: CHV1 is 00 here.
unblock = _chv(pin.unblock, 16, {0: 0x01, 2: 0x81})
