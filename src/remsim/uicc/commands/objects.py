# SPDX-License-Identifier: Apache-2.0
"""RETRIEVE DATA and SET DATA on BER-TLV files (ETSI TS 102 221, clauses 11.3.1 and 11.3.2).

Objects longer than one TPDU travel in blocks; the blocks' state belongs to the channel.
"""

from typing import Final

from remsim.card.errors import TlvError
from remsim.card.status import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_DATA_NOT_FOUND,
    SW_MORE_DATA_AVAILABLE,
    SW_MORE_DATA_EXPECTED,
    SW_NOT_ENOUGH_SPACE,
    SW_OK,
    SW_WRONG_DATA,
    SW_WRONG_P1_P2,
)
from remsim.card.tlv import encode_tlv, read_length, read_tag
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Ef, EfKind
from remsim.uicc.session import Answer, Channel, Retrieval, UiccSession, require_le

_FIRST_BLOCK: Final = 0x80
_NEXT_BLOCK: Final = 0x00
_AGAIN: Final = 0x40
_BLOCK_MASK: Final = 0xC0
_SFI_MASK: Final = 0x1F
#: Longest block of an answer; GET RESPONSE could fetch one byte more.
_MAX_BLOCK: Final = 255


def retrieve_data(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """RETRIEVE DATA: the first block names the tag, further ones are asked for without data."""
    if command.p1:
        raise RefusedError(SW_WRONG_P1_P2)
    block = command.p2 & _BLOCK_MASK
    if block == _FIRST_BLOCK:
        ef = session.current_ef(channel, command.p2 & _SFI_MASK, EfKind.BER_TLV)
        session.require(ef.rule.read)
        tag = _whole_tag(command.data)
        value = session.objects(ef).get(tag)
        if value is None:
            raise RefusedError(SW_DATA_NOT_FOUND)
        channel.retrieving = Retrieval(encode_tlv(tag, value))
        return _block(channel.retrieving, channel.retrieving.position)
    retrieval = channel.retrieving
    if retrieval is None or command.data:
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    if block not in (_NEXT_BLOCK, _AGAIN):
        raise RefusedError(SW_WRONG_P1_P2)
    start = retrieval.previous if block == _AGAIN else retrieval.position
    length = min(len(retrieval.data) - start, _MAX_BLOCK)
    if length <= 0:
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    require_le(command, length)
    return _block(retrieval, start)


def _whole_tag(data: bytes) -> int:
    try:
        tag, end = read_tag(data, 0)
    except TlvError as error:
        raise RefusedError(SW_WRONG_DATA) from error
    if end != len(data):
        raise RefusedError(SW_WRONG_DATA)
    return tag


def _block(retrieval: Retrieval, start: int) -> Answer:
    end = min(start + _MAX_BLOCK, len(retrieval.data))
    retrieval.previous, retrieval.position = start, end
    return retrieval.data[start:end], SW_OK if end == len(retrieval.data) else SW_MORE_DATA_AVAILABLE


def set_data(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SET DATA: creates, replaces, or, given a tag alone, deletes an object."""
    block = command.p2 & _BLOCK_MASK
    if command.p1 or block not in (_FIRST_BLOCK, _NEXT_BLOCK):
        raise RefusedError(SW_WRONG_P1_P2)
    if block == _FIRST_BLOCK:
        ef = session.current_ef(channel, command.p2 & _SFI_MASK, EfKind.BER_TLV)
        session.require(ef.rule.update)
        channel.storing = ef, bytearray(command.data)
    elif channel.storing is None:
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    else:
        channel.storing[1].extend(command.data)
    return _store(session, channel, channel.storing[0], bytes(channel.storing[1]))


def _store(session: UiccSession, channel: Channel, ef: Ef, data: bytes) -> Answer:
    try:
        tag, position = read_tag(data, 0)
        if position == len(data):
            channel.storing = None
            return _put(session, ef, tag, None)
        length, position = read_length(data, position)
    except TlvError as error:
        channel.storing = None
        raise RefusedError(SW_WRONG_DATA) from error
    if position + length > ef.size:
        channel.storing = None
        raise RefusedError(SW_NOT_ENOUGH_SPACE)
    value = data[position:]
    if len(value) < length:
        return b"", SW_MORE_DATA_EXPECTED
    channel.storing = None
    if len(value) > length:
        raise RefusedError(SW_WRONG_DATA)
    return _put(session, ef, tag, value)


def _put(session: UiccSession, ef: Ef, tag: int, value: bytes | None) -> Answer:
    objects = dict(session.objects(ef))
    if value is not None:
        objects[tag] = value
    elif objects.pop(tag, None) is None:
        raise RefusedError(SW_DATA_NOT_FOUND)
    if sum(len(encode_tlv(number, stored)) for number, stored in objects.items()) > ef.size:
        raise RefusedError(SW_NOT_ENOUGH_SPACE)
    session.state.objects[ef.key] = objects
    session.state.changed()
    return b"", SW_OK
