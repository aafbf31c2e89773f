# SPDX-License-Identifier: Apache-2.0
"""READ, UPDATE and SEARCH RECORD, INCREASE (ETSI TS 102 221, clauses 11.1.5 to 11.1.8).

Record 1 of a cyclic file is the one written last.
"""

from typing import Final

from remsim.card.status import (
    SW_MAX_VALUE_REACHED,
    SW_OK,
    SW_RECORD_NOT_FOUND,
    SW_WRONG_LENGTH,
    SW_WRONG_P1_P2,
)
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Ef, EfKind
from remsim.uicc.session import Answer, Channel, UiccSession, require_le

NEXT: Final = 0x02
PREVIOUS: Final = 0x03
ABSOLUTE: Final = 0x04

_SEARCH_FORWARD: Final = 0x04
_SEARCH_BACKWARD: Final = 0x05
_SEARCH_ENHANCED: Final = 0x06
_SEARCH_FORWARD_NEXT: Final = 0x06
_SEARCH_BACKWARD_PREVIOUS: Final = 0x07
_SEARCH_BY_VALUE: Final = 0x08

_MODE_MASK: Final = 0x07
_INCREASE_SFI: Final = 0x80
_MAX_INCREASE_LENGTH: Final = 127


def _file(session: UiccSession, channel: Channel, command: CommandTpdu) -> Ef:
    return session.current_ef(channel, command.p2 >> 3, EfKind.LINEAR, EfKind.CYCLIC)


def locate(ef: Ef, channel: Channel, number: int, mode: int) -> int:
    """The record that number and mode mean. Raises RefusedError; the pointer is not moved."""
    count, current = ef.record_count, channel.record
    if mode == ABSOLUTE:
        record = number or current
    elif mode not in (NEXT, PREVIOUS) or number:
        raise RefusedError(SW_WRONG_P1_P2)
    elif mode == NEXT:
        record = current + 1
        if record > count and ef.kind is EfKind.CYCLIC:
            record = 1
    else:
        record = current - 1 if current else count
        if record == 0 and ef.kind is EfKind.CYCLIC:
            record = count
    if not 1 <= record <= count:
        raise RefusedError(SW_RECORD_NOT_FOUND)
    return record


def record_of(session: UiccSession, ef: Ef, record: int) -> bytes:
    """The contents of one record."""
    end = record * ef.record_length
    return session.content(ef)[end - ef.record_length : end]


def read_record(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """READ RECORD: absolute, current, next, previous. Absolute access leaves the pointer alone."""
    ef = _file(session, channel, command)
    session.require(ef.rule.read)
    mode = command.p2 & _MODE_MASK
    record = locate(ef, channel, command.p1, mode)
    require_le(command, ef.record_length)
    if mode != ABSOLUTE:
        channel.record = record
    return record_of(session, ef, record), SW_OK


def update_record(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """UPDATE RECORD; a cyclic file takes PREVIOUS only, which replaces the oldest record."""
    ef = _file(session, channel, command)
    session.require(ef.rule.update)
    mode = command.p2 & _MODE_MASK
    if ef.kind is EfKind.CYCLIC:
        if mode != PREVIOUS or command.p1:
            raise RefusedError(SW_WRONG_P1_P2)
        if len(command.data) != ef.record_length:
            raise RefusedError(SW_WRONG_LENGTH)
        push_record(session, channel, ef, command.data)
        return b"", SW_OK
    record = locate(ef, channel, command.p1, mode)
    if len(command.data) != ef.record_length:
        raise RefusedError(SW_WRONG_LENGTH)
    if mode != ABSOLUTE:
        channel.record = record
    session.write(ef, (record - 1) * ef.record_length, command.data)
    return b"", SW_OK


def push_record(session: UiccSession, channel: Channel, ef: Ef, data: bytes) -> None:
    """Make ``data`` record 1 of a cyclic file; the oldest record is lost."""
    session.write(ef, 0, data + session.content(ef)[: -ef.record_length])
    channel.record = 1


def search_record(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SEARCH RECORD, simple and enhanced: the numbers of all records that contain the pattern."""
    ef = _file(session, channel, command)
    session.require(ef.rule.read)
    mode, pattern = command.p2 & _MODE_MASK, command.data
    indication = 0
    if mode == _SEARCH_ENHANCED:
        if len(pattern) < 3:
            raise RefusedError(SW_WRONG_LENGTH)
        indication, argument, pattern = pattern[0], pattern[1], pattern[2:]
        mode = indication & 0x07
    elif mode not in (_SEARCH_FORWARD, _SEARCH_BACKWARD):
        raise RefusedError(SW_WRONG_P1_P2)
    else:
        argument = 0
    if not pattern or len(pattern) > ef.record_length:
        raise RefusedError(SW_WRONG_LENGTH)
    by_value = bool(indication & _SEARCH_BY_VALUE)
    found = [
        record
        for record in _search_order(ef, channel, command.p1, mode)
        if _contains(record_of(session, ef, record), pattern, argument, by_value=by_value)
    ]
    if not found:
        return b"", session.profile.quirks.search_no_match_sw
    channel.record = found[0]
    return bytes(found), SW_OK


def _contains(record: bytes, pattern: bytes, argument: int, *, by_value: bool) -> bool:
    """Clause 11.1.7.2: search begins at an offset, or behind the first byte of a value."""
    if by_value:
        start = record.find(argument) + 1
        return start > 0 and record.find(pattern, start) >= 0
    return record.find(pattern, argument) >= 0


def _search_order(ef: Ef, channel: Channel, number: int, mode: int) -> range:
    if mode in (_SEARCH_FORWARD, _SEARCH_BACKWARD):
        start = locate(ef, channel, number, ABSOLUTE)
        return range(start, ef.record_count + 1) if mode == _SEARCH_FORWARD else range(start, 0, -1)
    if mode == _SEARCH_FORWARD_NEXT:
        return range(channel.record + 1, ef.record_count + 1)
    if mode == _SEARCH_BACKWARD_PREVIOUS:
        return range(channel.record - 1 if channel.record else ef.record_count, 0, -1)
    raise RefusedError(SW_WRONG_P1_P2)


def increase(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """INCREASE: adds to the newest record of a cyclic file; answers the new value and the value added."""
    if command.p2 or (command.p1 and not _INCREASE_SFI <= command.p1 <= _INCREASE_SFI | 0x1F):
        raise RefusedError(SW_WRONG_P1_P2)
    ef = session.current_ef(channel, command.p1 & 0x1F, EfKind.CYCLIC)
    session.require(ef.rule.increase)
    if not 1 <= len(command.data) <= min(ef.record_length, _MAX_INCREASE_LENGTH):
        raise RefusedError(SW_WRONG_LENGTH)
    total = int.from_bytes(record_of(session, ef, 1)) + int.from_bytes(command.data)
    if total >> 8 * ef.record_length:
        raise RefusedError(SW_MAX_VALUE_REACHED)
    value = total.to_bytes(ef.record_length)
    push_record(session, channel, ef, value)
    return value + command.data, SW_OK
