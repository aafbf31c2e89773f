# SPDX-License-Identifier: Apache-2.0
"""Who returns to a session that is held, in odd circumstances: renewed, restarted, elsewhere, without power."""

import pytest

from remsim.bankd.core.states import CardState, HoldState
from remsim.core.identity import Identity, Proof
from remsim.core.ids import ClientSlot
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SessionEnd
from tests.unit.bankd.core.test_holds import (
    OFF,
    OK,
    ON,
    PROOF,
    SELECT,
    answers,
    back,
    bank,
    card_state,
    connect,
    ends,
    held,
    hold_state,
    introduce,
    lines,
    opened,
    over,
    told,
)


def test_client_that_was_restarted_while_its_command_runs_does_not_get_the_old_answer() -> None:
    made = bank()
    link = connect(made)
    made.is_automatic = False
    made.submit(link, SELECT, tag=1)
    made.lose(link)
    link = connect(made)
    assert (card_state(made), opened(made)) == (CardState.BUSY, 1)
    for _ in range(3):
        made.let_cards_act()
    # The command came to its end, then the card was powered off and on.
    assert [what for _slot, what in made.cards.log] == ["open", f"transmit {SELECT.hex()}", "close", "open"]
    assert made.result(link) is ResultCode.OK
    assert answers(made, link) == []
    assert not told(made, link).is_resumed
    # Its tags begin anew, and the ledger with them.
    made.is_automatic = True
    assert made.submit(link, SELECT, tag=1) == OK


def test_certificate_that_was_renewed_counts_from_the_return_on() -> None:
    made = bank()
    token = held(made, proof=PROOF)
    renewed = Proof(Identity.client(1), 5)
    made.lose(back(made, token, proof=renewed))
    made.do(made.coordinator.on_revoked(lambda serial: serial == PROOF.serial, made.now))
    assert hold_state(made) is HoldState.DETACHED
    made.do(made.coordinator.on_revoked(lambda serial: serial == renewed.serial, made.now))
    assert card_state(made) is CardState.OFF
    assert ends(made, back(made, token, proof=renewed)) == [SessionEnd.NOT_TRUSTED]


@pytest.mark.parametrize("is_renewed", [False, True])
def test_address_of_the_client_does_not_count(is_renewed: bool) -> None:
    made = bank()
    link = connect(made, proof=PROOF)
    token = told(made, link).token
    made.lose(link)
    other = made.link(host="203.0.113.77", proof=Proof(PROOF.identity, 9) if is_renewed else PROOF)
    made.say(other, rspro.ResumeInd(token))
    introduce(made, other)
    assert told(made, other).is_resumed


def test_token_does_not_serve_another_client_slot() -> None:
    made = bank()
    link = connect(made, proof=PROOF)
    token = told(made, link).token
    made.lose(link)
    # The certificate covers both slots of this client.
    other = back(made, token, proof=PROOF, client=ClientSlot(1, 1))
    assert ends(made, other) == [SessionEnd.UNKNOWN]
    assert hold_state(made) is HoldState.DETACHED
    assert told(made, back(made, token, proof=PROOF)).is_resumed


def test_client_with_another_certificate_ends_nothing() -> None:
    made = bank()
    token = held(made, proof=PROOF)
    other = connect(made, proof=Proof(Identity.client(2), 7))
    assert made.result(other) is ResultCode.ILLEGAL_CLIENT_ID
    assert hold_state(made) is HoldState.DETACHED
    assert told(made, back(made, token, proof=PROOF)).is_resumed


def test_modem_without_power_while_away_gets_a_cold_reset_and_another_attempt_counts() -> None:
    made = bank()
    link = connect(made)
    made.submit(link, SELECT, tag=5)
    made.lose(link)
    link = back(made, told(made, link).token)
    for status in (ON, OFF, ON):
        lines(made, link, status)
    assert made.cards.resets == 1
    assert answers(made, link) == [], "the answer of before is dropped"
    assert made.submit(link, SELECT, tag=100) == OK
    assert opened(made) == 1
    assert made.coordinator.counts.tpdus == 2


def test_another_bankd_with_the_same_number_does_not_have_the_session() -> None:
    """A copy of a bankd's configuration on a second computer: the client reaches the one, then the other."""
    made, other = bank(), bank(first_token=1000)
    token = held(made)
    link = back(other, token, 5)
    assert ends(other, link) == [SessionEnd.UNKNOWN]
    # It is a client like any other there: a card that was powered for it, and nothing of the command.
    kinds = [type(message) for message in other.sent[link]]
    assert kinds == [rspro.SessionEndInd, rspro.ConnectClientRes, rspro.SessionInd, rspro.SetAtrReq]
    assert not told(other, link).is_resumed
    assert (opened(other), other.coordinator.counts.tpdus) == (1, 0)
    # The first one holds the session for its time, and lets go of the card.
    made.wait(made.now + 60.0)
    assert over(made, token) is SessionEnd.HOLD_OVER
    # The other one's token is as unknown here.
    assert ends(made, back(made, told(other, link).token)) == [SessionEnd.UNKNOWN]
