# SPDX-License-Identifier: Apache-2.0
"""When the event script is called, in which order, and what it is told (rspro.md, section 15)."""

import pytest

from remsim import __version__
from remsim.client.core.actions import SetAtr
from remsim.client.scripting.causes import EventCauses, EventEnvironment, ScriptCause
from remsim.config import HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.actions import LinkId
from remsim.wire.link.dialing import DialState
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus
from tests.doubles.client_slot import (
    ADDRESS,
    BANK_SLOT,
    BANKD,
    CARD_ATR,
    CLIENT_SLOT,
    NOWHERE,
    OFF,
    ON,
    OWN_BANKD,
    OWN_SERVER,
    SERVER,
    Slot,
    classic,
)

ENTER = [ScriptCause.SIM_REMOTE, ScriptCause.CARD_INSERT, ScriptCause.MODEM_RESET]
RESUMING_BANKD = OWN_BANKD.with_abilities(("slots.1", "resume.1"))
LEAVE = [ScriptCause.CARD_REMOVE, ScriptCause.SIM_LOCAL, ScriptCause.MODEM_RESET]


class Called:
    """A slot, and what its script is called for."""

    def __init__(self) -> None:
        self.slot = Slot()
        self._causes = EventCauses()

    def new(self) -> list[ScriptCause]:
        """Since the last time."""
        found = [self._causes.of_action(action) for action in self.slot.everything]
        self.slot.everything.clear()
        return [cause for cause in found if cause is not None]


@pytest.fixture
def called() -> Called:
    return Called()


@pytest.mark.parametrize("is_own", [True, False])
def test_calls_of_a_session_come_in_the_classic_order(called: Called, is_own: bool) -> None:
    called.slot.with_bankd_given()
    assert called.new() == [ScriptCause.SERVER_CONNECT, ScriptCause.CONFIG_BANKD]
    called.slot.up(BANKD)
    called.slot.answer(BANKD, OWN_BANKD if is_own else classic(OWN_BANKD))
    called.slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert called.new() == [*ENTER, ScriptCause.BANKD_CONNECT]
    called.slot.hear(SERVER, rspro.ConfigClientBankReq(BankSlot(2, 1), ADDRESS))
    assert called.new() == [*LEAVE, ScriptCause.CONFIG_BANKD]
    called.slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, NOWHERE))
    assert called.new() == [ScriptCause.CONFIG_BANKD]


def test_taken_bankd_is_left_before_it_is_told(called: Called) -> None:
    called.slot.with_card()
    called.new()
    called.slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, NOWHERE))
    assert called.new() == [*LEAVE, ScriptCause.CONFIG_BANKD]


def test_order_that_changes_nothing_is_told_all_the_same(called: Called) -> None:
    called.slot.with_card()
    called.new()
    called.slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS))
    assert called.new() == [ScriptCause.CONFIG_BANKD]


def test_server_that_goes_and_comes_back_is_told(called: Called) -> None:
    """known-limits.md, 80."""
    called.slot.with_server()
    called.slot.lose(SERVER)
    called.slot.with_server()
    assert called.new() == [ScriptCause.SERVER_CONNECT, ScriptCause.SERVER_LOST, ScriptCause.SERVER_BACK]


@pytest.mark.parametrize("is_own", [True, False])
def test_bankd_that_has_no_card_is_told_once(called: Called, is_own: bool) -> None:
    """known-limits.md, 80."""
    bankd = OWN_BANKD if is_own else classic(OWN_BANKD)
    called.slot.with_bankd(bankd, ResultCode.CARD_NOT_PRESENT)
    called.new()
    for _ in range(3):
        called.slot.lose(BANKD)
        called.slot.up(BANKD)
        called.slot.answer(BANKD, bankd, ResultCode.CARD_NOT_PRESENT)
    assert called.new() == []
    called.slot.lose(BANKD)
    called.slot.up(BANKD)
    called.slot.answer(BANKD, bankd, ResultCode.ILLEGAL_CLIENT_ID)
    assert called.new() == [ScriptCause.BANKD_REFUSED]


def test_card_that_comes_back_in_the_same_session_is_no_new_bankd(called: Called) -> None:
    called.slot.with_card()
    called.new()
    called.slot.hear(
        BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, SlotPhysStatus(reset_active=False, card_present=False))
    )
    assert called.new() == [ScriptCause.CARD_REMOVE]
    called.slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert called.new() == [ScriptCause.CARD_INSERT, ScriptCause.MODEM_RESET]


def test_command_without_an_answer_is_told(called: Called) -> None:
    """known-limits.md, 80."""
    called.slot.with_card()
    called.slot.command()
    called.new()
    called.slot.lose(BANKD)
    assert called.new() == [ScriptCause.TPDU_FAILED, *LEAVE]


def test_modem_status_is_told_when_it_changes() -> None:
    """known-limits.md, 78: the classic client tests for the opposite."""
    causes = EventCauses()
    assert [causes.of_lines(lines) for lines in (ON, ON, OFF, OFF, ON)] == [
        ScriptCause.MODEM_STATUS,
        None,
        ScriptCause.MODEM_STATUS,
        None,
        ScriptCause.MODEM_STATUS,
    ]


def test_other_actions_are_nobodys_business(called: Called) -> None:
    assert EventCauses().of_action(SetAtr(CARD_ATR)) is None


def test_requests_and_events_are_told_apart() -> None:
    assert {cause for cause in ScriptCause if cause.is_request} == {*ENTER, *LEAVE}


def test_environment_begins_like_the_classic_one() -> None:
    environment = EventEnvironment(HostPort("127.0.0.1", 9998))
    assert environment.variables(
        cause=ScriptCause.SERVER_CONNECT,
        client_slot=None,
        bank_slot=None,
        bankd=None,
        server_state=DialState.CONNECTED,
        bankd_state=DialState.DISCONNECTED,
    ) == {
        "REMSIM_CAUSE": "event-server-connect",
        "REMSIM_CLIENT_VERSION": __version__,
        "REMSIM_SERVER_ADDR": "127.0.0.1:9998",
        "REMSIM_SERVER_STATE": "CONNECTED",
        "REMSIM_BANKD_ADDR": "(null):0",
        "REMSIM_BANKD_STATE": "INIT",
        "REMSIM_CLIENT_SLOT": "0:0",
        "REMSIM_BANKD_SLOT": "0:0",
        "REMSIM_SIM_VCC": "0",
        "REMSIM_SIM_RST": "0",
        "REMSIM_SIM_CLK": "0",
    }


def test_environment_follows_the_slot() -> None:
    environment = EventEnvironment(HostPort("h", 1))
    environment.on_lines(SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=True))
    given = environment.variables(
        cause=ScriptCause.CONFIG_BANKD,
        client_slot=ClientSlot(7, 1),
        bank_slot=BankSlot(1, 2),
        bankd=("192.0.2.1", 9999),
        server_state=DialState.BACKOFF,
        bankd_state=DialState.CONNECTING,
    )
    assert (given["REMSIM_BANKD_ADDR"], given["REMSIM_BANKD_SLOT"]) == ("192.0.2.1:9999", "1:2")
    assert (given["REMSIM_SERVER_STATE"], given["REMSIM_BANKD_STATE"]) == ("REESTABLISH_DELAY", "REESTABLISH")
    assert [given[f"REMSIM_SIM_{line}"] for line in ("VCC", "RST", "CLK")] == ["1", "1", "1"]
    taken = environment.variables(
        cause=ScriptCause.CONFIG_BANKD,
        client_slot=ClientSlot(7, 1),
        bank_slot=None,
        bankd=None,
        server_state=DialState.CONNECTED,
        bankd_state=DialState.DISCONNECTED,
    )
    assert (taken["REMSIM_BANKD_ADDR"], taken["REMSIM_BANKD_SLOT"]) == ("0.0.0.0:0", "1:2")
    assert taken["REMSIM_CLIENT_SLOT"] == "7:1"


def test_server_accepts_an_old_friend(called: Called) -> None:
    called.slot.up(SERVER)
    called.slot.answer(SERVER, OWN_SERVER, ResultCode.IDENTITY_IN_USE)
    assert called.new() == []


def test_session_that_is_held_and_goes_on_is_told_and_is_no_new_bankd(called: Called) -> None:
    slot, again = called.slot.with_bankd(RESUMING_BANKD), LinkId(3)

    def session(*, is_resumed: bool) -> rspro.SessionInd:
        return rspro.SessionInd(is_resumed=is_resumed, token=bytes(16), hold_idle_ms=60_000, hold_busy_ms=30_000)

    slot.hear(BANKD, session(is_resumed=False))
    slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    called.new()
    slot.lose(BANKD)
    slot.up(again)
    slot.answer(again, RESUMING_BANKD)
    slot.hear(again, session(is_resumed=True))
    assert called.new() == [ScriptCause.HOLD, ScriptCause.RESUME]
    gone = SlotPhysStatus(reset_active=False, card_present=False)
    slot.hear(again, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone))
    slot.hear(again, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert ScriptCause.BANKD_CONNECT not in called.new()
