# SPDX-License-Identifier: Apache-2.0
"""Sessions that outlive their link, at the bankd: who may return, to what, and what ends them."""

from itertools import count

import pytest

from remsim.bankd.core.actions import CardAttached, FaultKind
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.session import CardSession
from remsim.bankd.core.states import CardState, HoldState
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.session.hold import HoldTimes
from remsim.wire.link.abilities import REGISTRY
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import CertifiedInd
from remsim.wire.messages.rspro import ResultCode, SessionEnd, SlotPhysStatus
from tests.doubles.bank import CLIENT, Bank

C10, B10 = ClientSlot(1, 0), BankSlot(1, 0)
SELECT, READ = bytes.fromhex("00a40004023f00"), bytes.fromhex("00b0000001")
OK = b"\x9f\x17"
PROOF = Proof(Identity.client(1), 4)
IDENTITY = CLIENT.with_abilities(REGISTRY)
OFF, ON = SlotPhysStatus(reset_active=True, vcc_present=False), SlotPhysStatus(reset_active=False, vcc_present=True)


def bank(*, needs_proof: bool = False, shared: str = "", first_token: int = 1) -> Bank:
    numbers = count(first_token)
    policy = HoldPolicy(
        HoldTimes(60.0, 30.0),
        needs_proof=needs_proof,
        random=lambda size: next(numbers).to_bytes(size),
        is_shared=lambda reader: reader == shared,
    )
    made = Bank(hold=policy)
    made.map(made.server())
    return made


def introduce(made: Bank, link: int, client: ClientSlot = C10) -> None:
    made.say(link, rspro.ConnectClientReq(IDENTITY, client))


def connect(made: Bank, *, proof: Proof | None = None, client: ClientSlot = C10) -> int:
    link = made.link(proof=proof)
    introduce(made, link, client)
    return link


def told(made: Bank, link: int) -> rspro.SessionInd:
    """What the client was told of its session, last."""
    return [message for message in made.sent[link] if isinstance(message, rspro.SessionInd)][-1]


def back(
    made: Bank, token: bytes, waits_for: int | None = None, *, proof: Proof | None = None, client: ClientSlot = C10
) -> int:
    """A client returns over another link."""
    link = made.link(host="198.51.100.7", proof=proof)
    made.say(link, rspro.ResumeInd(token, waits_for))
    introduce(made, link, client)
    return link


def session(made: Bank) -> CardSession:
    found = made.coordinator.cards.positions[0].session
    assert found is not None
    return found


def hold_state(made: Bank) -> HoldState:
    return session(made).state


def card_state(made: Bank) -> CardState:
    return made.coordinator.cards.positions[0].state


def ends(made: Bank, link: int) -> list[SessionEnd]:
    return [message.cause for message in made.sent[link] if isinstance(message, rspro.SessionEndInd)]


def answers(made: Bank, link: int) -> list[tuple[int | None, bytes]]:
    pairs = zip(made.reply_tags[link], made.sent[link], strict=True)
    return [(tag, message.data) for tag, message in pairs if isinstance(message, rspro.TpduCardToModem)]


def lines(made: Bank, link: int, status: SlotPhysStatus) -> int:
    return made.say(link, rspro.ClientSlotStatusInd(C10, B10, status))


def opened(made: Bank) -> int:
    """How often the card was powered."""
    return made.cards.log.count((0, "open"))


# Offer


def test_client_that_can_return_gets_a_token_ahead_of_the_atr() -> None:
    made = bank()
    link = connect(made)
    kinds = [type(message) for message in made.sent[link]]
    assert kinds == [rspro.ConnectClientRes, rspro.SessionInd, rspro.SetAtrReq]
    offer = told(made, link)
    assert (offer.is_resumed, offer.hold_idle_ms, offer.hold_busy_ms, offer.last_tag) == (False, 60_000, 30_000, 0)
    assert hold_state(made) is HoldState.RESUMABLE


@pytest.mark.parametrize("is_own", [True, False])
def test_other_clients_see_nothing_of_it(is_own: bool) -> None:
    made = bank()
    link = made.connect(is_own=is_own)
    assert [type(message) for message in made.sent[link]] == [rspro.ConnectClientRes, rspro.SetAtrReq]
    made.lose(link)
    assert card_state(made) is CardState.OFF


def test_client_without_certificate_gets_none_where_one_is_needed() -> None:
    made = bank(needs_proof=True)
    link = connect(made)
    assert not any(isinstance(message, rspro.SessionInd) for message in made.sent[link])
    made.lose(link)
    link = connect(made, proof=PROOF)
    assert not told(made, link).is_resumed


def test_session_on_a_shared_card_ends_with_its_link() -> None:
    made = bank(shared="reader")
    link = connect(made)
    assert not any(isinstance(message, rspro.SessionInd) for message in made.sent[link])


# Return


def test_card_is_undisturbed_by_a_cut() -> None:
    made = bank()
    link = connect(made)
    token = told(made, link).token
    made.lose(link)
    assert hold_state(made) is HoldState.DETACHED
    assert card_state(made) is CardState.READY
    made.now += 1.8
    link = back(made, token)
    assert made.result(link) is ResultCode.OK
    resumed = told(made, link)
    assert resumed.is_resumed
    assert resumed.token != token
    assert made.submit(link, SELECT, tag=9) == OK
    assert opened(made) == 1
    line = next(notice for notice in made.cards.notices if notice.name == "session_resumed")
    assert line.fields["detail"] == "held 1.8 s, no command in progress, card undisturbed"


def test_answer_that_was_lost_is_sent_again_and_the_card_does_nothing() -> None:
    made = bank()
    link = connect(made)
    assert made.submit(link, SELECT, tag=5) == OK
    made.lose(link)
    link = back(made, told(made, link).token, 5)
    assert answers(made, link) == [(5, OK)]
    assert made.cards.log.count((0, f"transmit {SELECT.hex()}")) == 1
    assert made.coordinator.cards.holds.counts.suppressed == 1


def test_command_goes_on_without_link_and_is_answered_over_the_next() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    assert card_state(made) is CardState.BUSY
    other = back(made, told(made, link).token, 5)
    assert answers(made, other) == []
    made.let_cards_act()
    assert answers(made, other) == [(5, OK)]
    assert answers(made, link) == []


def test_answer_that_comes_while_there_is_no_link_is_kept() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    made.let_cards_act()
    assert answers(made, back(made, told(made, link).token, 5)) == [(5, OK)]


def test_command_that_never_came_is_taken_when_it_comes() -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    link = back(made, told(made, link).token, 6)
    assert (told(made, link).last_tag, answers(made, link)) == (5, [])
    assert made.submit(link, READ, tag=6) is not None


def test_command_that_comes_twice_is_run_once() -> None:
    made = bank()
    link = connect(made)
    assert made.submit(link, SELECT, tag=5) == made.submit(link, SELECT, tag=5) == OK
    assert made.coordinator.counts.tpdus == 1


@pytest.mark.parametrize(("tag", "tpdu"), [(4, SELECT), (5, READ)])
def test_command_out_of_order_ends_the_session(tag: int, tpdu: bytes) -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=5)
    assert made.submit(link, tpdu, tag=tag) is None
    assert ends(made, link) == [SessionEnd.REFUSED]
    assert card_state(made) is CardState.OFF


def test_reset_while_away_voids_what_waits_and_is_carried_out_first() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.submit(link, READ, tag=6)
    made.lose(link)
    link = back(made, told(made, link).token)
    for status in (ON, OFF, ON):
        lines(made, link, status)
    made.let_cards_act()
    made.let_cards_act()
    assert answers(made, link) == []
    # The one in progress was run, the one that waited was not; then the card was reset.
    assert [what for _slot, what in made.cards.log if what != "open"] == [f"transmit {SELECT.hex()}", "cold"]


def test_each_change_of_lines_is_answered_with_its_tag() -> None:
    made = bank()
    link = connect(made)
    tag = lines(made, link, OFF)
    assert made.reply_tags[link][-1] == tag
    assert isinstance(made.sent[link][-1], rspro.BankSlotStatusInd)
    assert made.cards.resets == 1


def test_atr_that_the_client_has_not_confirmed_is_sent_again() -> None:
    made = bank()
    link = connect(made)
    made.lose(link)
    link = back(made, told(made, link).token)
    assert isinstance(made.sent[link][-1], rspro.SetAtrReq)
    made.say(link, rspro.SetAtrRes(ResultCode.OK))
    made.lose(link)
    link = back(made, told(made, link).token)
    assert not any(isinstance(message, rspro.SetAtrReq) for message in made.sent[link])


def test_link_recognises_commands_again_after_the_return() -> None:
    made = bank()
    link = connect(made)
    made.lose(link)
    link = back(made, told(made, link).token)
    assert [action.link for action in made.attached if isinstance(action, CardAttached)][-1] == link


# Who may return


def test_holder_takes_a_link_over_that_is_still_thought_to_be_alive() -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=5)
    other = back(made, told(made, link).token, 5)
    assert made.result(other) is ResultCode.OK
    assert made.closed[link] == "its client has returned over another link"
    assert answers(made, other) == [(5, OK)]
    assert ends(made, link) == []
    assert made.probed == []
    assert opened(made) == 1
    made.lose(link)
    assert hold_state(made) is HoldState.RESUMABLE


def test_another_client_without_the_token_is_asked_to_wait_and_refused() -> None:
    made = bank()
    link = connect(made)
    other = connect(made)
    assert made.probed == [link]
    made.answer_probe(link)
    assert made.result(other) is ResultCode.IDENTITY_IN_USE
    assert made.submit(link, SELECT, tag=5) == OK


@pytest.mark.parametrize(
    ("proof", "is_known"),
    [(PROOF, True), (Proof(Identity.client(1), 5), True), (Proof(Identity.client(1, 0), 6), False)],
)
def test_token_counts_with_the_identity_in_the_certificate(proof: Proof, is_known: bool) -> None:
    made = bank()
    link = connect(made, proof=PROOF)
    made.lose(link)
    other = back(made, told(made, link).token, proof=proof)
    assert (ends(made, other) == []) is is_known


def test_token_of_another_is_worth_nothing() -> None:
    made = bank()
    made.lose(connect(made))
    other = back(made, bytes(16))
    assert ends(made, other) == [SessionEnd.UNKNOWN]
    # The same identity without the token: the client was restarted, and gets a card that was powered anew.
    assert opened(made) == 2
    assert not told(made, other).is_resumed


def test_client_that_was_restarted_ends_its_old_session() -> None:
    made = bank()
    link = connect(made)
    token = told(made, link).token
    made.lose(link)
    link = connect(made)
    assert made.result(link) is ResultCode.OK
    assert opened(made) == 2
    made.lose(link)
    assert ends(made, back(made, token)) == [SessionEnd.REPLACED]


def test_old_token_is_good_until_the_client_shows_that_it_has_the_new_one() -> None:
    made = bank()
    link = connect(made)
    first = told(made, link).token
    made.lose(link)
    made.lose(back(made, first))
    link = back(made, first)
    assert told(made, link).is_resumed
    made.submit(link, SELECT, tag=9)
    made.lose(link)
    assert ends(made, back(made, first)) == [SessionEnd.UNKNOWN]


def test_return_that_is_announced_too_late_ends_the_link() -> None:
    made = bank()
    link = connect(made)
    made.say(link, rspro.ResumeInd(bytes(16)))
    assert link in made.closed


def test_client_that_waits_for_a_command_of_old_is_refused() -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=5)
    made.submit(link, READ, tag=6)
    made.lose(link)
    link = back(made, told(made, link).token, 5)
    assert ends(made, link) == [SessionEnd.REFUSED]
    assert card_state(made) is CardState.OFF


def test_another_that_waits_for_the_old_link_is_judged_by_the_new_one() -> None:
    made = bank()
    link = connect(made)
    waiting = connect(made)
    other = back(made, told(made, link).token)
    assert made.probed == [link, other]
    made.answer_probe(other)
    assert made.result(waiting) is ResultCode.IDENTITY_IN_USE
    assert hold_state(made) is HoldState.RESUMABLE


def test_return_without_the_ability_is_a_connect_request_like_any_other() -> None:
    made = bank()
    link = connect(made)
    made.lose(link)
    other = made.link()
    made.say(other, rspro.ResumeInd(told(made, link).token))
    made.introduce(other, is_own=True)
    assert made.result(other) is ResultCode.OK
    assert opened(made) == 2


def test_lines_out_of_order_end_the_session() -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=1000)
    lines(made, link, OFF)
    assert ends(made, link) == [SessionEnd.REFUSED]
    assert made.cards.resets == 0


# The end of a session that is held


def over(made: Bank, token: bytes) -> SessionEnd:
    """The session is over, its card powered off; what its client is told when it comes back."""
    assert card_state(made) in (CardState.OFF, CardState.WAITING)
    (cause,) = ends(made, back(made, token))
    return cause


def held(made: Bank, *, proof: Proof | None = None) -> bytes:
    link = connect(made, proof=proof)
    made.lose(link)
    return told(made, link).token


def test_hold_time_ends() -> None:
    made = bank()
    token = held(made)
    began = made.now
    made.wait(began + 59.9)
    assert hold_state(made) is HoldState.DETACHED
    made.wait(began + 60.0)
    assert over(made, token) is SessionEnd.HOLD_OVER
    assert made.coordinator.cards.holds.counts.ended[SessionEnd.HOLD_OVER] == 1


def test_command_in_progress_shortens_the_hold_time_and_is_not_cut_off() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    made.wait(made.now + 30.0)
    assert card_state(made) is CardState.BUSY
    assert made.coordinator.cards.positions[0].session is None
    made.let_cards_act()
    made.let_cards_act()
    assert card_state(made) is CardState.OFF


def test_card_that_is_pulled_ends_it() -> None:
    made = bank()
    token = held(made)
    made.presence(0, is_present=False)
    assert over(made, token) is SessionEnd.CARD_GONE


def test_card_that_is_exchanged_ends_it_and_the_next_one_is_another_session() -> None:
    made = bank()
    token = held(made)
    made.presence(0, is_present=False)
    made.presence(0, is_present=True)
    link = back(made, token)
    kinds = [type(message) for message in made.sent[link]]
    assert kinds == [rspro.SessionEndInd, rspro.ConnectClientRes, rspro.SessionInd, rspro.SetAtrReq]
    assert ends(made, link) == [SessionEnd.CARD_GONE]
    assert not told(made, link).is_resumed
    assert opened(made) == 2


def test_reader_that_is_unplugged_ends_it() -> None:
    made = bank()
    token = held(made)
    made.presence(0, is_present=False, reader="", cause="reader gone")
    assert over(made, token) is SessionEnd.CARD_GONE


def test_card_that_fails_ends_it() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    made.fail(FaultKind.TRANSMISSION)
    made.is_automatic = True
    made.let_cards_act()
    assert over(made, told(made, link).token) is SessionEnd.CARD_GONE


def test_mapping_that_is_removed_ends_it() -> None:
    made = bank()
    token = held(made)
    made.say(1, rspro.RemoveMappingReq(C10, B10))
    assert over(made, token) is SessionEnd.UNMAPPED


def test_mapping_to_another_slot_ends_it() -> None:
    made = bank()
    token = held(made)
    made.map(1, "C1:0", "B1:1")
    assert over(made, token) is SessionEnd.UNMAPPED


def test_revoked_certificate_ends_it() -> None:
    made = bank()
    token = held(made, proof=PROOF)
    made.do(made.coordinator.on_revoked(lambda serial: serial == 3, made.now))
    assert hold_state(made) is HoldState.DETACHED
    made.do(made.coordinator.on_revoked(lambda serial: serial == PROOF.serial, made.now))
    assert card_state(made) is CardState.OFF
    assert ends(made, back(made, token, proof=PROOF)) == [SessionEnd.NOT_TRUSTED]


def test_revoked_certificate_of_a_live_link_keeps_its_session_from_being_held() -> None:
    made = bank()
    link = connect(made, proof=PROOF)
    made.do(made.coordinator.on_revoked(lambda serial: serial == PROOF.serial, made.now))
    assert ends(made, link) == [SessionEnd.NOT_TRUSTED]
    made.lose(link)
    assert card_state(made) is CardState.OFF


def test_client_that_is_known_to_have_a_certificate_by_now_does_not_return_without() -> None:
    made = bank()
    token = held(made)
    made.say(1, CertifiedInd(is_first=True, is_last=True, clients=("client/1",)))
    assert made.coordinator.cards.holds.counts.ended[SessionEnd.NOT_TRUSTED] == 1
    other = back(made, token)
    assert made.result(other) is ResultCode.ILLEGAL_CLIENT_ID


def test_client_without_a_session_may_leave_and_confirm_what_it_likes() -> None:
    made = bank()
    link = connect(made, client=ClientSlot(2, 0))
    made.say(link, rspro.SessionEndInd(SessionEnd.LEAVING))
    made.say(link, rspro.SetAtrRes(ResultCode.OK))
    assert link not in made.closed


def test_bank_that_stops_tells_its_clients_and_ends_what_is_held() -> None:
    made = bank()
    link = connect(made)
    made.do(made.coordinator.stop(made.now))
    assert ends(made, link) == [SessionEnd.STOPPING]
    made = bank()
    held(made)
    made.do(made.coordinator.stop(made.now))
    assert made.coordinator.is_at_rest
    assert made.coordinator.cards.holds.counts.ended[SessionEnd.STOPPING] == 1


def test_bank_that_stops_finishes_the_command_of_a_session_that_is_held() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    made.do(made.coordinator.stop(made.now))
    assert not made.coordinator.is_at_rest
    made.let_cards_act()
    made.let_cards_act()
    assert made.coordinator.is_at_rest


def test_client_that_leaves_is_not_waited_for() -> None:
    made = bank()
    link = connect(made)
    made.say(link, rspro.SessionEndInd(SessionEnd.LEAVING))
    made.lose(link)
    assert card_state(made) is CardState.OFF


def test_mapping_of_a_live_session_that_is_removed_is_told() -> None:
    made = bank()
    link = connect(made)
    made.say(1, rspro.RemoveMappingReq(C10, B10))
    assert ends(made, link) == [SessionEnd.UNMAPPED]
    assert link in made.closed


def test_server_that_goes_does_not_matter() -> None:
    made = bank()
    token = held(made)
    made.lose(1)
    assert told(made, back(made, token)).is_resumed


def test_session_that_was_held_is_held_again() -> None:
    made = bank()
    token = held(made)
    for _ in range(5):
        link = back(made, token)
        made.submit(link, SELECT, tag=made.say(link, rspro.SetAtrRes(ResultCode.OK)))
        token = told(made, link).token
        made.lose(link)
    counts = made.coordinator.cards.holds.counts
    assert (counts.cuts, counts.resumed, counts.taken_over) == (6, 5, 0)
    assert opened(made) == 1


def test_card_that_is_gone_and_back_begins_another_session() -> None:
    made = bank()
    link = connect(made)
    first = told(made, link).token
    made.presence(0, is_present=False)
    assert hold_state(made) is HoldState.ATTACHED
    made.presence(0, is_present=True)
    assert told(made, link).token != first
    assert hold_state(made) is HoldState.RESUMABLE
