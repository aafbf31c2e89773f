# SPDX-License-Identifier: Apache-2.0
"""Commands about the card as a whole: MANAGE CHANNEL, ACTIVATE and DEACTIVATE FILE, TERMINAL CAPABILITY, and the
application toolkit's four (ETSI TS 102 221, clauses 11.1.14 to 11.1.19 and 11.2)."""

from typing import Final

from remsim.card.errors import TlvError
from remsim.card.status import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_FUNCTION_NOT_SUPPORTED,
    SW_NO_CHANNEL,
    SW_NO_EF_SELECTED,
    SW_OK,
    SW_WRONG_DATA,
    SW_WRONG_LENGTH,
    SW_WRONG_P1_P2,
)
from remsim.card.tlv import parse_tlvs
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.errors import RefusedError
from remsim.uicc.session import Answer, Channel, UiccSession, require_le

_OPEN: Final = 0x00
_CLOSE: Final = 0x80
_TERMINAL_CAPABILITY: Final = 0xA9


def manage_channel(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """MANAGE CHANNEL: open, the card choosing the number or not, and close."""
    session.is_quiet = "manage-channel" in session.profile.quirks.no_91xx_after
    if command.p1 == _OPEN:
        return _open(session, channel, command)
    if command.p1 != _CLOSE:
        raise RefusedError(SW_WRONG_P1_P2)
    number = command.p2 or channel.number
    if number == 0:
        raise RefusedError(SW_WRONG_P1_P2)
    if session.channels.pop(number, None) is None:
        raise RefusedError(SW_NO_CHANNEL)
    return b"", SW_OK


def _open(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    limit = session.profile.channels
    number = command.p2 or next((n for n in range(1, limit) if n not in session.channels), 0)
    if number == 0:
        raise RefusedError(SW_FUNCTION_NOT_SUPPORTED)
    if number >= limit or number in session.channels:
        raise RefusedError(SW_NO_CHANNEL)
    if command.p2 == 0:
        require_le(command, 1)
    elif command.p3:
        raise RefusedError(SW_WRONG_LENGTH)
    opened = Channel(number, session.mf)
    if channel.number != 0:
        # Clause 11.1.17: opened from another channel, the new one begins where that one stands.
        opened.app = channel.app
        opened.select_df(channel.df)
    session.channels[number] = opened
    return (b"" if command.p2 else bytes((number,))), SW_OK


def deactivate_file(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """DEACTIVATE FILE, for the current EF."""
    return _set_active(session, channel, command, is_active=False)


def activate_file(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """ACTIVATE FILE, for the current EF."""
    return _set_active(session, channel, command, is_active=True)


def _set_active(session: UiccSession, channel: Channel, command: CommandTpdu, *, is_active: bool) -> Answer:
    if command.p1 or command.p2:
        raise RefusedError(SW_WRONG_P1_P2)
    ef = channel.ef
    if ef is None:
        raise RefusedError(SW_NO_EF_SELECTED)
    session.require(ef.rule.manage)
    if session.is_active(ef) is not is_active:
        if is_active:
            session.state.deactivated.discard(ef.key)
        else:
            session.state.deactivated.add(ef.key)
        session.state.changed()
    return b"", SW_OK


def terminal_capability(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """TERMINAL CAPABILITY: the template is checked for its shape; no capability changes what this card does."""
    if command.p1 or command.p2:
        raise RefusedError(SW_WRONG_P1_P2)
    try:
        objects = parse_tlvs(command.data)
    except TlvError as error:
        raise RefusedError(SW_WRONG_DATA) from error
    if len(objects) != 1 or objects[0].tag != _TERMINAL_CAPABILITY:
        raise RefusedError(SW_WRONG_DATA)
    return b"", SW_OK


def _plain(command: CommandTpdu) -> None:
    if command.p1 or command.p2:
        raise RefusedError(SW_WRONG_P1_P2)


def terminal_profile(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """TERMINAL PROFILE: the toolkit may begin."""
    _plain(command)
    session.toolkit.on_terminal_profile()
    return b"", SW_OK


def fetch(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """FETCH."""
    _plain(command)
    pending = session.toolkit.pending
    if pending is None:
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    require_le(command, len(pending))
    session.toolkit.on_fetched()
    return pending, SW_OK


def terminal_response(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """TERMINAL RESPONSE."""
    _plain(command)
    if not session.toolkit.on_terminal_response():
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    return b"", SW_OK


def envelope(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """ENVELOPE."""
    _plain(command)
    if not command.data:
        raise RefusedError(SW_WRONG_LENGTH)
    session.toolkit.on_envelope(command.data)
    return b"", SW_OK


def sleep(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """SLEEP: obsolete since phase 1 and without effect (TS 51.011, clause 9.2.17)."""
    _plain(command)
    return b"", SW_OK
