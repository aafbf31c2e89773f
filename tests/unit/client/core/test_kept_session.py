# SPDX-License-Identifier: Apache-2.0
"""A client slot whose link to the bankd is cut: what the modem notices, and what goes out over the next link."""

from ipaddress import IPv4Address

import pytest

from remsim.client.core.actions import Abort, Action, DialBankd, HangUpBankd, InsertCard, RemoveCard, Respond
from remsim.client.core.notices import NoticeKind
from remsim.client.core.options import HoldOptions
from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot
from remsim.session.hold import HoldTimes
from remsim.session.token import session_label
from remsim.wire.link.actions import Accepted, AnnounceReturn, Close, LinkId, Send
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ComponentType,
    IpPort,
    ResultCode,
    SessionEnd,
    SlotPhysStatus,
    TpduCardToModem,
)
from tests.doubles.client_slot import (
    ADDRESS,
    BANK_SLOT,
    BANKD,
    CARD_ATR,
    CLIENT_SLOT,
    DEFAULT_ATR,
    IDENTITY,
    LEAVE,
    NOWHERE,
    OFF,
    ON,
    OWN_BANKD,
    READ,
    SERVER,
    Slot,
    classic,
    command,
)

BANK = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1").with_abilities(
    ("echo.1", "slots.1", "resume.1")
)
TOKEN, NEXT_TOKEN = bytes(16), bytes([1] * 16)
AGAIN = LinkId(3)
CONNECT = rspro.ConnectClientReq(IDENTITY, CLIENT_SLOT)
IDLE = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
OK = b"\x90\x00"


def session(token: bytes = TOKEN, *, last_tag: int | None = None, idle_s: int = 60) -> rspro.SessionInd:
    """What the bankd says; with ``last_tag``, of a session that goes on."""
    return rspro.SessionInd(
        is_resumed=last_tag is not None,
        token=token,
        hold_idle_ms=idle_s * 1000,
        hold_busy_ms=30_000,
        last_tag=last_tag or 0,
    )


def resumable(hold: HoldOptions | None = None) -> Slot:
    """A slot in service whose bankd lets sessions outlive their link."""
    slot = Slot(hold=hold or HoldOptions()).with_bankd(BANK)
    slot.hear(BANKD, session())
    slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    slot.notices.clear()
    return slot


def back(slot: Slot, link: LinkId = AGAIN) -> list[Action]:
    """Another link is up; what goes out at once. The bankd has said that it knows us."""
    actions = slot.up(link)
    assert slot.answer(link, BANK) == [Accepted(link)]
    return actions


def answer_to(data: bytes = OK) -> TpduCardToModem:
    return TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, data)


def told_lines(actions: list[Action]) -> list[SlotPhysStatus]:
    return [
        action.message.slot_phys_status
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, rspro.ClientSlotStatusInd)
    ]


def state_of(slot: Slot) -> SlotState:
    """Its present state; asked anew each time."""
    return slot.state


def tag_of(slot: Slot, message: rspro.Message) -> int:
    """The tag under which the engine sends it."""
    return slot.coordinator.tags.next_tag(message)


def test_modem_notices_nothing_of_a_cut() -> None:
    slot = resumable()
    assert slot.lose(BANKD) == []
    assert state_of(slot) is SlotState.HOLDING
    assert slot.coordinator.atr == CARD_ATR
    assert back(slot) == [AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN)), Send(AGAIN, CONNECT)]
    assert slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0)) == []
    assert state_of(slot) is SlotState.OPERATIONAL
    # Each token is good for one return.
    slot.lose(AGAIN)
    assert back(slot, LinkId(4))[0] == AnnounceReturn(LinkId(4), rspro.ResumeInd(NEXT_TOKEN))


def test_session_that_is_not_kept_ends_with_its_link() -> None:
    slot = Slot().with_card(BANK)
    assert slot.lose(BANKD) == LEAVE
    assert state_of(slot) is SlotState.WAIT_BANKD


def test_label_is_that_of_the_first_token_over_all_links() -> None:
    slot = resumable()
    assert slot.coordinator.label == session_label(TOKEN)
    slot.lose(BANKD)
    back(slot)
    slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0))
    assert slot.coordinator.label == session_label(TOKEN)


def test_session_that_is_not_kept_has_an_empty_label_and_that_of_a_classic_bankd_none() -> None:
    assert Slot().with_card(OWN_BANKD).coordinator.label == b""
    assert Slot().with_card(classic(OWN_BANKD)).coordinator.label is None


def test_command_that_arrived_is_answered_over_the_next_link_and_not_sent_again() -> None:
    slot = resumable()
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN, tag))
    assert slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag)) == []
    assert slot.hear(AGAIN, answer_to(), tag=tag) == [Respond(command(1), OK)]
    assert slot.hear(AGAIN, answer_to(), tag=tag) == [], "a second answer is not the modem's"


def test_command_that_did_not_arrive_is_sent_again_under_its_tag() -> None:
    slot = resumable()
    request = slot.command()
    tag = tag_of(slot, request)
    slot.lose(BANKD)
    back(slot)
    assert slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag - 1)) == [Send(AGAIN, request)]
    assert tag_of(slot, request) == tag
    assert slot.hear(AGAIN, answer_to(), tag=tag) == [Respond(command(1), OK)]


def test_command_that_comes_while_the_session_is_held_goes_out_with_the_next_link() -> None:
    slot = resumable()
    slot.lose(BANKD)
    assert slot.tpdu(READ) == []
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN))
    (send,) = slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0))
    assert isinstance(send, Send)
    assert isinstance(send.message, rspro.TpduModemToCard)
    assert send.message.data == READ


def test_one_command_at_a_time_waits_for_its_answer() -> None:
    slot = resumable()
    first = slot.command()
    assert slot.tpdu(READ) == []
    respond, send = slot.hear(BANKD, answer_to(), tag=tag_of(slot, first))
    assert respond == Respond(command(1), OK)
    assert isinstance(send, Send)


def test_reset_while_the_session_is_held_goes_first_and_voids_the_command() -> None:
    slot = resumable()
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    for lines in (OFF, ON):
        assert slot.lines(lines) == []
    slot.tpdu(READ)
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN))
    actions = slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag))
    *_, off, now = told_lines(actions)
    assert (off.vcc_present, now) == (False, ON)
    last = actions[-1]
    assert isinstance(last, Send)
    assert isinstance(last.message, rspro.TpduModemToCard)
    assert slot.hear(AGAIN, answer_to(), tag=tag) == [], "nobody waits for it any more"
    assert slot.hear(AGAIN, answer_to(), tag=tag_of(slot, last.message)) == [Respond(command(2), OK)]


def test_reset_that_the_bankd_has_seen_is_not_shown_again() -> None:
    slot = resumable()
    (off,) = slot.lines(OFF)
    (on,) = slot.lines(ON)
    assert isinstance(off, Send)
    assert isinstance(on, Send)
    # It is the switching on that will be lost.
    tag = tag_of(slot, off.message)
    slot.lose(BANKD)
    back(slot)
    assert told_lines(slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag))) == [ON]


def test_acknowledged_lines_are_not_shown_again() -> None:
    slot = resumable()
    slot.lines(OFF)
    (on,) = slot.lines(ON)
    assert isinstance(on, Send)
    status = rspro.BankSlotStatusInd(
        BANK_SLOT, CLIENT_SLOT, SlotPhysStatus(reset_active=False, vcc_present=True, card_present=True)
    )
    assert slot.hear(BANKD, status, tag=tag_of(slot, on.message)) == []
    slot.lose(BANKD)
    back(slot)
    assert slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0)) == []


def wait(slot: Slot, until: float) -> list[Action]:
    actions: list[Action] = []
    while (due := slot.coordinator.next_deadline()) is not None and due <= until:
        slot.now = due
        actions += slot.done(slot.coordinator.handle_timer(due))
    slot.now = until
    return actions


@pytest.mark.parametrize(
    ("hold", "is_busy", "held_s"),
    [
        (HoldOptions(), False, 60.0),
        (HoldOptions(), True, 30.0),
        (HoldOptions(HoldTimes(20.0, 10.0)), False, 20.0),
        (HoldOptions(HoldTimes(20.0, 10.0)), True, 10.0),
        (HoldOptions(HoldTimes(500.0, 500.0)), False, 60.0),
    ],
)
def test_session_that_nobody_takes_up_ends_like_any_other(hold: HoldOptions, is_busy: bool, held_s: float) -> None:
    slot = resumable(hold)
    if is_busy:
        slot.command()
    began = slot.now
    slot.lose(BANKD)
    assert wait(slot, began + held_s - 0.1) == []
    ended = wait(slot, began + held_s)
    assert [action for action in ended if not isinstance(action, Abort)] == LEAVE
    assert sum(isinstance(action, Abort) for action in ended) == is_busy
    assert state_of(slot) is SlotState.WAIT_BANKD
    # The next link is a first one: no token, and tags from one.
    assert slot.up(AGAIN) == [Send(AGAIN, CONNECT)]
    assert tag_of(slot, CONNECT) == 1


def test_hold_time_is_that_of_the_loss_however_many_links_fail_to_take_the_session_up() -> None:
    slot = resumable()
    began = slot.now
    slot.lose(BANKD)
    for number in range(4, 10):
        slot.now += 9.0
        slot.up(LinkId(number))
        assert slot.lose(LinkId(number)) == []
        assert state_of(slot) is SlotState.HOLDING
    slot.up(AGAIN)
    assert wait(slot, began + 60.0) == [Close(AGAIN, "hold time over"), *LEAVE]
    assert slot.kinds().count(NoticeKind.SESSION_HELD) == 1


def test_emulator_that_cannot_stall_fails_the_command_and_keeps_the_card() -> None:
    slot = resumable(HoldOptions(stall_limit_s=10.0))
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    (abort,) = wait(slot, slot.now + 10.0)
    assert isinstance(abort, Abort)
    assert abort.command == command(1)
    # Idle now. The bankd does not know that, so it is the shorter hold time that counts.
    assert wait(slot, slot.now + 19.0) == []
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN))
    assert slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag)) == []
    assert slot.coordinator.atr == CARD_ATR


@pytest.mark.parametrize("ends_by", ["stall", "reset", "reset that was lost with the link"])
def test_command_under_way_at_the_loss_counts_at_both_ends_however_it_ends(ends_by: str) -> None:
    slot = resumable(HoldOptions(stall_limit_s=10.0) if ends_by == "stall" else HoldOptions())
    began = slot.now
    slot.command()
    if ends_by == "reset that was lost with the link":
        slot.lines(OFF)
        slot.lines(ON)
    slot.lose(BANKD)
    if ends_by == "reset":
        slot.lines(OFF)
        slot.lines(ON)
    assert [type(action) for action in wait(slot, began + 29.9)] == ([Abort] if ends_by == "stall" else [])
    # As the bankd, which may know of the command only.
    assert wait(slot, began + 30.0) == LEAVE


def test_notice_of_a_cut_says_whether_the_bankd_has_answered_over_that_link() -> None:
    slot = resumable()
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    for link, token in ((LinkId(4), bytes([1] * 16)), (LinkId(5), bytes([2] * 16)), (LinkId(6), bytes([3] * 16))):
        back(slot, link)
        slot.hear(link, session(token, last_tag=tag))
        if link == LinkId(5):
            slot.hear(link, answer_to(), tag=tag)
        if link == LinkId(6):
            slot.lines(OFF)
            status = rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, IDLE)
            slot.hear(link, status, tag=tag + 1)
        slot.lose(link)
    held = [notice for notice in slot.notices if notice.kind is NoticeKind.SESSION_HELD]
    assert [notice.has_answered for notice in held] == [False, False, True, True]


def test_bankd_that_does_not_take_the_session_up_costs_the_card() -> None:
    slot = resumable()
    slot.command()
    slot.lose(BANKD)
    slot.up(AGAIN)
    abort, *rest = slot.hear(AGAIN, rspro.SessionEndInd(SessionEnd.UNKNOWN))
    assert isinstance(abort, Abort)
    assert rest == LEAVE
    assert state_of(slot) is SlotState.WAIT_BANKD
    slot.answer(AGAIN, BANK)
    slot.hear(AGAIN, session())
    assert InsertCard() in slot.hear(AGAIN, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert state_of(slot) is SlotState.OPERATIONAL


def test_classic_bankd_in_its_place_costs_the_card() -> None:
    slot = resumable()
    slot.lose(BANKD)
    slot.up(AGAIN)
    assert slot.answer(AGAIN, classic(BANK))[:3] == LEAVE
    assert state_of(slot) is SlotState.OPERATIONAL


def test_refusal_does_not_end_the_hold() -> None:
    slot = resumable()
    slot.lose(BANKD)
    slot.up(AGAIN)
    assert slot.answer(AGAIN, BANK, ResultCode.IDENTITY_IN_USE) == [Close(AGAIN, "identity_in_use")]
    slot.lose(AGAIN)
    assert state_of(slot) is SlotState.HOLDING


def test_bankd_that_stops_takes_the_card_at_once() -> None:
    slot = resumable()
    assert slot.hear(BANKD, rspro.SessionEndInd(SessionEnd.STOPPING)) == LEAVE
    assert slot.lose(BANKD) == []
    assert state_of(slot) is SlotState.WAIT_BANKD


def test_card_that_is_gone_ends_the_session() -> None:
    slot = resumable()
    gone = SlotPhysStatus(reset_active=False, card_present=False)
    assert RemoveCard() in slot.hear(BANKD, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone))
    slot.lose(BANKD)
    assert state_of(slot) is SlotState.WAIT_BANKD


def test_bankd_is_told_when_the_client_leaves() -> None:
    leaving = Send(BANKD, rspro.SessionEndInd(SessionEnd.LEAVING))
    slot = resumable()
    assert slot.done(slot.coordinator.stop()) == [leaving]
    assert slot.lose(BANKD) == LEAVE
    slot = resumable()
    _, *actions = slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, NOWHERE))
    assert actions == [leaving, *LEAVE, HangUpBankd()]
    assert Slot().with_card(BANK).coordinator.stop() == []


def test_server_that_says_the_same_again_does_not_end_a_session_that_is_held() -> None:
    slot = resumable()
    slot.lose(BANKD)
    slot.lose(SERVER)
    slot.with_bankd_given()
    assert state_of(slot) is SlotState.HOLDING
    assert not any(isinstance(action, DialBankd) for action in slot.everything[-3:])


def test_atr_that_comes_again_is_not_shown_again() -> None:
    slot = resumable()
    slot.lose(BANKD)
    back(slot)
    slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0))
    assert slot.hear(AGAIN, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR), tag=8) == [
        Send(AGAIN, rspro.SetAtrRes(ResultCode.OK), 8)
    ]


def test_cut_and_return_are_said_in_a_line_each() -> None:
    slot = resumable()
    slot.command()
    slot.lose(BANKD)
    slot.now += 1.8
    back(slot)
    slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=9))
    found = {notice.kind: notice for notice in slot.notices}
    assert found[NoticeKind.SESSION_HELD].text == "1 command waiting: cut"
    resumed = found[NoticeKind.SESSION_RESUMED]
    assert resumed.text == "held 1.8 s, 1 command in progress, card undisturbed"
    assert resumed.held_s == pytest.approx(1.8)


def test_bankd_elsewhere_with_the_same_number_costs_the_card_once() -> None:
    """The server has accepted another bankd in the place of ours: it cannot have the session."""
    slot = resumable()
    slot.command()
    slot.lose(BANKD)
    elsewhere = IpPort(IPv4Address("192.0.2.77"), 9999)
    accepted, abort, *rest = slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, elsewhere))
    assert isinstance(accepted, Send)
    assert isinstance(abort, Abort)
    assert rest == [*LEAVE, DialBankd(elsewhere)]
    # The token is not shown to a bankd that has not given it.
    assert slot.up(AGAIN) == [Send(AGAIN, CONNECT)]
    slot.answer(AGAIN, BANK)
    slot.hear(AGAIN, session(NEXT_TOKEN))
    assert InsertCard() in slot.hear(AGAIN, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert state_of(slot) is SlotState.OPERATIONAL


def test_another_session_in_place_of_the_one_that_is_held_costs_the_card() -> None:
    """A bankd that says nothing of the old session, and begins one with a token of its own."""
    slot = resumable()
    slot.command()
    slot.lose(BANKD)
    back(slot)
    abort, *rest = slot.hear(AGAIN, session(NEXT_TOKEN))
    assert isinstance(abort, Abort)
    assert rest == LEAVE
    assert InsertCard() in slot.hear(AGAIN, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    slot.lose(AGAIN)
    assert back(slot, LinkId(4))[0] == AnnounceReturn(LinkId(4), rspro.ResumeInd(NEXT_TOKEN))


def test_mapping_that_is_removed_while_held_costs_the_card_at_once() -> None:
    slot = resumable()
    slot.command()
    slot.lose(BANKD)
    _, abort, *rest = slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, NOWHERE))
    assert isinstance(abort, Abort)
    assert rest == [*LEAVE, HangUpBankd()]


def test_mapping_to_another_slot_of_the_same_bankd_costs_the_card_once() -> None:
    slot = resumable()
    _, *actions = slot.hear(SERVER, rspro.ConfigClientBankReq(BankSlot(1, 4), ADDRESS))
    assert actions == [Send(BANKD, rspro.SessionEndInd(SessionEnd.LEAVING)), *LEAVE, DialBankd(ADDRESS)]
    assert slot.up(AGAIN) == [Send(AGAIN, CONNECT)]


def test_power_loss_of_the_modem_while_held_is_one_cold_reset_however_the_lines_moved() -> None:
    slot = resumable()
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    in_reset = SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=True)
    for lines in (in_reset, OFF, in_reset, ON, in_reset, ON):
        assert slot.lines(lines) == []
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN))
    shown = told_lines(slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag)))
    assert [(lines.vcc_present, lines.reset_active) for lines in shown] == [(True, False), (False, True), (True, False)]


def test_warm_reset_while_held_is_shown_as_one() -> None:
    slot = resumable()
    slot.lose(BANKD)
    for lines in (SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=True), ON):
        slot.lines(lines)
    back(slot)
    shown = told_lines(slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=0)))
    assert [(lines.vcc_present, lines.reset_active) for lines in shown] == [(True, False), (True, True), (True, False)]


def test_modem_in_reset_over_two_sessions_is_not_reset_again() -> None:
    """What the bankd was shown before the cut counts for the next session on the same link, too."""
    slot = resumable()
    in_reset = SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=True)
    (shown,) = slot.lines(in_reset)
    assert isinstance(shown, Send)
    tag = tag_of(slot, shown.message)
    slot.lose(BANKD)
    back(slot)
    slot.hear(AGAIN, session(NEXT_TOKEN, last_tag=tag))
    gone = SlotPhysStatus(reset_active=False, card_present=False)
    slot.hear(AGAIN, rspro.BankSlotStatusInd(BANK_SLOT, CLIENT_SLOT, gone))
    slot.hear(AGAIN, session(bytes([2] * 16)))
    slot.hear(AGAIN, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    slot.lose(AGAIN)
    slot.lines(SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=False))
    link = LinkId(4)
    back(slot, link)
    told = told_lines(slot.hear(link, session(NEXT_TOKEN, last_tag=tag)))
    assert [lines.reset_active for lines in told] == [True], "as they are, without another edge"


@pytest.mark.parametrize("stall_limit_s", [None, 10.0])
def test_program_that_ends_while_held_has_nothing_due(stall_limit_s: float | None) -> None:
    slot = resumable(HoldOptions(stall_limit_s=stall_limit_s))
    slot.command()
    slot.lose(BANKD)
    assert slot.coordinator.stop() == []
    assert slot.coordinator.next_deadline() is None


def test_card_with_an_atr_of_its_own_is_not_shown_before_the_lease() -> None:
    """A command that the modem sent before would be unknown to the ledger: lost, or run twice."""
    slot = Slot(keeps_atr=True).with_bankd_given()
    slot.up(BANKD)
    assert slot.answer(BANKD, BANK) == [Accepted(BANKD)]
    assert slot.hear(BANKD, session()) == []
    assert InsertCard() in slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    assert slot.coordinator.atr == DEFAULT_ATR
    tag = tag_of(slot, slot.command())
    slot.lose(BANKD)
    assert back(slot)[0] == AnnounceReturn(AGAIN, rspro.ResumeInd(TOKEN, tag))
