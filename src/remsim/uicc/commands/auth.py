# SPDX-License-Identifier: Apache-2.0
"""AUTHENTICATE in the 3G and GSM contexts (3GPP TS 31.102, clause 7.1) and RUN GSM ALGORITHM (TS 51.011, 9.2.16)."""

from typing import Final

from remsim.card.status import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_OK,
    SW_WRONG_DATA,
    SW_WRONG_LENGTH,
    SW_WRONG_MAC,
    SW_WRONG_P1_P2,
)
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.auth import Authenticator, AuthFault
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Access, Df
from remsim.uicc.session import Answer, Channel, UiccSession

_GSM_CONTEXT: Final = 0x80
_3G_CONTEXT: Final = 0x81
_CHALLENGE_LENGTH: Final = 16
_DF_GSM: Final = 0x7F20


def authenticate(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """AUTHENTICATE, in the USIM application after PIN1."""
    if command.p1 or command.p2 not in (_GSM_CONTEXT, _3G_CONTEXT):
        raise RefusedError(SW_WRONG_P1_P2)
    authenticator = session.auth
    if authenticator is None or channel.app is None:
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    session.require(Access.PIN1)
    if command.p2 == _GSM_CONTEXT:
        (rand,) = _values(command.data, 1)
        sres, kc = authenticator.gsm(rand)
        return bytes((len(sres),)) + sres + bytes((len(kc),)) + kc, SW_OK
    if command.data and not any(command.data) and session.profile.quirks.accept_blank_challenge:
        return authenticator.vector(bytes(_CHALLENGE_LENGTH)), SW_OK
    rand, autn = _values(command.data, 2)
    return _umts(authenticator, rand, autn)


def _umts(authenticator: Authenticator, rand: bytes, autn: bytes) -> Answer:
    result = authenticator.umts(rand, autn)
    if result is AuthFault.WRONG_MAC:
        raise RefusedError(SW_WRONG_MAC)
    return result, SW_OK


def _values(data: bytes, count: int) -> list[bytes]:
    """Challenge values, each behind its length."""
    if len(data) != count * (_CHALLENGE_LENGTH + 1):
        raise RefusedError(SW_WRONG_LENGTH)
    values: list[bytes] = []
    for start in range(0, len(data), _CHALLENGE_LENGTH + 1):
        if data[start] != _CHALLENGE_LENGTH:
            raise RefusedError(SW_WRONG_DATA)
        values.append(data[start + 1 : start + 1 + _CHALLENGE_LENGTH])
    return values


def run_gsm_algorithm(session: UiccSession, channel: Channel, command: CommandTpdu) -> Answer:
    """RUN GSM ALGORITHM, in DF GSM after CHV1: SRES and Kc."""
    if command.p1 or command.p2:
        raise RefusedError(SW_WRONG_P1_P2)
    if len(command.data) != _CHALLENGE_LENGTH:
        raise RefusedError(SW_WRONG_LENGTH)
    if session.auth is None or not _is_in_gsm(channel.df):
        raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
    session.require(Access.PIN1)
    sres, kc = session.auth.gsm(command.data)
    return sres + kc, SW_OK


def _is_in_gsm(df: Df | None) -> bool:
    while df is not None:
        if df.fid == _DF_GSM:
            return True
        df = df.parent
    return False
