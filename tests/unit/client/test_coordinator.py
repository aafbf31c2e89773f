# SPDX-License-Identifier: Apache-2.0
"""The client slot's decisions, one by one."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from remsim.client.actions import (
    Abort,
    Action,
    DialBankd,
    HangUpBankd,
    InsertCard,
    RemoveCard,
    ResetModem,
    Respond,
    SelectSim,
    SetAtr,
)
from remsim.client.coordinator import ATR_WAIT_S, ClientCoordinator
from remsim.client.notices import Notice, NoticeKind
from remsim.client.transitions import SLOT_TRANSITIONS, SlotEvent, SlotState
from remsim.ids import BankSlot, ClientSlot
from remsim.wire import rspro
from remsim.wire.actions import Accepted, AskIdentity, Close, LinkId, Send
from remsim.wire.connection import (
    Event,
    IdentityReceived,
    ProbeAnswered,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.errors import DecodeError, LocalProtocolError
from remsim.wire.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode, SlotPhysStatus

SERVER, BANKD = LinkId(1), LinkId(2)
CLIENT_SLOT, BANK_SLOT = ClientSlot(7, 0), BankSlot(1, 3)
ADDRESS = IpPort(IPv4Address("192.0.2.1"), 9999)
NOWHERE = IpPort(IPv4Address("0.0.0.0"), 0)
DEFAULT_ATR, CARD_ATR = b"\x3b\x00", b"\x3b\x01\x02"
READ = bytes.fromhex("00b0000002")
IDENTITY = ComponentIdentity(ComponentType.REMSIM_CLIENT, "host", "remsim-client", "1")
OWN_SERVER = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "s", "1", abilities=("echo.1",))
OWN_BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "b", "1", abilities=("slots.1",))
OFF = SlotPhysStatus(reset_active=True, vcc_present=False)
ON = SlotPhysStatus(reset_active=False, vcc_present=True)


def classic(identity: ComponentIdentity) -> ComponentIdentity:
    return replace(identity, abilities=None)


class Slot:
    """A coordinator with shorthand for what peers say. Notices are kept apart."""

    def __init__(self, *, client_slot: ClientSlot | None = CLIENT_SLOT, keeps_atr: bool = False) -> None:
        self.coordinator = ClientCoordinator(
            identity=IDENTITY, client_slot=client_slot, default_atr=DEFAULT_ATR, keeps_default_atr=keeps_atr
        )
        self.notices: list[Notice] = []
        self.now = 100.0
        self._requests: dict[LinkId, rspro.Request] = {}

    @property
    def state(self) -> SlotState:
        return self.coordinator.state

    def done(self, actions: list[Action]) -> list[Action]:
        self.notices += [action for action in actions if isinstance(action, Notice)]
        rest: list[Action] = [action for action in actions if not isinstance(action, Notice)]
        for action in rest:
            if isinstance(action, Send) and isinstance(action.message, rspro.ConnectClientReq):
                self._requests[action.link] = action.message
        return rest

    def kinds(self) -> list[NoticeKind]:
        found = [notice.kind for notice in self.notices]
        self.notices.clear()
        return found

    def up(self, link: LinkId) -> list[Action]:
        role = ComponentType.REMSIM_SERVER if link == SERVER else ComponentType.REMSIM_BANKD
        return self.done(self.coordinator.on_link_up(link, role, self.now))

    def event(self, link: LinkId, event: Event) -> list[Action]:
        return self.done(self.coordinator.on_event(link, event, self.now))

    def hear(self, link: LinkId, message: Message, tag: int = 5, request: rspro.Request | None = None) -> list[Action]:
        return self.event(link, Received(message, tag, request))

    def answer(self, link: LinkId, identity: ComponentIdentity, result: ResultCode = ResultCode.OK) -> list[Action]:
        return self.hear(link, rspro.ConnectClientRes(identity, result), request=self._requests[link])

    def lose(self, link: LinkId) -> list[Action]:
        return self.done(self.coordinator.on_link_lost(link, "cut", self.now))

    def tpdu(self, tpdu: bytes) -> list[Action]:
        return self.done(self.coordinator.on_tpdu(tpdu, self.now))

    def lines(self, lines: SlotPhysStatus) -> list[Action]:
        return self.done(self.coordinator.on_lines(lines, self.now))

    # Milestones

    def with_server(self, identity: ComponentIdentity = OWN_SERVER) -> "Slot":
        self.up(SERVER)
        self.answer(SERVER, identity)
        return self

    def with_bankd_given(self, address: IpPort = ADDRESS) -> "Slot":
        self.with_server()
        self.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, address))
        return self

    def with_bankd(self, identity: ComponentIdentity = OWN_BANKD, result: ResultCode = ResultCode.OK) -> "Slot":
        self.with_bankd_given()
        self.up(BANKD)
        self.answer(BANKD, identity, result)
        return self

    def with_card(self, identity: ComponentIdentity = OWN_BANKD) -> "Slot":
        self.with_bankd(identity)
        self.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        self.notices.clear()
        return self

    def command(self, tpdu: bytes = READ) -> rspro.TpduModemToCard:
        (send,) = self.tpdu(tpdu)
        assert isinstance(send, Send)
        assert isinstance(send.message, rspro.TpduModemToCard)
        return send.message

    def card_answers(self, request: rspro.TpduModemToCard, data: bytes) -> list[Action]:
        return self.hear(BANKD, rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, data), request=request)


LEAVE: list[Action] = [RemoveCard(), SelectSim(remote=False), ResetModem()]


class TestServer:
    def test_link_up_introduces_the_slot(self) -> None:
        slot = Slot()
        assert slot.up(SERVER) == [Send(SERVER, rspro.ConnectClientReq(IDENTITY, CLIENT_SLOT))]
        assert slot.state is SlotState.INIT

    def test_acceptance_makes_the_slot_unconfigured(self) -> None:
        slot = Slot()
        slot.up(SERVER)
        assert slot.answer(SERVER, OWN_SERVER) == [Accepted(SERVER)]
        assert slot.state is SlotState.UNCONFIGURED
        assert slot.coordinator.is_server_connected
        assert slot.kinds() == [NoticeKind.SERVER_CONNECTED, NoticeKind.STATE]

    @pytest.mark.parametrize(
        ("identity", "result", "words"),
        [
            (OWN_SERVER, ResultCode.IDENTITY_IN_USE, "identity_in_use"),
            (OWN_BANKD, ResultCode.OK, "bank is a remsim_bankd, not a remsim_server"),
        ],
    )
    def test_refusal_and_wrong_type_close_the_link_for_the_next_attempt(
        self, identity: ComponentIdentity, result: ResultCode, words: str
    ) -> None:
        """known-limits.md, 9."""
        slot = Slot()
        slot.up(SERVER)
        assert slot.answer(SERVER, identity, result) == [Close(SERVER, words)]
        assert slot.state is SlotState.INIT
        assert slot.kinds() == [NoticeKind.SERVER_REFUSED]
        assert slot.lose(SERVER) == []
        assert slot.notices == []

    def test_unasked_connect_answer_is_ignored(self) -> None:
        slot = Slot()
        slot.up(SERVER)
        assert slot.hear(SERVER, rspro.ConnectClientRes(OWN_SERVER, ResultCode.OK)) == []
        assert slot.kinds() == [NoticeKind.IGNORED]

    def test_loss_and_return_leave_the_session_alone(self) -> None:
        slot = Slot().with_card()
        assert slot.lose(SERVER) == []
        assert slot.kinds() == [NoticeKind.SERVER_LOST]
        assert not slot.coordinator.is_server_connected
        slot.with_server()
        assert slot.state is SlotState.OPERATIONAL
        request = slot.command()
        assert slot.card_answers(request, b"\x90\x00") == [Respond(b"\x90\x00")]

    def test_error_indications_are_told(self) -> None:
        slot = Slot().with_card()
        error = rspro.ErrorInd(
            ComponentType.REMSIM_SERVER,
            rspro.ErrorSeverity.FATAL,
            rspro.ErrorCode.UNEXPECTED_DISCONNECT,
            error_string="Bye",
        )
        assert slot.hear(SERVER, error) == []
        assert slot.hear(BANKD, error) == []
        assert [notice.text for notice in slot.notices] == ["fatal unexpected_disconnect bye"] * 2


class TestNumber:
    def test_server_is_asked_for_its_kind_before_a_number_is_asked_for(self) -> None:
        slot = Slot(client_slot=None)
        assert slot.up(SERVER) == [AskIdentity(SERVER)]
        assert slot.event(SERVER, IdentityReceived()) == [Send(SERVER, rspro.ConnectClientReq(IDENTITY))]
        assert slot.event(SERVER, IdentityReceived()) == []

    def test_classic_server_that_closes_on_it_is_told_with_a_hint(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        assert slot.lose(SERVER) == []
        (notice,) = slot.notices
        assert notice.kind is NoticeKind.SERVER_REFUSED
        assert "--client ID:SLOT" in notice.text

    def test_given_number_is_used_from_then_on(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        slot.event(SERVER, IdentityReceived())
        slot.answer(SERVER, OWN_SERVER)
        assert slot.hear(SERVER, rspro.ConfigClientIdReq(ClientSlot(900, 1)), 8) == [
            Send(SERVER, rspro.ConfigClientIdRes(ResultCode.OK), 8)
        ]
        slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS))
        assert slot.up(BANKD) == [Send(BANKD, rspro.ConnectClientReq(IDENTITY, ClientSlot(900, 1)))]

    def test_bankd_given_before_a_number_is_refused(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        slot.event(SERVER, IdentityReceived())
        slot.answer(SERVER, OWN_SERVER)
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS), 8) == [
            Send(SERVER, rspro.ConfigClientBankRes(ResultCode.ILLEGAL_CLIENT_ID), 8)
        ]
        assert slot.state is SlotState.UNCONFIGURED

    def test_same_number_again_changes_nothing(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ConfigClientIdReq(CLIENT_SLOT), 8) == [
            Send(SERVER, rspro.ConfigClientIdRes(ResultCode.OK), 8)
        ]
        assert slot.state is SlotState.OPERATIONAL

    def test_another_number_starts_a_new_session(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ConfigClientIdReq(ClientSlot(8, 0)), 8) == [
            Send(SERVER, rspro.ConfigClientIdRes(ResultCode.OK), 8),
            *LEAVE,
            DialBankd(ADDRESS),
        ]
        assert slot.state is SlotState.WAIT_BANKD


class TestConfiguration:
    def test_before_acceptance_is_ignored(self) -> None:
        slot = Slot()
        slot.up(SERVER)
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS)) == []
        assert slot.state is SlotState.INIT

    def test_bankd_is_dialled(self) -> None:
        slot = Slot().with_server()
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS), 9) == [
            Send(SERVER, rspro.ConfigClientBankRes(ResultCode.OK), 9),
            DialBankd(ADDRESS),
        ]
        assert slot.state is SlotState.WAIT_BANKD
        assert slot.coordinator.bank_slot == BANK_SLOT
        assert "192.0.2.1:9999" in [notice.text for notice in slot.notices]

    def test_ipv6_address_is_written_with_brackets(self) -> None:
        slot = Slot().with_bankd_given(IpPort(IPv6Address("2001:db8::1"), 9999))
        assert "[2001:db8::1]:9999" in [notice.text for notice in slot.notices]

    def test_unchanged_configuration_leaves_a_link_alone(self) -> None:
        """known-limits.md, 34."""
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS), 9) == [
            Send(SERVER, rspro.ConfigClientBankRes(ResultCode.OK), 9)
        ]
        assert slot.state is SlotState.OPERATIONAL
        assert slot.kinds() == [NoticeKind.BANKD_UNCHANGED]

    def test_unchanged_configuration_ends_a_pause_between_attempts(self) -> None:
        slot = Slot().with_card()
        slot.lose(BANKD)
        assert DialBankd(ADDRESS) in slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS))

    def test_other_slot_of_the_same_bankd_is_a_new_session(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BankSlot(1, 4), ADDRESS), 9) == [
            Send(SERVER, rspro.ConfigClientBankRes(ResultCode.OK), 9),
            *LEAVE,
            DialBankd(ADDRESS),
        ]
        # The old link goes only now, and its end concerns nobody.
        assert slot.lose(BANKD) == []
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR)) == []

    def test_port_0_takes_the_bankd_away(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, NOWHERE), 9) == [
            Send(SERVER, rspro.ConfigClientBankRes(ResultCode.OK), 9),
            *LEAVE,
            HangUpBankd(),
        ]
        assert slot.state is SlotState.UNCONFIGURED
        assert slot.up(LinkId(3)) == [Close(LinkId(3), "no bankd is wanted")]

    def test_reset_by_an_own_server_ends_the_session_and_is_answered(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, rspro.ResetStateReq(), 9) == [
            *LEAVE,
            HangUpBankd(),
            Send(SERVER, rspro.ResetStateRes(ResultCode.OK), 9),
        ]
        assert slot.state is SlotState.UNCONFIGURED

    def test_reset_by_a_classic_server_is_ignored_as_ever(self) -> None:
        slot = Slot().with_server(classic(OWN_SERVER))
        assert slot.hear(SERVER, rspro.ResetStateReq()) == []


class TestOrdersThatCannotBeRead:
    @pytest.mark.parametrize(
        ("alternative", "field", "answer"),
        [
            (17, "msg.bankSlot.bankId", rspro.ConfigClientBankRes(ResultCode.ILLEGAL_BANK_ID)),
            (17, "msg.bankSlot.slotNr", rspro.ConfigClientBankRes(ResultCode.ILLEGAL_SLOT_ID)),
            (17, "msg.bankd.ip", rspro.ConfigClientBankRes(ResultCode.ILLEGAL_BANK_ID)),
            (8, "msg.clientSlot.clientId", rspro.ConfigClientIdRes(ResultCode.ILLEGAL_CLIENT_ID)),
            (8, "msg.clientSlot.slotNr", rspro.ConfigClientIdRes(ResultCode.ILLEGAL_SLOT_ID)),
        ],
    )
    def test_are_refused(self, alternative: int, field: str, answer: Message) -> None:
        """known-limits.md, 22."""
        error = DecodeError("out of range", field=field, alternative=alternative)
        error.tag = 6
        slot = Slot().with_card()
        assert slot.event(SERVER, Undecodable(error, b"")) == [Send(SERVER, answer, 6)]
        assert slot.event(BANKD, Undecodable(error, b"")) == []

    def test_other_messages_are_not(self) -> None:
        error = DecodeError("out of range", field="msg.data", alternative=12)
        error.tag = 6
        assert Slot().with_card().event(SERVER, Undecodable(error, b"")) == []


class TestBankd:
    def test_card_is_shown_only_once_its_atr_is_known(self) -> None:
        """known-limits.md, 87."""
        slot = Slot().with_bankd_given()
        slot.up(BANKD)
        assert slot.answer(BANKD, OWN_BANKD) == [Accepted(BANKD)]
        assert slot.state is SlotState.OPERATIONAL
        assert slot.coordinator.next_deadline() is None
        assert slot.hear(BANKD, rspro.SetAtrReq(ClientSlot(9, 9), CARD_ATR), 3) == [
            Send(BANKD, rspro.SetAtrRes(ResultCode.OK), 3),
            SelectSim(remote=True),
            SetAtr(CARD_ATR),
            InsertCard(),
            ResetModem(),
        ]

    def test_later_atr_is_passed_on_without_another_insertion(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, b"\x3b\x02"), 3)[1:] == [SetAtr(b"\x3b\x02")]

    def test_own_atr_is_kept_when_asked_for(self) -> None:
        slot = Slot(keeps_atr=True).with_bankd_given()
        slot.up(BANKD)
        assert InsertCard() in slot.answer(BANKD, classic(OWN_BANKD))
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))[1:] == [SetAtr(DEFAULT_ATR)]

    def test_silent_classic_bankd_gets_the_default_atr_shown(self) -> None:
        slot = Slot().with_bankd(classic(OWN_BANKD))
        due = slot.coordinator.next_deadline()
        assert due == slot.now + ATR_WAIT_S
        assert slot.coordinator.handle_timer(due - 0.1) == []
        assert slot.done(slot.coordinator.handle_timer(due))[1:] == [SetAtr(DEFAULT_ATR), InsertCard(), ResetModem()]
        assert slot.coordinator.next_deadline() is None
        assert slot.coordinator.handle_timer(due) == []

    def test_atr_before_acceptance_is_ignored(self) -> None:
        slot = Slot().with_bankd_given()
        slot.up(BANKD)
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR)) == []
        assert slot.hear(BANKD, rspro.ConnectClientRes(OWN_BANKD, ResultCode.OK)) == []

    @pytest.mark.parametrize("result", [ResultCode.CARD_NOT_PRESENT, ResultCode.UNKNOWN_SLOTMAP])
    def test_own_bankd_without_card_is_waited_for(self, result: ResultCode) -> None:
        slot = Slot().with_bankd_given()
        slot.up(BANKD)
        assert slot.answer(BANKD, OWN_BANKD, result) == [Accepted(BANKD)]
        assert slot.kinds()[-1] is NoticeKind.BANKD_WAITS
        assert slot.tpdu(READ) == [Abort("no card is there")]
        assert InsertCard() in slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        assert slot.state is SlotState.OPERATIONAL

    @pytest.mark.parametrize(
        ("identity", "result", "words"),
        [
            (classic(OWN_BANKD), ResultCode.CARD_NOT_PRESENT, "card_not_present"),
            (OWN_BANKD, ResultCode.IDENTITY_IN_USE, "identity_in_use"),
            (OWN_SERVER, ResultCode.CARD_NOT_PRESENT, "server is a remsim_server, not a remsim_bankd"),
        ],
    )
    def test_other_refusals_close_the_link_for_the_next_attempt(
        self, identity: ComponentIdentity, result: ResultCode, words: str
    ) -> None:
        slot = Slot().with_bankd_given()
        slot.up(BANKD)
        assert slot.answer(BANKD, identity, result) == [Close(BANKD, words)]
        slot.notices.clear()
        assert slot.lose(BANKD) == []
        assert slot.notices == []
        assert slot.state is SlotState.WAIT_BANKD

    def test_loss_shows_the_modem_that_the_card_is_gone(self) -> None:
        slot = Slot().with_card()
        assert slot.lose(BANKD) == LEAVE
        assert slot.state is SlotState.WAIT_BANKD
        assert slot.kinds() == [NoticeKind.BANKD_LOST, NoticeKind.CARD_REMOVED, NoticeKind.STATE]

    def test_loss_before_the_card_was_shown_concerns_no_modem(self) -> None:
        slot = Slot().with_bankd(classic(OWN_BANKD))
        assert slot.lose(BANKD) == []
        assert slot.coordinator.next_deadline() is None

    def test_card_pulled_at_an_own_bankd_is_shown_and_comes_back(self) -> None:
        slot = Slot().with_card()
        slot.command()
        gone = SlotPhysStatus(reset_active=False, card_present=False)
        reason = "the bankd's card is gone"
        assert slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone)) == [Abort(reason), RemoveCard()]
        assert slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone)) == []
        assert slot.state is SlotState.OPERATIONAL
        back = replace(gone, card_present=True)
        assert slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, back)) == []
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))[1:] == [
            SetAtr(CARD_ATR),
            InsertCard(),
            ResetModem(),
        ]

    def test_answer_that_comes_after_the_card_is_gone_is_dropped(self) -> None:
        slot = Slot().with_card()
        request = slot.command()
        gone = SlotPhysStatus(reset_active=False, card_present=False)
        slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone))
        assert slot.card_answers(request, b"\x90\x00") == []

    def test_status_from_a_classic_bankd_is_ignored(self) -> None:
        slot = Slot().with_card(classic(OWN_BANKD))
        gone = SlotPhysStatus(reset_active=False, card_present=False)
        assert slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone)) == []
        assert slot.coordinator.atr == CARD_ATR


class TestCommands:
    def test_command_and_answer_are_relayed(self) -> None:
        slot = Slot().with_card()
        assert slot.tpdu(READ) == [Send(BANKD, rspro.TpduModemToCard(CLIENT_SLOT, BANK_SLOT, rspro.NO_FLAGS, READ))]

    def test_pipelined_commands_are_answered_each(self) -> None:
        slot = Slot().with_card()
        first, second = slot.command(), slot.command()
        assert slot.card_answers(first, b"\x01\x90\x00") == [Respond(b"\x01\x90\x00")]
        assert slot.card_answers(second, b"\x02\x90\x00") == [Respond(b"\x02\x90\x00")]

    @pytest.mark.parametrize("length", [0, 4, 261])
    def test_impossible_length_is_answered_locally(self, length: int) -> None:
        """known-limits.md, 85."""
        slot = Slot().with_card()
        assert slot.tpdu(bytes(length)) == [Respond(b"\x67\x00")]
        assert slot.kinds() == [NoticeKind.TPDU_REFUSED]

    @pytest.mark.parametrize("length", [0, 1, 259])
    def test_impossible_answer_is_not_passed_on(self, length: int) -> None:
        """known-limits.md, 12."""
        slot = Slot().with_card()
        assert slot.card_answers(slot.command(), bytes(length)) == [Abort(f"the card's answer has {length} octets")]

    def test_unasked_answer_is_ignored(self) -> None:
        slot = Slot().with_card()
        message = rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, b"\x90\x00")
        assert slot.hear(BANKD, message) == []

    def test_command_in_progress_fails_with_the_link_and_is_not_repeated(self) -> None:
        slot = Slot().with_card()
        slot.command()
        assert slot.lose(BANKD) == [Abort("link to the bankd lost: cut"), *LEAVE]
        slot.up(BANKD)
        slot.answer(BANKD, OWN_BANKD)
        actions = slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        assert not any(isinstance(a, Send) and isinstance(a.message, rspro.TpduModemToCard) for a in actions)

    def test_command_without_bankd_fails(self) -> None:
        assert Slot().tpdu(READ) == [Abort("no card is there")]

    def test_undecodable_message_may_be_the_answer_so_the_link_is_given_up(self) -> None:
        slot = Slot().with_card()
        garbage = Undecodable(DecodeError("bad"), b"\x00")
        assert slot.event(BANKD, garbage) == []
        slot.command()
        assert slot.event(SERVER, garbage) == []
        assert slot.event(BANKD, garbage) == [Close(BANKD, "undecodable message while a command waits for its answer")]


class TestLines:
    def test_reset_makes_commands_in_progress_void(self) -> None:
        slot = Slot().with_card()
        void = slot.command()
        assert slot.lines(OFF) == [Send(BANKD, rspro.ClientSlotStatusInd(CLIENT_SLOT, BANK_SLOT, OFF))]
        assert slot.lines(ON) == [Send(BANKD, rspro.ClientSlotStatusInd(CLIENT_SLOT, BANK_SLOT, ON))]
        fresh = slot.command()
        assert slot.card_answers(void, b"\x01\x90\x00") == []
        assert slot.card_answers(fresh, b"\x90\x00") == [Respond(b"\x90\x00")]

    def test_void_command_is_not_aborted_when_the_link_goes(self) -> None:
        slot = Slot().with_card()
        slot.command()
        slot.lines(OFF)
        assert slot.lose(BANKD) == LEAVE

    def test_first_reset_at_a_classic_bankd_is_a_full_cycle(self) -> None:
        """known-limits.md, 46; rspro.md, end of 9.4."""
        slot = Slot().with_card(classic(OWN_BANKD))
        idle = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
        assert slot.lines(OFF) == [
            Send(BANKD, rspro.ClientSlotStatusInd(CLIENT_SLOT, BANK_SLOT, status)) for status in (idle, OFF)
        ]
        assert len(slot.lines(OFF)) == 1

    def test_first_status_without_reset_goes_out_alone(self) -> None:
        slot = Slot().with_card(classic(OWN_BANKD))
        assert len(slot.lines(ON)) == 1
        assert len(slot.lines(OFF)) == 1

    def test_lines_without_a_bankd_concern_nobody(self) -> None:
        slot = Slot().with_bankd_given()
        assert slot.lines(OFF) == []
        slot.up(BANKD)
        assert slot.lines(OFF) == []


class TestOddities:
    @pytest.mark.parametrize(
        "event",
        [
            UnsupportedVersion(9, rspro.ResetStateReq()),
            ReceivedUnknown(41, 0),
            Received(rspro.CreateMappingReq(CLIENT_SLOT, BANK_SLOT), 0),
        ],
    )
    @pytest.mark.parametrize("link", [SERVER, BANKD])
    def test_messages_that_do_not_concern_a_client_are_ignored(self, link: LinkId, event: Event) -> None:
        slot = Slot().with_card()
        assert slot.event(link, event) == []
        assert slot.kinds() == [NoticeKind.IGNORED]
        assert slot.state is SlotState.OPERATIONAL

    def test_probe_answers_and_strange_links_lead_to_nothing(self) -> None:
        slot = Slot().with_card()
        assert slot.event(SERVER, ProbeAnswered()) == []
        assert slot.event(LinkId(77), IdentityReceived()) == []
        assert slot.hear(LinkId(77), rspro.ResetStateReq()) == []
        assert slot.lose(LinkId(77)) == []

    def test_pair_that_is_not_listed_is_our_own_mistake(self) -> None:
        slot = Slot()
        with pytest.raises(LocalProtocolError):
            slot.coordinator._step(SlotEvent.BANKD_ACCEPTED)

    def test_every_state_can_be_reached_and_left(self) -> None:
        assert {state for state, _event in SLOT_TRANSITIONS} == set(SlotState)
        assert {event for _state, event in SLOT_TRANSITIONS} == set(SlotEvent)
        assert set(SLOT_TRANSITIONS.values()) == set(SlotState) - {SlotState.INIT}
