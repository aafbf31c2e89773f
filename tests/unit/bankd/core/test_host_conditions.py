# SPDX-License-Identifier: Apache-2.0
"""What a bank tells of its host: to whom, when, and in which form."""

import pytest

from remsim.bankd.core.actions import BankdAction
from remsim.bankd.core.host_conditions import HostConditions
from remsim.core import host_codes
from remsim.core.log_event import LogEvent
from remsim.wire.messages import rspro
from remsim.wire.messages.health import HostCondition, HostConditionsInd
from tests.doubles.bank import SERVER, Bank

FULL = HostCondition(host_codes.DISK, is_error=True, detail="1 MiB free")
OLD = HostCondition(host_codes.PCSCD_TOO_OLD, is_error=False, detail="16 readers at most")
HEARING = ("conditions.1",)


def server(bank: Bank, abilities: tuple[str, ...] | None = HEARING) -> int:
    """A server that has accepted the bank, and named these abilities."""
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(abilities), rspro.ResultCode.OK))
    return link


def told(bank: Bank, link: int) -> list[HostConditionsInd]:
    """What a server has heard of the host."""
    return [message for message in bank.sent[link] if isinstance(message, HostConditionsInd)]


def test_server_hears_all_that_is_wrong_at_each_change() -> None:
    bank = Bank()
    link = server(bank)
    for found in ([], [OLD], [OLD], [OLD, FULL], []):
        bank.do(bank.coordinator.on_host_conditions(found))
    # Errors come first.
    assert [message.conditions for message in told(bank, link)] == [(), (OLD,), (FULL, OLD), ()]


def test_server_that_comes_later_hears_what_was_found_last() -> None:
    bank = Bank()
    bank.do(bank.coordinator.on_host_conditions([OLD]))
    assert told(bank, server(bank)) == [HostConditionsInd((OLD,))]


def test_server_hears_nothing_before_anybody_has_looked() -> None:
    bank = Bank()
    assert told(bank, server(bank)) == []


@pytest.mark.parametrize("abilities", [None, ("slots.1",)])
def test_server_without_the_ability_hears_nothing(abilities: tuple[str, ...] | None) -> None:
    bank = Bank()
    link = server(bank, abilities)
    bank.do(bank.coordinator.on_host_conditions([OLD]))
    assert told(bank, link) == []


def test_what_is_wrong_is_logged_when_it_begins_and_when_it_is_over() -> None:
    out: list[BankdAction] = []
    conditions = HostConditions(out)
    assert conditions.codes == frozenset()
    less = HostCondition(host_codes.DISK, is_error=True, detail="0 MiB free")
    for found in ([FULL, OLD], [less, OLD], [OLD], [OLD]):
        conditions.on_found(found)
    assert out == [
        LogEvent("error", "host_condition", fields={"code": "disk", "text": "1 MiB free"}),
        LogEvent("warning", "host_condition", fields={"code": "pcscd-too-old", "text": "16 readers at most"}),
        LogEvent("info", "host_condition_over", fields={"code": "disk"}),
    ]


def test_message_holds_no_more_than_it_can_and_nothing_that_is_not_printable() -> None:
    conditions = HostConditions([])
    many = [HostCondition("x" * 40, is_error=False, detail="Lesegerät\n" * 100) for _ in range(40)]
    message = conditions.on_found([*many, FULL, HostCondition("y", is_error=False, detail="")])
    assert message is not None
    assert len(message.conditions) == 32
    assert message.conditions[0] == FULL
    assert message.conditions[1] == HostCondition("x" * 32, is_error=False, detail=("Leseger?t?" * 100)[:255])
    assert conditions.on_found([HostCondition("y", is_error=False, detail="")]) == HostConditionsInd(
        (HostCondition("y", is_error=False, detail="?"),)
    )
