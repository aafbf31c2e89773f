# SPDX-License-Identifier: Apache-2.0
"""The USIM's side of authentication and key agreement (3GPP TS 33.102, clause 6.3.3 and annex C; TS 31.102, 7.1.2)."""

from enum import Enum
from hmac import compare_digest
from typing import Final

from remsim.uicc.milenage import Milenage, kc_of
from remsim.uicc.profile.model import AuthSpec
from remsim.uicc.state import UiccState

#: Clause 6.3.3: for resynchronisation AMF is all zeros.
_RESYNC_AMF: Final = bytes(2)
_TAG_SUCCESS: Final = 0xDB
_TAG_SYNC_FAILURE: Final = 0xDC


class AuthFault(Enum):
    """Why there is no answer."""

    WRONG_MAC = "wrong MAC"


class Authenticator:
    """Checks challenges for one card and keeps its SEQ numbers."""

    def __init__(self, spec: AuthSpec, state: UiccState) -> None:
        self._spec = spec
        self._state = state
        self._milenage: Milenage | None = None

    @property
    def _functions(self) -> Milenage:
        if self._milenage is None:
            self._milenage = Milenage(self._spec.ki, self._spec.opc)
        return self._milenage

    def gsm(self, rand: bytes) -> tuple[bytes, bytes]:
        """SRES and Kc for a challenge of 16 bytes."""
        return self._functions.gsm(rand)

    def umts(self, rand: bytes, autn: bytes) -> bytes | AuthFault:
        """The data of the AUTHENTICATE answer, 3G context: tag DB, or tag DC with AUTS."""
        functions = self._functions
        _, ak = functions.f2_and_f5(rand)
        sqn = (int.from_bytes(autn[:6]) ^ int.from_bytes(ak)).to_bytes(6)
        mac, _ = functions.f1_and_f1_star(rand, sqn, autn[6:8])
        if not compare_digest(mac, autn[8:16]):
            return AuthFault.WRONG_MAC
        if not self._accepts(int.from_bytes(sqn)):
            return bytes((_TAG_SYNC_FAILURE, 14)) + self._auts(rand)
        return self.vector(rand)

    def vector(self, rand: bytes) -> bytes:
        """RES, CK, IK and Kc behind tag DB, without any check of the challenge."""
        functions = self._functions
        res, _ = functions.f2_and_f5(rand)
        ck, ik = functions.f3(rand), functions.f4(rand)
        values = [res[: self._spec.res_length], ck, ik]
        if self._spec.has_gsm_access:
            values.append(kc_of(ck, ik))
        return bytes((_TAG_SUCCESS,)) + b"".join(bytes((len(value),)) + value for value in values)

    def _auts(self, rand: bytes) -> bytes:
        highest = max(self._state.seqs.values(), default=self._spec.seq)
        ind = next((ind for ind, seq in self._state.seqs.items() if seq == highest), 0)
        sqn_ms = (highest << self._spec.ind_bits | ind).to_bytes(6)
        _, mac_s = self._functions.f1_and_f1_star(rand, sqn_ms, _RESYNC_AMF)
        ak = self._functions.f5_star(rand)
        return (int.from_bytes(sqn_ms) ^ int.from_bytes(ak)).to_bytes(6) + mac_s

    def _accepts(self, sqn: int) -> bool:
        """Annex C.2: SEQ must exceed the last one of its IND and not jump too far; then it is remembered."""
        ind_bits = self._spec.ind_bits
        seq, ind = sqn >> ind_bits, sqn & ((1 << ind_bits) - 1)
        highest = max(self._state.seqs.values(), default=self._spec.seq)
        if seq <= self._state.seqs.get(ind, self._spec.seq) or seq - highest > self._spec.delta:
            return False
        self._state.seqs[ind] = seq
        self._state.changed()
        return True
