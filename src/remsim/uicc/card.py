# SPDX-License-Identifier: Apache-2.0
"""The software UICC: one command TPDU in, one response TPDU out, and nothing else (T=0, ISO/IEC 7816-3 clause 10).

A pure object: no I/O, no clock, no randomness. Whatever comes in is answered with a status word, never an exception.
Not a product for live networks: its secrets lie in plain memory and its timing tells about them.
"""

from typing import Final

from remsim.card.class_byte import Family, class_byte
from remsim.card.errors import TpduError
from remsim.card.status import (
    SW_CLA_NOT_SUPPORTED,
    SW_CONDITIONS_NOT_SATISFIED,
    SW_CORRECT_LENGTH,
    SW_GSM_RESPONSE,
    SW_INS_NOT_SUPPORTED,
    SW_MORE_DATA,
    SW_NO_CHANNEL,
    SW_NO_SECURE_MESSAGING,
    SW_OK,
    SW_WRONG_LENGTH,
    SW_WRONG_P1_P2,
)
from remsim.card.tpdu import CommandTpdu
from remsim.uicc.commands.gsm import gsm_sw
from remsim.uicc.errors import RefusedError
from remsim.uicc.identity import SubscriberIdentity
from remsim.uicc.profile.model import Profile
from remsim.uicc.session import Answer, UiccSession
from remsim.uicc.state import UiccState
from remsim.uicc.table import COMMANDS, INS_GET_RESPONSE, KNOWN_INSTRUCTIONS, CommandCase


def _decode_class(cla: int) -> tuple[Family, int] | int:
    """Family and channel of a class byte, or the status word that refuses it."""
    meaning = class_byte(cla)
    if meaning.family is None or meaning.is_chained:
        return SW_CLA_NOT_SUPPORTED
    return SW_NO_SECURE_MESSAGING if meaning.is_secured else (meaning.family, meaning.channel)


_CLASSES: Final = tuple(_decode_class(cla) for cla in range(256))


class Uicc:
    """One card. Built powered and reset; ``state`` is changed in place by commands that write."""

    def __init__(
        self, profile: Profile, state: UiccState | None = None, identity: SubscriberIdentity | None = None
    ) -> None:
        self.profile = profile
        self.identity = profile.identity if identity is None else identity
        self.state = UiccState.fresh(profile) if state is None else state
        self._session = UiccSession(profile, self.state, self.identity)
        self._response = b""
        self._response_sw = SW_OK
        self._response_channel = -1

    @property
    def revision(self) -> int:
        """Grows with every change of the persistent state."""
        return self.state.revision

    def cold_reset(self) -> bytes:
        """Power comes back: forget what is volatile, answer with the ATR."""
        self._session.reset()
        self._response_channel = -1
        return self.profile.atr

    def warm_reset(self) -> bytes:
        """RST with power kept; this card makes no difference."""
        return self.cold_reset()

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer one command TPDU: data and status word, at least two bytes."""
        try:
            command = CommandTpdu.from_bytes(tpdu)
        except TpduError:
            return SW_WRONG_LENGTH.to_bytes(2)
        decoded = _CLASSES[command.cla]
        if isinstance(decoded, int):
            return decoded.to_bytes(2)
        family, channel_number = decoded
        try:
            data, sw = self._dispatch(family, channel_number, command)
        except RefusedError as error:
            data, sw = b"", error.sw
        if family is Family.GSM:
            sw = gsm_sw(sw)
        if sw == SW_OK and not self._session.is_quiet:
            sw = self._session.toolkit.success_sw
        return data + sw.to_bytes(2)

    def _dispatch(self, family: Family, channel_number: int, command: CommandTpdu) -> Answer:
        session = self._session
        channel = session.channels.get(channel_number)
        if channel is None:
            raise RefusedError(SW_NO_CHANNEL)
        if command.ins == INS_GET_RESPONSE:
            return self._get_response(family, channel_number, command)
        # Clause 7.3.1.1.4: data not fetched by the very next command is lost.
        self._response_channel = -1
        session.is_quiet = False
        entry = COMMANDS.get((family, command.ins))
        if entry is None:
            raise RefusedError(SW_CLA_NOT_SUPPORTED if command.ins in KNOWN_INSTRUCTIONS else SW_INS_NOT_SUPPORTED)
        case = entry.case
        if case is CommandCase.EITHER:
            case = CommandCase.IN_OUT if command.data else CommandCase.OUT
        # T=0: P3 = 00 always means "no data to the card", so only a P3 that contradicts is wrong here.
        is_wrong = (
            command.data if case is CommandCase.OUT else (command.p3 and (case is CommandCase.NONE or not command.data))
        )
        if is_wrong:
            raise RefusedError(SW_WRONG_LENGTH)
        data, sw = entry.handler(session, channel, command)
        if not data or case is not CommandCase.IN_OUT:
            return data, sw
        self._response, self._response_sw, self._response_channel = data, sw, channel_number
        return b"", (SW_GSM_RESPONSE if family is Family.GSM else SW_MORE_DATA) | len(data) & 0xFF

    def _get_response(self, family: Family, channel_number: int, command: CommandTpdu) -> Answer:
        if command.p1 or command.p2:
            raise RefusedError(SW_WRONG_P1_P2)
        if command.data:
            raise RefusedError(SW_WRONG_LENGTH)
        if self._response_channel != channel_number:
            raise RefusedError(SW_CONDITIONS_NOT_SATISFIED)
        data, wanted = self._response, command.le
        if wanted > len(data):
            raise RefusedError(SW_CORRECT_LENGTH | len(data) & 0xFF)
        rest = data[wanted:]
        if rest and family is not Family.GSM:
            self._response = rest
            return data[:wanted], SW_MORE_DATA | len(rest) & 0xFF
        self._response_channel = -1
        return data[:wanted], self._response_sw
