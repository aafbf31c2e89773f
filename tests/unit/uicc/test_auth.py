# SPDX-License-Identifier: Apache-2.0
"""The SEQ numbers that a card keeps."""

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import UiccState
from remsim.uicc.auth import Authenticator, AuthFault
from remsim.uicc.milenage import Milenage

_PROFILE = load_profile("default")
_RAND = bytes(16)


def _autn(sqn: int) -> bytes:
    spec = _PROFILE.auth
    assert spec is not None
    network = Milenage(spec.ki, spec.opc)
    mac, _ = network.f1_and_f1_star(_RAND, sqn.to_bytes(6), bytes(2))
    _, ak = network.f2_and_f5(_RAND)
    return (sqn ^ int.from_bytes(ak)).to_bytes(6) + bytes(2) + mac


def _card() -> tuple[Authenticator, UiccState]:
    assert _PROFILE.auth is not None
    state = UiccState.fresh(_PROFILE)
    return Authenticator(_PROFILE.auth, state), state


def test_only_accepted_challenges_change_the_state() -> None:
    card, state = _card()
    assert card.umts(_RAND, bytes(16)) is AuthFault.WRONG_MAC
    assert (state.seqs, state.revision) == ({}, 0)
    card.umts(_RAND, _autn(5 << 5 | 2))
    assert (state.seqs, state.revision) == ({2: 5}, 1)
    card.umts(_RAND, _autn(4 << 5 | 2))
    assert (state.seqs, state.revision) == ({2: 5}, 1)
