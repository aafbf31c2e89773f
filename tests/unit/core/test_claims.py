# SPDX-License-Identifier: Apache-2.0
"""Programs that come back, programs that challenge, and two with one certificate."""

import pytest

from remsim.core import claims
from remsim.core.claims import (
    MAX_CHALLENGERS,
    MAX_IDENTITIES,
    QUIET_S,
    ClaimRefusal,
    ClaimVerdict,
    IdentityClaims,
    Refused,
    Succession,
    TakeOvers,
    contest_texts,
)
from remsim.core.identity import Identity, Proof

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def test_third_take_over_in_a_minute_between_two_addresses_is_not_granted_unseen() -> None:
    takeovers = TakeOvers()
    assert [takeovers.may("B1", *pair, now) for now, pair in enumerate([(A, B), (B, A), (A, B)])] == [True, True, False]
    assert not takeovers.may("B1", A, B, 250.0), "it is contested until the other one has given up"
    assert takeovers.may("B1", A, B, 250.0 + QUIET_S + 1)
    assert takeovers.may("B2", A, B, 2.0)


def test_program_that_comes_back_now_and_then_is_always_let_in() -> None:
    takeovers = TakeOvers()
    assert all(takeovers.may("B1", A, A, 31.0 * turn) for turn in range(20))


def test_move_to_another_address_is_another_matter() -> None:
    takeovers = TakeOvers()
    assert takeovers.may("B1", A, B, 0.0)
    assert takeovers.may("B1", B, A, 1.0)
    assert takeovers.may("B1", A, C, 2.0)


def test_contest_is_told_once_and_counted() -> None:
    takeovers = TakeOvers()
    assert not takeovers.refuse("B1", 0.0), "nothing is known of it"
    for now in range(3):
        takeovers.may("B1", A, B, float(now))
    assert [takeovers.refuse("B1", 3.0), takeovers.refuse("B1", 4.0)] == [True, False]
    assert takeovers.refused == 3


def test_as_many_identities_are_remembered_as_there_is_room_for() -> None:
    takeovers = TakeOvers()
    for now in range(3):
        takeovers.may("first", A, B, float(now))
    for number in range(MAX_IDENTITIES):
        takeovers.may(number, A, B, 3.0)
    assert takeovers.may("first", A, B, 3.0)


def test_words_fit_into_their_message() -> None:
    for text in contest_texts("client/1023/1023", f"[{'2001:db8:' + 'ffff:' * 5 + 'ffff'}]:65535", "192.0.2.1:65535"):
        assert len(text) <= 255
        assert claims.CONTEST_HINT in text


#: The certificate of one bank, another one of the same bank, and none.
CERTIFICATE, RENEWED, NONE = Proof(Identity.bank(1), 1), Proof(Identity.bank(1), 2), None


def held_by(holder: str, proof: Proof | None = NONE, host: str = A) -> IdentityClaims[str, str]:
    """Claims to one identity, which ``holder`` has."""
    held: IdentityClaims[str, str] = IdentityClaims()
    assert held.claim("B1", holder, proof, host, 0.0) is ClaimVerdict.HOLDS
    return held


def test_first_claimant_holds_the_identity_until_it_is_lost() -> None:
    held = held_by("old")
    assert held.holder("B1") == "old"
    assert held.claim("B2", "other", NONE, A, 0.0) is ClaimVerdict.HOLDS
    assert held.on_lost("old", 1.0) is None
    assert held.holder("B1") is None
    assert held.holder("B2") == "other"
    assert held.claim("B1", "new", NONE, B, 2.0) is ClaimVerdict.HOLDS


@pytest.mark.parametrize("old", [NONE, CERTIFICATE], ids=["no certificate", "the same"])
def test_certificate_takes_over_at_once_from_none_and_from_itself(old: Proof | None) -> None:
    held = held_by("old", old)
    assert held.claim("B1", "new", CERTIFICATE, B, 1.0) is ClaimVerdict.TAKES_OVER
    assert held.on_alive("old", 1.0) == [], "it is being closed; what it says counts no more"
    assert held.is_waiting("new")
    assert held.on_lost("old", 2.0) == Succession("new", ())
    assert held.holder("B1") == "new"
    assert not held.is_waiting("new")


@pytest.mark.parametrize(
    ("old", "new"), [(NONE, NONE), (CERTIFICATE, NONE), (CERTIFICATE, RENEWED)], ids=["none", "no proof", "another"]
)
def test_any_other_challenger_waits_until_the_holder_has_answered(old: Proof | None, new: Proof | None) -> None:
    held = held_by("old", old)
    assert held.claim("B1", "first", new, B, 1.0) is ClaimVerdict.PROBE
    assert held.claim("B1", "second", new, C, 1.0) is ClaimVerdict.WAITS
    assert held.challengers("old") == ("first", "second")
    assert held.on_alive("old", 2.0) == [Refused("first", ClaimRefusal.IN_USE), Refused("second", ClaimRefusal.IN_USE)]
    assert held.on_alive("old", 2.0) == []
    assert held.holder("B1") == "old"
    assert held.claim("B1", "first", new, B, 3.0) is ClaimVerdict.PROBE, "it is asked anew"


def test_newest_challenger_succeeds_and_the_others_are_refused() -> None:
    held = held_by("old")
    for name in ("first", "second", "third"):
        held.claim("B1", name, NONE, B, 1.0)
    refused = tuple(Refused(name, ClaimRefusal.IN_USE) for name in ("first", "second"))
    assert held.on_lost("old", 2.0) == Succession("third", refused)
    assert held.challengers("third") == ()
    assert held.claim("B1", "first", NONE, B, 3.0) is ClaimVerdict.PROBE


def test_challenger_that_leaves_or_withdraws_is_forgotten() -> None:
    held = held_by("old")
    for name in ("first", "second", "third"):
        held.claim("B1", name, NONE, B, 1.0)
    held.withdraw("third")
    assert held.on_lost("second", 1.0) is None
    assert not held.is_waiting("second")
    assert held.on_lost("old", 2.0) == Succession("first", ())


def test_only_so_many_may_wait_and_the_same_certificate_comes_before_all_of_them() -> None:
    held = held_by("old", CERTIFICATE)
    for number in range(MAX_CHALLENGERS):
        held.claim("B1", f"waits {number}", NONE, B, 1.0)
    assert held.claim("B1", "more", NONE, B, 1.0) is ClaimVerdict.TOO_MANY
    assert not held.is_waiting("more")
    assert held.claim("B1", "back", CERTIFICATE, A, 1.0) is ClaimVerdict.TAKES_OVER
    assert held.claim("B1", "back again", CERTIFICATE, A, 1.0) is ClaimVerdict.TOO_MANY, (
        "the holder is being closed already"
    )
    succession = held.on_lost("old", 2.0)
    assert succession is not None
    assert succession.winner == "back"
    assert len(succession.refused) == MAX_CHALLENGERS


def test_one_that_comes_while_the_holder_is_closed_does_not_ask_it() -> None:
    held = held_by("old", CERTIFICATE)
    held.claim("B1", "back", CERTIFICATE, A, 1.0)
    held.withdraw("back")
    assert held.claim("B1", "another", RENEWED, A, 1.0) is ClaimVerdict.WAITS
    assert held.on_lost("old", 2.0) == Succession("another", ())


def test_two_programs_with_one_certificate_are_told_once_and_the_first_one_stays() -> None:
    held = held_by("0", CERTIFICATE, A)
    for number, host in enumerate((B, A), 1):
        assert held.claim("B1", str(number), CERTIFICATE, host, 1.0) is ClaimVerdict.TAKES_OVER
        assert held.on_lost(str(number - 1), 1.0) == Succession(str(number), ())
    assert held.claim("B1", "3", CERTIFICATE, B, 2.0) is ClaimVerdict.PROBE
    assert held.on_alive("2", 2.0) == [Refused("3", ClaimRefusal.CONTESTED)]
    assert held.claim("B1", "4", CERTIFICATE, B, 3.0) is ClaimVerdict.PROBE
    assert held.on_alive("2", 3.0) == [Refused("4", ClaimRefusal.STILL_CONTESTED)]
    assert held.contest_refusals == 2


def test_loser_with_the_certificate_of_the_winner_is_a_contest_too() -> None:
    held = held_by("old", RENEWED)
    held.claim("B1", "first", CERTIFICATE, B, 1.0)
    held.claim("B1", "second", CERTIFICATE, C, 1.0)
    assert held.on_lost("old", 2.0) == Succession("second", (Refused("first", ClaimRefusal.STILL_CONTESTED),))


def test_released_identity_is_free_and_the_oldest_may_claim_it_first() -> None:
    held = held_by("old")
    for name in ("first", "second", "third"):
        held.claim("B1", name, NONE, B, 1.0)
    assert held.release("second") == ()
    assert held.release("old") == ("first", "third")
    assert held.holder("B1") is None
    verdicts = [held.claim("B1", name, NONE, B, 2.0) for name in ("first", "third")]
    assert verdicts == [ClaimVerdict.HOLDS, ClaimVerdict.PROBE]


def test_the_one_that_takes_over_claims_a_released_identity_before_those_that_wait_longer() -> None:
    held = held_by("old", CERTIFICATE)
    held.claim("B1", "first", RENEWED, B, 1.0)
    assert held.claim("B1", "back", CERTIFICATE, A, 1.0) is ClaimVerdict.TAKES_OVER
    held.claim("B1", "last", RENEWED, B, 1.0)
    assert held.release("old") == ("back", "first", "last")


def test_claim_that_does_not_wait_is_granted_or_refused_at_once() -> None:
    held: IdentityClaims[str, str] = IdentityClaims()
    assert held.claim_if_free("B1", "first", CERTIFICATE, A, 0.0) is None
    assert held.holder("B1") == "first"
    # Also with the certificate of the holder: it would take over if it could wait.
    refused = held.claim_if_free("B1", "second", CERTIFICATE, A, 0.0)
    assert refused == Refused("second", ClaimRefusal.STILL_CONTESTED)
    assert held.claim_if_free("B1", "third", NONE, A, 0.0) == Refused("third", ClaimRefusal.IN_USE)
    assert held.claim("B1", "third", NONE, A, 1.0) is ClaimVerdict.PROBE
    assert held.claim_if_free("B1", "third", NONE, A, 1.0) == Refused("third", ClaimRefusal.IN_USE)
    assert held.challengers("first") == (), "it waits no longer"


def test_contest_for_one_certificate_says_nothing_of_another() -> None:
    held = held_by("0", CERTIFICATE, A)
    for number, host in enumerate((B, A), 1):
        assert held.claim("B1", str(number), CERTIFICATE, host, 1.0) is ClaimVerdict.TAKES_OVER
        held.on_lost(str(number - 1), 1.0)
    assert held.claim("B1", "3", CERTIFICATE, B, 1.0) is ClaimVerdict.PROBE
    held.release("2")
    assert held.claim("B1", "renewed", RENEWED, A, 2.0) is ClaimVerdict.HOLDS
    assert held.claim("B1", "renewed, back", RENEWED, A, 2.0) is ClaimVerdict.TAKES_OVER


def test_those_that_claim_nothing_hold_nothing() -> None:
    held = held_by("old")
    assert held.release("passer-by") == ()
    assert held.on_lost("passer-by", 1.0) is None
    assert held.on_alive("passer-by", 1.0) == []
    assert held.challengers("passer-by") == ()
    assert not held.is_waiting("passer-by")
    held.claim("B1", "new", NONE, B, 1.0)
    assert held.on_alive("new", 1.0) == [], "an answer of one that waits proves nothing about the holder"
    assert held.challengers("new") == ()
    with pytest.raises(ValueError, match="already"):
        held.claim("B2", "new", NONE, B, 1.0)


def test_holder_that_has_proven_to_be_the_same_is_exchanged_at_once() -> None:
    held = held_by("old", CERTIFICATE)
    assert not held.hand_over("old", "new", CERTIFICATE, B)
    assert held.holder("B1") == "new"
    assert held.release("old") == (), "it holds nothing any more"
    held.claim("B1", "other", NONE, C, 1.0)
    assert held.hand_over("new", "newest", CERTIFICATE, B), "another waits to hear whether it is alive"
    assert held.on_alive("newest", 2.0) == [Refused("other", ClaimRefusal.IN_USE)]
