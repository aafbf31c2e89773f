# SPDX-License-Identifier: Apache-2.0
"""The client slot's decisions: the bankd, commands, lines."""

from dataclasses import replace

import pytest

from remsim.card.atr_policy import AtrPolicy
from remsim.card.reset import ResetKind
from remsim.client.core.actions import (
    Abort,
    Action,
    InsertCard,
    RemoveCard,
    ResetModem,
    Respond,
    SelectSim,
    SetAtr,
)
from remsim.client.core.notices import NoticeKind
from remsim.client.core.session import ATR_WAIT_S, LINES_WAIT_S
from remsim.client.core.states import SLOT_TRANSITIONS, SlotEvent, SlotState
from remsim.core.ids import ClientSlot
from remsim.core.state_machine import IllegalTransitionError
from remsim.wire.errors import DecodeError
from remsim.wire.link.actions import Accepted, Close, LinkId, Send
from remsim.wire.link.engine import (
    Event,
    IdentityReceived,
    ProbeAnswered,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.rspro import ComponentIdentity, ResultCode, SlotPhysStatus
from tests.doubles.client_slot import (
    BANK_SLOT,
    BANKD,
    CARD_ATR,
    CLIENT_SLOT,
    DEFAULT_ATR,
    LEAVE,
    OFF,
    ON,
    OWN_BANKD,
    OWN_SERVER,
    READ,
    SERVER,
    Slot,
    classic,
    command,
)

RST = SlotPhysStatus(reset_active=True, vcc_present=True)


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
            SetAtr(CARD_ATR),
            SelectSim(remote=True),
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

    def test_rules_change_the_atr_that_the_modem_sees(self) -> None:
        slot = Slot(atr_policy=AtrPolicy(cap_ta1=0x11)).with_bankd()
        actions = slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, bytes.fromhex("3b109600")[:3]))
        assert SetAtr(bytes.fromhex("3b00")) in actions
        assert slot.coordinator.atr == bytes.fromhex("3b00")

    def test_atr_that_the_rules_cannot_read_is_replaced_and_told(self) -> None:
        slot = Slot(atr_policy=AtrPolicy(is_t0_only=True)).with_bankd()
        assert SetAtr(DEFAULT_ATR) in slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, b"\xff\xff"))
        (event,) = slot.log
        assert (event.level, event.name) == ("warning", "atr_unusable")
        assert str(event.fields["detail"]).startswith("ffff: ")

    def test_silent_classic_bankd_gets_the_default_atr_shown(self) -> None:
        slot = Slot().with_bankd(classic(OWN_BANKD))
        slot.done(slot.coordinator.handle_timer(slot.now + LINES_WAIT_S))
        due = slot.coordinator.next_deadline()
        assert due == slot.now + ATR_WAIT_S
        assert slot.coordinator.handle_timer(due - 0.1) == []
        assert slot.done(slot.coordinator.handle_timer(due)) == [
            SetAtr(DEFAULT_ATR),
            SelectSim(remote=True),
            InsertCard(),
            ResetModem(),
        ]
        assert slot.coordinator.next_deadline() is None
        assert slot.coordinator.handle_timer(due) == []

    @pytest.mark.parametrize("lines", [None, OFF])
    def test_bankd_that_waits_for_the_client_hears_of_its_lines_once(self, lines: SlotPhysStatus | None) -> None:
        """One of another make sends the ATR only when the modem has shown a sign of life."""
        slot = Slot()
        slot.with_bankd_given()
        if lines is not None:
            slot.lines(lines)
        slot.up(BANKD)
        slot.answer(BANKD, classic(OWN_BANKD))
        due = slot.now + LINES_WAIT_S
        assert slot.coordinator.next_deadline() == due
        assert slot.coordinator.handle_timer(due - 0.01) == []
        expected = lines or SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
        (told,) = slot.coordinator.handle_timer(due)
        assert told == Send(BANKD, rspro.ClientSlotStatusInd(CLIENT_SLOT, BANK_SLOT, expected))
        assert slot.coordinator.handle_timer(due + 0.1) == []
        assert SetAtr(CARD_ATR) in slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))

    def test_bankd_without_a_card_hears_nothing_for_a_while(self) -> None:
        """The classic client says nothing before there is an ATR, so strict peers expect nothing."""
        slot = Slot().with_bankd(classic(OWN_BANKD))
        assert slot.coordinator.handle_timer(slot.now + 1.5) == []
        due = slot.coordinator.next_deadline()
        assert due is not None
        assert due < slot.now + ATR_WAIT_S

    def test_bankd_that_sends_the_atr_at_once_hears_of_no_lines(self) -> None:
        slot = Slot().with_card(classic(OWN_BANKD))
        assert slot.coordinator.next_deadline() is None

    def test_bankd_is_not_told_twice_if_the_modem_moves_first(self) -> None:
        slot = Slot().with_bankd(classic(OWN_BANKD))
        assert len(slot.lines(ON)) == 1
        assert slot.coordinator.handle_timer(slot.now + LINES_WAIT_S) == []

    def test_bankd_of_ours_needs_no_sign_of_life(self) -> None:
        assert Slot().with_bankd(OWN_BANKD).coordinator.next_deadline() is None

    @pytest.mark.parametrize(
        ("resets", "expected"),
        [
            (False, [RemoveCard(), SetAtr(CARD_ATR), InsertCard()]),
            (True, [SetAtr(CARD_ATR), ResetModem()]),
        ],
    )
    def test_modem_that_was_shown_the_default_learns_of_the_true_atr(
        self, resets: bool, expected: list[Action]
    ) -> None:
        slot = Slot(resets_for_atr=resets).with_bankd(classic(OWN_BANKD))
        slot.done(slot.coordinator.handle_timer(slot.now + ATR_WAIT_S))
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))[1:] == expected
        # What follows is the card's own doing, a warm reset for instance, which the modem knows of.
        other = CARD_ATR + b"\x00"
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, other))[1:] == [SetAtr(other)]

    def test_true_atr_that_is_the_default_disturbs_nobody(self) -> None:
        slot = Slot().with_bankd(classic(OWN_BANKD))
        slot.done(slot.coordinator.handle_timer(slot.now + ATR_WAIT_S))
        assert slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, DEFAULT_ATR))[1:] == []

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
        assert slot.tpdu(READ) == [Abort(command(1), "no card is there")]
        assert InsertCard() in slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        assert slot.state is SlotState.OPERATIONAL

    @pytest.mark.parametrize(
        ("identity", "result", "words"),
        [
            (classic(OWN_BANKD), ResultCode.CARD_NOT_PRESENT, "card_not_present"),
            (OWN_BANKD, ResultCode.IDENTITY_IN_USE, "identity_in_use"),
            (OWN_SERVER, ResultCode.CARD_NOT_PRESENT, "server is a server, not a bankd; is that the right port?"),
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
        assert slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone)) == [
            Abort(command(1), reason),
            RemoveCard(),
        ]
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
        assert slot.card_answers(first, b"\x01\x90\x00") == [Respond(command(1), b"\x01\x90\x00")]
        assert slot.card_answers(second, b"\x02\x90\x00") == [Respond(command(2), b"\x02\x90\x00")]

    def test_answers_in_another_order_belong_to_their_commands_all_the_same(self) -> None:
        slot = Slot().with_card()
        first, second = slot.command(), slot.command()
        assert slot.card_answers(second, b"\x02\x90\x00") == [Respond(command(2), b"\x02\x90\x00")]
        assert slot.card_answers(first, b"\x01\x90\x00") == [Respond(command(1), b"\x01\x90\x00")]

    def test_commands_in_flight_fail_each_with_the_link(self) -> None:
        slot = Slot().with_card()
        slot.command()
        slot.command()
        reason = "link to the bankd lost: cut"
        assert slot.lose(BANKD) == [Abort(command(1), reason), Abort(command(2), reason), *LEAVE]

    @pytest.mark.parametrize("length", [0, 4, 261])
    def test_impossible_length_is_answered_locally(self, length: int) -> None:
        """known-limits.md, 85."""
        slot = Slot().with_card()
        assert slot.tpdu(bytes(length)) == [Respond(command(1, bytes(length)), b"\x67\x00")]
        assert slot.logged() == ["tpdu_refused"]

    @pytest.mark.parametrize("length", [0, 1, 259])
    def test_impossible_answer_is_not_passed_on(self, length: int) -> None:
        """known-limits.md, 12."""
        slot = Slot().with_card()
        assert slot.card_answers(slot.command(), bytes(length)) == [
            Abort(command(1), f"the card's answer has {length} bytes")
        ]

    def test_unasked_answer_is_ignored(self) -> None:
        slot = Slot().with_card()
        message = rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, b"\x90\x00")
        assert slot.hear(BANKD, message) == []

    def test_command_in_progress_fails_with_the_link_and_is_not_repeated(self) -> None:
        slot = Slot().with_card()
        slot.command()
        assert slot.lose(BANKD) == [Abort(command(1), "link to the bankd lost: cut"), *LEAVE]
        slot.up(BANKD)
        slot.answer(BANKD, OWN_BANKD)
        actions = slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
        assert not any(isinstance(a, Send) and isinstance(a.message, rspro.TpduModemToCard) for a in actions)

    def test_command_without_bankd_fails(self) -> None:
        assert Slot().tpdu(READ) == [Abort(command(1), "no card is there")]

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
        assert slot.card_answers(fresh, b"\x90\x00") == [Respond(command(2), b"\x90\x00")]

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

    @pytest.mark.parametrize(
        ("sequence", "kind"),
        [([OFF], ResetKind.COLD), ([RST], ResetKind.WARM), ([RST, OFF, RST], ResetKind.COLD)],
    )
    def test_reset_is_told_once_it_is_complete(self, sequence: list[SlotPhysStatus], kind: ResetKind) -> None:
        """Hardware tells of each line as it changes."""
        slot = Slot()
        for lines in sequence:
            slot.lines(lines)
        assert slot.notices == []
        slot.lines(ON)
        slot.lines(ON)
        (notice,) = slot.notices
        assert (notice.kind, notice.reset) == (NoticeKind.MODEM_RESET, kind)
        assert notice.event.fields == {"kind": kind.value}


class TestLog:
    def test_lines_bear_the_slots_numbers(self) -> None:
        slot = Slot().with_card()
        slot.lose(BANKD)
        assert {(n.event.client_slot, n.event.bank_slot) for n in slot.notices} == {(CLIENT_SLOT, BANK_SLOT)}

    def test_refusal_that_comes_again_is_a_warning_once(self) -> None:
        slot = Slot().with_bankd_given()
        levels: list[str] = []
        for result in (ResultCode.IDENTITY_IN_USE, ResultCode.IDENTITY_IN_USE, ResultCode.ILLEGAL_BANK_ID):
            slot.up(BANKD)
            slot.answer(BANKD, OWN_BANKD, result)
            assert slot.coordinator.refusal == result.name.lower()
            slot.lose(BANKD)
            levels += [n.event.level for n in slot.notices if n.kind is NoticeKind.BANKD_REFUSED]
            slot.notices.clear()
        assert levels == ["warning", "debug", "warning"]
        slot.up(BANKD)
        slot.answer(BANKD, OWN_BANKD)
        assert slot.coordinator.refusal == ""


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
        assert slot.logged() == ["message_ignored"]
        assert slot.state is SlotState.OPERATIONAL

    def test_probe_answers_and_strange_links_lead_to_nothing(self) -> None:
        slot = Slot().with_card()
        assert slot.event(SERVER, ProbeAnswered()) == []
        assert slot.event(LinkId(77), IdentityReceived()) == []
        assert slot.hear(LinkId(77), rspro.ResetStateReq()) == []
        assert slot.lose(LinkId(77)) == []

    def test_pair_that_is_not_listed_is_our_own_mistake(self) -> None:
        slot = Slot()
        with pytest.raises(IllegalTransitionError):
            slot.coordinator.step(SlotEvent.BANKD_ACCEPTED)

    def test_every_state_can_be_reached_and_left(self) -> None:
        assert {state for state, _event, _to in SLOT_TRANSITIONS} == set(SlotState)
        assert {event for _state, event, _to in SLOT_TRANSITIONS} == set(SlotEvent)
        assert {to for _state, _event, to in SLOT_TRANSITIONS} == set(SlotState) - {SlotState.INIT}


class TestAnswersAhead:
    """A bankd that sends answers before the modem asks."""

    SELECT = bytes.fromhex("00a40004022fe2")
    AHEAD_BANKD = OWN_BANKD.with_abilities(("slots.1", "ahead.1"))

    def test_next_command_is_answered_at_once_if_it_is_the_one(self) -> None:
        slot = Slot().with_card(self.AHEAD_BANKD)
        slot.card_answers(slot.command(), b"\x90\x00")
        assert slot.hear(BANKD, extensions.AheadInd(5, 1, self.SELECT, b"\x61\x10")) == []
        (response,) = [each for each in slot.tpdu(self.SELECT) if isinstance(each, Respond)]
        assert response.response == b"\x61\x10"
        assert slot.coordinator.ahead.hits == 1

    def test_another_command_goes_to_the_card(self) -> None:
        slot = Slot().with_card(self.AHEAD_BANKD)
        slot.card_answers(slot.command(), b"\x90\x00")
        slot.hear(BANKD, extensions.AheadInd(5, 1, self.SELECT, b"\x61\x10"))
        sent = [each.message for each in slot.tpdu(READ) if isinstance(each, Send)]
        assert rspro.TpduModemToCard(CLIENT_SLOT, BANK_SLOT, rspro.NO_FLAGS, READ) in sent
        assert slot.coordinator.ahead.hits == 0

    def test_bankd_that_did_not_name_the_ability_is_not_listened_to(self) -> None:
        slot = Slot().with_card(OWN_BANKD)
        slot.card_answers(slot.command(), b"\x90\x00")
        slot.hear(BANKD, extensions.AheadInd(5, 1, self.SELECT, b"\x61\x10"))
        assert not any(isinstance(each, Respond) for each in slot.tpdu(self.SELECT))
