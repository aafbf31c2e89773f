# SPDX-License-Identifier: Apache-2.0
"""How long the modem of a slot waited, what answers ahead saved, and what a lost link cost."""

import pytest

from remsim.ahead.figures import AheadFigures
from remsim.client.core.actions import Action, Respond
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.messages import extensions, rspro
from tests.doubles.client_slot import BANK_SLOT, BANKD, CARD_ATR, CLIENT_SLOT, OWN_BANKD, READ, Slot

SELECT = bytes.fromhex("00a40004022fe2")
AHEAD_BANKD = OWN_BANKD.with_abilities(("slots.1", "ahead.1", "resume.1"))
AGAIN = LinkId(5)


def session_ind(*, is_resumed: bool) -> rspro.SessionInd:
    """The bankd lets the session outlive its link."""
    return rspro.SessionInd(
        is_resumed=is_resumed, token=bytes(16), hold_idle_ms=60_000, hold_busy_ms=30_000, last_tag=0
    )


def _sent(slot: Slot) -> rspro.Message:
    """The command that was sent last."""
    sent = [action.message for action in slot.everything if isinstance(action, Send)]
    return next(message for message in reversed(sent) if isinstance(message, rspro.TpduModemToCard))


def served() -> Slot:
    """A slot whose first command waited 0.3 s, and that has the answer to SELECT."""
    slot = Slot().with_card(AHEAD_BANKD)
    request = slot.command()
    slot.now += 0.3
    slot.card_answers(request, b"\x90\x00")
    slot.hear(BANKD, extensions.AheadInd(5, 1, SELECT, b"\x61\x10"))
    return slot


def test_answer_that_is_there_saves_a_round_trip() -> None:
    slot = served()
    assert any(isinstance(action, Respond) for action in slot.tpdu(SELECT))
    figures = slot.coordinator.latency
    assert (figures.commands, figures.round_trips, figures.hold_s) == (2, 1, 0.0)
    assert figures.waited_s == pytest.approx(0.3)
    assert figures.round_trip_s == pytest.approx(0.3)
    assert figures.card_s is None
    assert figures.ahead == AheadFigures(hits=1, saved_s=figures.round_trip_s or 0.0)


def test_answer_that_is_under_way_saves_the_rest() -> None:
    slot = Slot().with_card(AHEAD_BANKD)
    request = slot.command()
    slot.now += 0.3
    slot.card_answers(request, b"\x90\x00")
    slot.tpdu(SELECT)
    slot.now += 0.1
    slot.hear(BANKD, extensions.AheadInd(5, 1, SELECT, b"\x61\x10"))
    figures = slot.coordinator.latency
    assert figures.waited_s == pytest.approx(0.4)
    assert figures.ahead.saved_s == pytest.approx(0.2)


def test_end_of_the_card_tells_what_was_saved() -> None:
    slot = served()
    slot.tpdu(SELECT)
    slot.log.clear()
    slot.lose(BANKD)
    (line,) = [event for event in slot.log if event.name == "answered_ahead"]
    assert line.fields["hits"] == 1
    assert line.fields["saved_s"] == 0.3


def test_session_without_answers_ahead_ends_without_such_a_line() -> None:
    slot = Slot().with_card(OWN_BANKD)
    slot.log.clear()
    slot.lose(BANKD)
    assert "answered_ahead" not in slot.logged()


def test_wait_for_a_lost_link_is_told_apart_and_is_no_measure_of_distance() -> None:
    slot = Slot().with_bankd(AHEAD_BANKD)
    slot.hear(BANKD, session_ind(is_resumed=False))
    slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    slot.tpdu(READ)
    slot.lose(BANKD)
    slot.now += 7.0
    slot.up(AGAIN)
    slot.answer(AGAIN, AHEAD_BANKD)
    slot.hear(AGAIN, session_ind(is_resumed=True))
    assert slot.coordinator.latency.hold_s == pytest.approx(7.0)
    slot.now += 0.5
    tag = slot.coordinator.tags.next_tag(_sent(slot))
    slot.hear(AGAIN, rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, b"\x90\x00"), tag)
    figures = slot.coordinator.latency
    assert figures.waited_s == pytest.approx(7.5)
    assert (figures.commands, figures.round_trip_s) == (1, None)


def answer(bank_us: int | None) -> rspro.TpduCardToModem:
    """The card's answer, and how long the bankd had the command."""
    return rspro.TpduCardToModem(BANK_SLOT, CLIENT_SLOT, rspro.NO_FLAGS, b"\x90\x00", bank_us)


def measured(actions: list[Action]) -> list[tuple[int | None, bool]]:
    """Of each command that is answered, what the bankd took, and whether the rest is the network's."""
    return [(action.command.bank_us, action.command.is_measure) for action in actions if isinstance(action, Respond)]


@pytest.mark.parametrize("bank_us", [None, 0, 2500])
def test_command_knows_how_long_the_bankd_had_it(bank_us: int | None) -> None:
    slot = Slot().with_card(OWN_BANKD)
    request = slot.command()
    assert measured(slot.hear(BANKD, answer(bank_us), request=request)) == [(bank_us, True)]


def test_answer_ahead_is_no_measure_of_the_network() -> None:
    slot = served()
    assert measured(slot.tpdu(SELECT)) == [(None, False)]
    # Nor is one that was under way.
    slot = Slot().with_card(AHEAD_BANKD)
    slot.card_answers(slot.command(), b"\x90\x00")
    slot.tpdu(SELECT)
    assert measured(slot.hear(BANKD, extensions.AheadInd(5, 1, SELECT, b"\x61\x10"))) == [(None, False)]


def held() -> Slot:
    """A slot with a session that outlives its link."""
    slot = Slot().with_bankd(AHEAD_BANKD)
    slot.hear(BANKD, session_ind(is_resumed=False))
    slot.hear(BANKD, rspro.SetAtrReq(CLIENT_SLOT, CARD_ATR))
    return slot


def back(slot: Slot) -> None:
    """The session goes on over another link."""
    slot.up(AGAIN)
    slot.answer(AGAIN, AHEAD_BANKD)
    slot.hear(AGAIN, session_ind(is_resumed=True))


@pytest.mark.parametrize("comes_before_the_loss", [True, False])
def test_command_that_waited_for_a_link_is_no_measure_of_the_network(*, comes_before_the_loss: bool) -> None:
    slot = held()
    if comes_before_the_loss:
        slot.tpdu(READ)
    slot.lose(BANKD)
    if not comes_before_the_loss:
        slot.tpdu(READ)
    back(slot)
    tag = slot.coordinator.tags.next_tag(_sent(slot))
    assert measured(slot.hear(AGAIN, answer(300), tag)) == [(300, False)]
    slot.tpdu(READ)
    tag = slot.coordinator.tags.next_tag(_sent(slot))
    assert measured(slot.hear(AGAIN, answer(300), tag)) == [(300, True)]


def test_command_that_waited_for_another_is_no_measure_of_the_network() -> None:
    slot = held()
    slot.tpdu(READ)
    slot.tpdu(READ)
    tag = slot.coordinator.tags.next_tag(_sent(slot))
    assert measured(slot.hear(BANKD, answer(1), tag)) == [(1, True)]
    tag = slot.coordinator.tags.next_tag(_sent(slot))
    assert measured(slot.hear(BANKD, answer(1), tag)) == [(1, False)]
