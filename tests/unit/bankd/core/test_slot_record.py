# SPDX-License-Identifier: Apache-2.0
"""What is noted of a slot."""

import pytest

from remsim.bankd.core.actions import FaultKind
from remsim.bankd.core.slot_record import SlotRecord
from remsim.wire.messages.health import CardErrorKind


@pytest.fixture
def record() -> SlotRecord:
    return SlotRecord()


def answer(record: SlotRecord, *responses: str) -> None:
    for response in responses:
        record.on_answered(bytes.fromhex(response))


def test_answers_that_say_no_in_a_row_are_counted(record: SlotRecord) -> None:
    answer(record, "9000", "6f00", "6f00", "6f00")
    assert (record.commands, record.same_status, record.same_count) == (4, 0x6F00, 3)
    answer(record, "6d00")
    assert (record.same_status, record.same_count) == (0x6D00, 1)


@pytest.mark.parametrize("response", ["9000", "6110", "9f17", "6a82", "6982", "6283", "01029000", "6c10"])
def test_any_other_answer_ends_the_row(record: SlotRecord, response: str) -> None:
    answer(record, "6f00", "6f00")
    setattr(record, "same_since", 5.0)  # noqa: B010  # the type checker would believe it to stay so
    answer(record, response)
    assert (record.same_status, record.same_count, record.same_since) == (0, 0, None)


def test_faults_are_counted_by_kind_and_the_last_one_is_known(record: SlotRecord) -> None:
    for at, kind in enumerate([FaultKind.MUTE, FaultKind.BUSY, *[FaultKind.TRANSMISSION] * 2, FaultKind.NO_READER]):
        record.on_fault(kind, float(at))
    assert (record.mutes, record.transmission_errors, record.other_errors) == (1, 2, 2)
    assert (record.last_error, record.last_error_at) == (CardErrorKind.NO_READER, 4.0)
    assert record.recent_mutes.count(4.0) == 1
    assert record.recent_transmission_errors.count(4.0) == 2


def test_reader_that_is_ours_again_is_not_busy_and_what_was_before_is_known_again(record: SlotRecord) -> None:
    record.on_fault(FaultKind.BUSY, 1.0)
    record.on_opened(b"\x3b\x00")
    assert (record.last_error, record.atr) == (None, b"\x3b\x00")
    for at, kind in enumerate([FaultKind.MUTE, FaultKind.BUSY, FaultKind.BUSY], start=2):
        record.on_fault(kind, float(at))
    assert (record.last_error, record.last_error_at) == (CardErrorKind.READER_BUSY, 4.0)
    for _ in range(2):
        record.on_opened(b"\x3b\x00")
        assert (record.last_error, record.last_error_at) == (CardErrorKind.MUTE, 2.0)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_has_a_kind_on_the_wire(record: SlotRecord, kind: FaultKind) -> None:
    record.on_fault(kind, 1.0)
    assert record.last_error is not None
    assert record.last_error.name in {kind.name, f"READER_{kind.name}"}


def test_another_card_begins_afresh_but_its_contacts_are_the_same(record: SlotRecord) -> None:
    record.atr = b"\x3b\x00"
    record.card_times.observe(3.0)
    record.on_fault(FaultKind.TRANSMISSION, 1.0)
    answer(record, "6f00")
    record.on_exchange(7.0)
    assert (record.atr, record.same_count, record.presence_since) == (b"", 0, 7.0)
    assert record.card_times.durations() is None
    assert (record.transmission_errors, record.recent_transmission_errors.count(7.0)) == (1, 1)
