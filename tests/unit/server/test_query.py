# SPDX-License-Identifier: Apache-2.0
"""What may be asked about a server: the problem of a mapping in words, and infos that follow what happens."""

from ipaddress import ip_address

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.server.mapping_lacks import problem_of
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages import rspro


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
    mapping = Mapping(1, BankSlot(1, 0), ClientSlot(7, 0), 0.0, initial=state, result=result)
    bank = Peer(LinkId(1), PeerAddress(ip_address("192.0.2.1"), 1), since=0.0)
    if status is not None:
        bank.slot_status[0] = rspro.SlotPhysStatus(reset_active=False, card_present=status)
    assert problem_of(mapping, bank if has_bank else None, None) == words


def test_reader_that_does_not_work_is_the_problem_of_its_mapping() -> None:
    mapping = Mapping(1, BankSlot(1, 0), ClientSlot(7, 0), 0.0, initial=MappingState.ACTIVE)
    bank = Peer(LinkId(1), PeerAddress(ip_address("192.0.2.1"), 1), since=0.0)
    bank.readers[0] = rspro.ReaderHealthInd(BankSlot(1, 0), rspro.ReaderState.SUSPENDED, 3)
    assert problem_of(mapping, bank, None) == "the reader has failed several times; it is tried again by itself"
