# SPDX-License-Identifier: Apache-2.0
"""Entries for the server's audit log: sent to the server that takes them, kept within bounds while there is none."""

import pytest

from remsim.bankd.core import audit
from remsim.bankd.core.audit import plain_detail
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.wire.messages.codec import encode_pdu
from remsim.wire.messages.extensions import MAX_DETAIL, AuditInd
from remsim.wire.messages.rspro import ConnectBankRes, Message, ResultCode, RsproPdu
from tests.doubles.bank import SERVER, Bank
from tests.doubles.reaching import reaches


def entry(number: int = 0) -> AuditInd:
    slots = BankSlot(1, 0), ClientSlot(1, 0)
    return AuditInd("command.block", is_refused=True, bank_slot=slots[0], client_slot=slots[1], detail=f"n{number}")


def report(bank: Bank, *numbers: int) -> None:
    for number in numbers:
        bank.do(bank.coordinator.on_audit(entry(number), bank.now))


def told(bank: Bank, link: int) -> list[Message]:
    return [message for message in bank.sent[link] if isinstance(message, AuditInd)]


def details(bank: Bank, link: int) -> list[str | None]:
    return [message.detail for message in bank.sent[link] if isinstance(message, AuditInd)]


def accept(bank: Bank) -> int:
    """A server accepts the bank; what follows at once is not forgotten."""
    link = bank.link(is_dialled=True)
    bank.say(link, ConnectBankRes(SERVER.with_abilities(("audit.1",)), ResultCode.OK))
    return link


def test_entry_goes_to_the_server_at_once() -> None:
    bank = Bank()
    server = bank.server()
    report(bank, 1)
    assert told(bank, server) == [entry(1)]


def test_classic_server_and_one_that_does_not_take_entries_hear_nothing() -> None:
    bank = Bank()
    classic = bank.server(is_own=False)
    report(bank, 1)
    assert bank.sent[classic] == []
    bank.lose(classic)
    older = bank.link(is_dialled=True)
    bank.say(older, ConnectBankRes(SERVER.with_abilities(("echo.1",)), ResultCode.OK))
    bank.sent[older].clear()
    report(bank, 2)
    assert bank.sent[older] == []
    bank.lose(older)
    assert details(bank, accept(bank)) == ["n1", "n2"]


def test_what_was_kept_comes_with_its_age_when_a_server_is_there_and_only_once() -> None:
    bank = Bank()
    report(bank, 1)
    bank.now += 124.6
    report(bank, 2)
    server = accept(bank)
    assert details(bank, server) == ["n1 (125 s before this entry)", "n2"]
    bank.lose(server)
    assert told(bank, accept(bank)) == []


@reaches(LimitName.KEPT_AUDIT)
def test_more_than_is_kept_is_dropped_counted_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_KEPT", 3)
    bank = Bank()
    report(bank, 1, 2, 3, 4, 5)
    assert bank.coordinator.counts.audit_dropped == bank.coordinator.counts.limits[LimitName.KEPT_AUDIT] == 2
    assert "audit_entries_dropped" not in bank.events()
    server = accept(bank)
    assert details(bank, server) == [
        "n1",
        "n2",
        "n3",
        "2 entries of this bank were dropped while no server took them",
    ]
    last = told(bank, server)[-1]
    assert isinstance(last, AuditInd)
    assert (last.action, last.is_refused) == ("audit.lost", False)
    assert bank.events().count("audit_entries_dropped") == 1
    bank.lose(server)
    report(bank, 6)
    assert details(bank, accept(bank)) == ["n6"]
    assert bank.coordinator.counts.audit_dropped == 2


def test_detail_of_the_greatest_length_leaves_room_for_its_age() -> None:
    bank = Bank()
    longest = AuditInd("command.block", is_refused=True, detail=plain_detail("d" * 1000))
    bare = AuditInd("gsmtap.reveal", is_refused=False)
    for each in (longest, bare):
        bank.do(bank.coordinator.on_audit(each, bank.now))
    bank.now += 3600.0
    first, second = details(bank, accept(bank))
    assert first is not None
    assert len(first) == MAX_DETAIL
    assert first.endswith("d (3600 s before this entry)")
    assert second == "(3600 s before this entry)"


def test_detail_is_made_of_what_the_message_can_carry() -> None:
    text = plain_detail("rule Müller\n\x1b[31m: 00a4 €")
    assert text == "rule M?ller??[31m: 00a4 ?"
    assert encode_pdu(RsproPdu(1, AuditInd("command.block", is_refused=True, detail=text)))
