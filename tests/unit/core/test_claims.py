# SPDX-License-Identifier: Apache-2.0
"""Programs that come back, and two that contend."""

from remsim.core import claims
from remsim.core.claims import MAX_IDENTITIES, QUIET_S, TakeOvers, contest_texts

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def test_third_take_over_in_a_minute_between_two_addresses_is_not_granted_unseen() -> None:
    claims = TakeOvers()
    assert [claims.may("B1", *pair, now) for now, pair in enumerate([(A, B), (B, A), (A, B)])] == [True, True, False]
    assert not claims.may("B1", A, B, 250.0), "it is contested until the other one has given up"
    assert claims.may("B1", A, B, 250.0 + QUIET_S + 1)
    assert claims.may("B2", A, B, 2.0)


def test_program_that_comes_back_now_and_then_is_always_let_in() -> None:
    claims = TakeOvers()
    assert all(claims.may("B1", A, A, 31.0 * turn) for turn in range(20))


def test_move_to_another_address_is_another_matter() -> None:
    claims = TakeOvers()
    assert claims.may("B1", A, B, 0.0)
    assert claims.may("B1", B, A, 1.0)
    assert claims.may("B1", A, C, 2.0)


def test_contest_is_told_once_and_counted() -> None:
    claims = TakeOvers()
    assert not claims.refuse("B1", 0.0), "nothing is known of it"
    for now in range(3):
        claims.may("B1", A, B, float(now))
    assert claims.contested(3.0) == 0
    assert [claims.refuse("B1", 3.0), claims.refuse("B1", 4.0)] == [True, False]
    assert claims.contested(4.0) == 1
    assert claims.contested(5.0 + QUIET_S) == 0
    assert claims.refused == 3


def test_as_many_identities_are_remembered_as_there_is_room_for() -> None:
    claims = TakeOvers()
    for now in range(3):
        claims.may("first", A, B, float(now))
    for number in range(MAX_IDENTITIES):
        claims.may(number, A, B, 3.0)
    assert claims.may("first", A, B, 3.0)


def test_words_fit_into_their_message() -> None:
    for text in contest_texts("client/1023/1023", f"[{'2001:db8:' + 'ffff:' * 5 + 'ffff'}]:65535", "192.0.2.1:65535"):
        assert len(text) <= 255
        assert claims.CONTEST_HINT in text
