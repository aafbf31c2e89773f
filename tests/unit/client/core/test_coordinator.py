# SPDX-License-Identifier: Apache-2.0
"""The client slot's decisions: the server, its number, its configuration."""

from ipaddress import IPv6Address

import pytest

from remsim.client.core.actions import (
    DialBankd,
    GiveUpCard,
    HangUpBankd,
    Respond,
)
from remsim.client.core.notices import NoticeKind
from remsim.client.core.server_link import NO_NUMBERS
from remsim.client.core.states import SlotState
from remsim.core.errors import CLOSED_UNHEARD
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.errors import DecodeError
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, Send
from remsim.wire.link.engine import (
    IdentityReceived,
    Undecodable,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import RevocationListInd, TraceReq
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, IpPort, Message, ResultCode
from tests.doubles.client_slot import (
    ADDRESS,
    BANK_SLOT,
    BANKD,
    CARD_ATR,
    CLIENT_SLOT,
    IDENTITY,
    LEAVE,
    NOWHERE,
    OWN_BANKD,
    OWN_SERVER,
    SERVER,
    Slot,
    classic,
    command,
)


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
            (OWN_BANKD, ResultCode.OK, "bank is a bankd, not a server; is that the right port?"),
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
        assert slot.logged() == ["message_ignored"]

    def test_loss_and_return_leave_the_session_alone(self) -> None:
        slot = Slot().with_card()
        assert slot.lose(SERVER) == []
        assert slot.kinds() == [NoticeKind.SERVER_LOST]
        assert not slot.coordinator.is_server_connected
        slot.with_server()
        assert slot.state is SlotState.OPERATIONAL
        request = slot.command()
        assert slot.card_answers(request, b"\x90\x00") == [Respond(command(1), b"\x90\x00")]

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
        assert [notice.text for notice in slot.notices] == ["fatal unexpected_disconnect Bye"] * 2

    def test_server_that_knows_no_bankd_for_us_is_quoted_until_it_gives_one(self) -> None:
        slot = Slot().with_server()
        assert slot.coordinator.server_says == ""
        error = rspro.ErrorInd(
            ComponentType.REMSIM_SERVER,
            rspro.ErrorSeverity.MAJOR,
            rspro.ErrorCode.UNKNOWN_CLIENT_CONNECTED,
            client_slot=slot.coordinator.client_slot,
            error_string="bank 1 has no TLS address",
        )
        slot.hear(SERVER, error)
        assert slot.coordinator.server_says == "the server says: bank 1 has no TLS address"
        slot.with_card()
        assert slot.coordinator.server_says == ""


class TestNumber:
    def test_server_is_asked_for_its_kind_before_a_number_is_asked_for(self) -> None:
        slot = Slot(client_slot=None)
        assert slot.up(SERVER) == [AskIdentity(SERVER, when_heard=True)]
        assert slot.event(SERVER, IdentityReceived()) == [Send(SERVER, rspro.ConnectClientReq(IDENTITY))]
        assert slot.event(SERVER, IdentityReceived()) == []

    def test_classic_server_that_closes_on_it_is_told_with_a_hint(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        assert slot.lose(SERVER) == []
        (notice,) = slot.notices
        assert notice.kind is NoticeKind.SERVER_REFUSED
        assert "--client ID:SLOT" in notice.text

    def test_card_is_given_up_when_the_next_link_is_closed_as_well(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        assert slot.lose(SERVER) == []  # it may be a server of ours that ends
        slot.up(SERVER)
        assert slot.lose(SERVER) == [GiveUpCard()]

    def test_server_that_has_answered_once_is_not_given_up_for_one_link(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        slot.lose(SERVER)
        slot.up(SERVER)
        slot.event(SERVER, IdentityReceived())
        slot.lose(SERVER)
        slot.up(SERVER)
        assert slot.lose(SERVER) == []

    def test_own_server_that_gives_no_numbers_ends_the_wait_at_once(self) -> None:
        slot = Slot(client_slot=None)
        slot.up(SERVER)
        slot.event(SERVER, IdentityReceived())
        give_up, close = slot.answer(SERVER, OWN_SERVER, ResultCode.ILLEGAL_CLIENT_ID)
        assert give_up == GiveUpCard()
        assert isinstance(close, Close)
        assert slot.coordinator.refusal == f"{NO_NUMBERS}: illegal_client_id"

    def test_client_with_a_number_of_its_own_is_not_given_up(self) -> None:
        slot = Slot()
        slot.up(SERVER)
        assert GiveUpCard() not in slot.answer(SERVER, OWN_SERVER, ResultCode.ILLEGAL_CLIENT_ID)

    def test_port_that_says_nothing_is_no_server_without_numbers(self) -> None:
        slot = Slot(client_slot=None)
        for _ in range(3):
            slot.up(SERVER)
            assert slot.coordinator.on_link_lost(SERVER, CLOSED_UNHEARD, slot.now) == []
        assert slot.notices == []

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

    def test_revocation_list_is_stored_once_it_is_whole(self) -> None:
        slot = Slot().with_server()
        assert slot.hear(SERVER, RevocationListInd(4, 0, b"wh")) == []
        assert slot.hear(SERVER, RevocationListInd(4, 2, b"le")) == [StoreRevocations(b"whle")]

    def test_revocation_list_of_a_server_of_another_make_is_ignored(self) -> None:
        slot = Slot().with_server(classic(OWN_SERVER))
        slot.notices.clear()
        assert slot.hear(SERVER, RevocationListInd(2, 0, b"ok")) == []
        assert slot.logged() == ["message_ignored"]


class TestTrace:
    WATCH = TraceReq(30_000, client_slot=CLIENT_SLOT)

    def test_server_that_has_accepted_us_may_watch_the_slot(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, self.WATCH) == []
        tap = slot.coordinator.trace.tap
        assert tap is not None
        assert tap.until == slot.now + 30
        assert slot.logged() == []
        slot.lose(SERVER)
        assert slot.coordinator.trace.tap is None

    def test_order_about_another_slot_is_ignored(self) -> None:
        slot = Slot().with_card()
        assert slot.hear(SERVER, TraceReq(30_000, client_slot=ClientSlot(7, 1))) == []
        assert slot.coordinator.trace.tap is None
        assert slot.logged() == ["message_ignored"]

    def test_server_that_has_not_accepted_us_yet_watches_nothing(self) -> None:
        slot = Slot()
        slot.up(SERVER)
        assert slot.hear(SERVER, self.WATCH) == []
        assert slot.coordinator.trace.tap is None
        assert slot.logged() == ["message_ignored"]


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
