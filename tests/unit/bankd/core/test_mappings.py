# SPDX-License-Identifier: Apache-2.0
"""The mapping table: results in the order of rspro.md, 9.1, and what a new mapping pushes out."""

import pytest

from remsim.bankd.core.mappings import MappingTable, SlotMapping
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.messages.rspro import ResultCode

C1, C2 = ClientSlot(1, 0), ClientSlot(2, 0)
B0, B1 = BankSlot(1, 0), BankSlot(1, 1)


@pytest.fixture
def table() -> MappingTable:
    return MappingTable(1, 4)


@pytest.mark.parametrize(
    ("bank", "result"),
    [
        (BankSlot(2, 9), ResultCode.ILLEGAL_BANK_ID),
        (BankSlot(1, 4), ResultCode.ILLEGAL_SLOT_ID),
        (BankSlot(1, 3), ResultCode.OK),
    ],
)
def test_bank_is_checked_before_slot(table: MappingTable, bank: BankSlot, result: ResultCode) -> None:
    assert table.create(C1, bank).result is result
    expected = ResultCode.OK if result is ResultCode.OK else result
    assert table.remove(C1, bank).result is expected


def test_identical_mapping_changes_nothing(table: MappingTable) -> None:
    first = table.create(C1, B0)
    assert first.created == SlotMapping(C1, B0)
    again = table.create(C1, B0)
    assert (again.result, again.removed, again.created) == (ResultCode.OK, (), None)
    assert len(table) == 1


def test_mapping_pushes_out_those_of_its_bank_slot_and_of_its_client(table: MappingTable) -> None:
    table.create(C1, B0)
    table.create(C2, B1)
    change = table.create(C1, B1)
    assert change.removed == (SlotMapping(C2, B1), SlotMapping(C1, B0))
    assert change.created == SlotMapping(C1, B1)
    assert table.of_client(C1) == table.of_slot(1) == SlotMapping(C1, B1)
    assert table.of_client(C2) is None
    assert table.of_slot(0) is None


def test_removal_names_the_client_too(table: MappingTable) -> None:
    table.create(C1, B0)
    assert table.remove(C2, B0).result is ResultCode.UNKNOWN_SLOTMAP
    assert table.remove(C1, B1).result is ResultCode.UNKNOWN_SLOTMAP
    assert table.remove(C1, B0).removed == (SlotMapping(C1, B0),)
    assert len(table) == 0


def test_reset_drops_all(table: MappingTable) -> None:
    table.create(C1, B0)
    table.create(C2, B1)
    assert table.clear().removed == (SlotMapping(C1, B0), SlotMapping(C2, B1))
    assert table.of_client(C1) is None
    assert str(SlotMapping(C1, B0)) == "B1:0 C1:0"
