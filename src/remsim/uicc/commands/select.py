# SPDX-License-Identifier: Apache-2.0
"""SELECT and STATUS (ETSI TS 102 221, clauses 8.4, 11.1.1 and 11.1.2)."""

from typing import Final

from remsim.card.status import (
    SW_DATA_NOT_FOUND,
    SW_FILE_DEACTIVATED,
    SW_FILE_NOT_FOUND,
    SW_OK,
    SW_WRONG_LENGTH,
    SW_WRONG_P1_P2,
)
from remsim.card.tlv import encode_tlv
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.fcp import df_fcp, ef_fcp
from remsim.uicc.files import CURRENT_APP_FID, MF_FID, Df, Ef
from remsim.uicc.session import Answer, Channel, UiccSession, require_le

_BY_FID: Final = 0x00
_CHILD_DF: Final = 0x01
_PARENT_DF: Final = 0x03
_BY_AID: Final = 0x04
_PATH_FROM_MF: Final = 0x08
_PATH_FROM_DF: Final = 0x09

# P2 (table 11.2): bits 7 and 6 session control, bits 4 and 3 what to return, bits 2 and 1 which occurrence.
_P2_RFU: Final = 0x90
_P2_TERMINATE: Final = 0x40
_P2_ANSWER: Final = 0x0C
_RETURN_NOTHING: Final = 0x0C
_RETURN_KINDS: Final = (0x00, 0x04, 0x0C)
_FIRST, _LAST, _NEXT, _PREVIOUS = range(4)

_STATUS_FCP: Final = 0x00
_STATUS_AID: Final = 0x01
_STATUS_NOTHING: Final = 0x0C


def select(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SELECT; on a failure the selection stays as it was."""
    p2 = command.p2
    if p2 & _P2_RFU or p2 & _P2_ANSWER not in _RETURN_KINDS:
        raise RefusedError(SW_WRONG_P1_P2)
    if command.p1 == _BY_AID:
        session.is_quiet = "select-aid" in session.profile.quirks.no_91xx_after
        return _select_application(session, channel, command)
    if p2 & ~_P2_ANSWER:
        raise RefusedError(SW_WRONG_P1_P2)
    node = _find(session, channel, command)
    return _take(session, channel, node, p2)


def _take(session: UiccSession, channel: Channel, node: Df | Ef, p2: int) -> Answer:
    is_active = True
    if isinstance(node, Df):
        channel.select_df(node)
    else:
        channel.select_ef(node)
        is_active = session.is_active(node)
    sw = SW_OK if is_active else SW_FILE_DEACTIVATED
    if p2 & _P2_ANSWER == _RETURN_NOTHING:
        return b"", sw
    data = df_fcp(node, session.pins) if isinstance(node, Df) else ef_fcp(node, is_active=is_active)
    return data, sw


def _find(session: UiccSession, channel: Channel, command: CommandTpdu) -> Df | Ef:
    p1, data = command.p1, command.data
    if p1 == _PARENT_DF:
        if data:
            raise RefusedError(SW_WRONG_LENGTH)
        return _found(channel.df.parent)
    if p1 in (_BY_FID, _CHILD_DF):
        if p1 == _BY_FID and not data:
            return session.mf
        if len(data) != 2:
            raise RefusedError(SW_WRONG_LENGTH)
        fid = int.from_bytes(data)
        return _found(channel.df.child_df(fid) if p1 == _CHILD_DF else find_by_fid(session, channel, fid))
    if p1 in (_PATH_FROM_MF, _PATH_FROM_DF):
        if not data or len(data) % 2:
            raise RefusedError(SW_WRONG_LENGTH)
        return _found(_by_path(session, channel, session.mf if p1 == _PATH_FROM_MF else channel.df, data))
    raise RefusedError(SW_WRONG_P1_P2)


def _found(node: Df | Ef | None) -> Df | Ef:
    if node is None:
        raise RefusedError(SW_FILE_NOT_FOUND)
    return node


def find_by_fid(session: UiccSession, channel: Channel, fid: int) -> Df | Ef | None:
    """Clause 8.4.2: children, the directory itself, its parent, the parent's directories, MF, current ADF."""
    if fid == MF_FID:
        return session.mf
    if fid == CURRENT_APP_FID:
        return channel.app
    df = channel.df
    child = df.children.get(fid)
    if child is not None:
        return child
    parent = df.parent
    if fid == df.fid:
        return df
    if parent is None:
        return None
    return parent if fid == parent.fid else parent.child_df(fid)


def _by_path(session: UiccSession, channel: Channel, start: Df, path: bytes) -> Df | Ef | None:
    node: Df | Ef | None = start
    for position in range(0, len(path), 2):
        fid = int.from_bytes(path[position : position + 2])
        if not isinstance(node, Df):
            return None
        if fid == CURRENT_APP_FID and position == 0 and start is session.mf:
            node = channel.app
        else:
            node = node.children.get(fid)
    return node


def _select_application(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """By AID, which may be cut on the right; P2 says which of several matches (clause 8.5)."""
    matching = [df for df in session.profile.files.apps if df.aid is not None and df.aid.startswith(command.data)]
    app = _occurrence(matching, channel.app, command.p2 & 0x03) if command.data else None
    if app is None:
        raise RefusedError(SW_FILE_NOT_FOUND)
    answer = _take(session, channel, app, command.p2)
    if command.p2 & _P2_TERMINATE:
        channel.select_df(session.mf)
        channel.app = None
    return answer


def _occurrence(matching: list[Df], current: Df | None, which: int) -> Df | None:
    if not matching:
        return None
    if which in (_FIRST, _LAST):
        return matching[0] if which == _FIRST else matching[-1]
    if current not in matching:
        return matching[0] if which == _NEXT else matching[-1]
    index = matching.index(current) + (1 if which == _NEXT else -1)
    return matching[index] if 0 <= index < len(matching) else None


def status(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """STATUS: the current directory's FCP, the current application's AID, or nothing."""
    if command.p1 > 0x02:
        raise RefusedError(SW_WRONG_P1_P2)
    if command.p2 == _STATUS_NOTHING:
        return b"", SW_OK
    if command.p2 == _STATUS_FCP:
        data = df_fcp(channel.df, session.pins)
    elif command.p2 == _STATUS_AID:
        if channel.app is None or channel.app.aid is None:
            raise RefusedError(SW_DATA_NOT_FOUND)
        data = encode_tlv(0x84, channel.app.aid)
    else:
        raise RefusedError(SW_WRONG_P1_P2)
    require_le(command, len(data))
    return data, SW_OK
