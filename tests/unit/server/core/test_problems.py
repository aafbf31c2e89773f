# SPDX-License-Identifier: Apache-2.0
"""Why a mapped client has no card, in words."""

from ipaddress import ip_address

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.peers import Peer
from remsim.server.core.problems import no_address, problem_of
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import AddressKind


@pytest.mark.parametrize(
    ("state", "result", "has_bank", "status", "words"),
    [
        (MappingState.REFUSED, 3, True, None, "bank 1 has no slot 0"),
        (MappingState.REFUSED, 2, True, None, "bank 1 refused the mapping"),
        (MappingState.NEW, None, False, None, "bank 1 is not connected"),
        (MappingState.ACTIVE, None, True, False, "there is no card in the slot, or no reader"),
        (MappingState.ACTIVE, None, True, True, ""),
        (MappingState.ACTIVE, None, True, None, ""),
    ],
)
def test_problem_of_a_mapping_in_words(
    state: MappingState, result: int | None, has_bank: bool, status: bool | None, words: str
) -> None:
    mapping = Mapping(1, BankSlot(1, 0), ClientSlot(7, 0), 0.0, state=state, result=result)
    bank = Peer(LinkId(1), PeerAddress(ip_address("192.0.2.1"), 1), since=0.0)
    if status is not None:
        bank.slot_status[0] = rspro.SlotPhysStatus(reset_active=False, card_present=status)
    assert problem_of(mapping, bank if has_bank else None, None) == words


@pytest.mark.parametrize(
    ("kind", "is_ipv6_only", "words"),
    [
        (AddressKind.TLS, False, "no TLS address"),
        (AddressKind.PLAINTEXT, False, "no plaintext address"),
        (AddressKind.PLAINTEXT, True, "IPv6 addresses only"),
    ],
)
def test_missing_address_says_what_is_missing(kind: AddressKind, is_ipv6_only: bool, words: str) -> None:
    assert words in no_address(1, kind=kind, is_ipv6_only=is_ipv6_only)
