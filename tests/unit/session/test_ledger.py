# SPDX-License-Identifier: Apache-2.0
"""The cases of a reply cache, one by one (RFC 8881, 2.10.6)."""

from remsim.session.ledger import OperationLedger, Standing
from remsim.wire.messages.rspro import MAX_OPERATION_TAG

SELECT, READ = bytes.fromhex("a0a40000023f00"), bytes.fromhex("a0b0000001")
OK = b"\x90\x00"


def test_new_commands_are_run_with_gaps_between_their_tags() -> None:
    assert OperationLedger().last is None
    ledger = OperationLedger()
    for tag in (3, 4, 90):
        assert ledger.take_command(tag, SELECT) is Standing.NEW
        assert ledger.running == ledger.last == tag
        assert ledger.complete(tag, OK)
        assert ledger.response == OK
        assert ledger.running is None


def test_command_that_comes_again_is_never_run_again() -> None:
    ledger = OperationLedger()
    ledger.take_command(7, SELECT)
    assert ledger.take_command(7, SELECT) is Standing.RUNNING
    ledger.complete(7, OK)
    assert ledger.take_command(7, SELECT) is Standing.ANSWERED
    assert ledger.response == OK
    assert ledger.suppressed == 2


def test_older_command_is_misordered() -> None:
    ledger = OperationLedger()
    ledger.take_command(7, SELECT)
    assert ledger.take_command(6, SELECT) is Standing.MISORDERED
    assert ledger.take_lines(6) is Standing.MISORDERED
    assert ledger.last == 7


def test_other_command_under_the_newest_tag_is_a_false_retry() -> None:
    ledger = OperationLedger()
    ledger.take_command(7, SELECT)
    assert ledger.take_command(7, READ) is Standing.FALSE_RETRY
    assert ledger.take_lines(7) is Standing.FALSE_RETRY


def test_line_change_that_comes_again_is_acknowledged_only() -> None:
    ledger = OperationLedger()
    assert ledger.take_lines(7) is Standing.NEW
    assert ledger.take_lines(7) is Standing.ANSWERED
    assert ledger.take_command(7, SELECT) is Standing.MISORDERED


def test_answer_that_a_newer_command_has_overtaken_is_not_kept() -> None:
    ledger = OperationLedger()
    ledger.take_command(5, SELECT)
    ledger.void()
    ledger.take_lines(6)
    ledger.take_command(7, READ)
    assert not ledger.complete(5, OK)
    assert ledger.running == 7


def test_returning_client_gets_what_it_waits_for() -> None:
    ledger = OperationLedger()
    assert ledger.resume(1) is Standing.NEW
    ledger.take_command(1, SELECT)
    assert ledger.resume(1) is Standing.RUNNING
    ledger.complete(1, OK)
    assert ledger.resume(1) is Standing.ANSWERED
    assert ledger.resume(2) is Standing.NEW
    assert ledger.resume(MAX_OPERATION_TAG) is Standing.MISORDERED


def test_client_that_waits_for_nothing_has_its_answer_or_wants_none() -> None:
    ledger = OperationLedger()
    ledger.take_command(1, SELECT)
    assert ledger.resume(None) is Standing.NEW
    assert not ledger.complete(1, OK)
    assert ledger.last == 1
