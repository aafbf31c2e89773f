# SPDX-License-Identifier: Apache-2.0
"""READ BINARY and UPDATE BINARY (ETSI TS 102 221, clauses 11.1.3 and 11.1.4)."""

from typing import Final

from remsim.card.status import SW_CORRECT_LENGTH, SW_OK, SW_WRONG_LENGTH, SW_WRONG_OFFSET, SW_WRONG_P1_P2
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Ef, EfKind
from remsim.uicc.session import Answer, Channel, UiccSession

_SFI_FLAG: Final = 0x80
_SFI_RFU: Final = 0x60
_SFI_MASK: Final = 0x1F


def _target(session: UiccSession, channel: Channel, command: CommandTpdu) -> tuple[Ef, int]:
    """File and offset that P1 and P2 mean."""
    if not command.p1 & _SFI_FLAG:
        return session.current_ef(channel, 0, EfKind.TRANSPARENT), command.p1 << 8 | command.p2
    if command.p1 & _SFI_RFU or not command.p1 & _SFI_MASK:
        raise RefusedError(SW_WRONG_P1_P2)
    return session.current_ef(channel, command.p1 & _SFI_MASK, EfKind.TRANSPARENT), command.p2


def read_binary(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """READ BINARY of the current file or by short identifier."""
    ef, offset = _target(session, channel, command)
    session.require(ef.rule.read)
    if offset >= ef.size:
        raise RefusedError(SW_WRONG_OFFSET)
    available = ef.size - offset
    if command.le > available:
        raise RefusedError(SW_CORRECT_LENGTH | available)
    return session.content(ef)[offset : offset + command.le], SW_OK


def update_binary(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """UPDATE BINARY of the current file or by short identifier."""
    if not command.data:
        raise RefusedError(SW_WRONG_LENGTH)
    ef, offset = _target(session, channel, command)
    session.require(ef.rule.update)
    if offset >= ef.size:
        raise RefusedError(SW_WRONG_OFFSET)
    if offset + len(command.data) > ef.size:
        raise RefusedError(SW_WRONG_LENGTH)
    session.write(ef, offset, command.data)
    return b"", SW_OK
