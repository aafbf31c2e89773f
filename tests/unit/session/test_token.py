# SPDX-License-Identifier: Apache-2.0
"""Whose session it is."""

from itertools import count

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import ClientSlot
from remsim.session.token import TOKEN_BYTES, SessionTokens

CLIENT = ClientSlot(7, 0)
PROOF = Proof(Identity.client(7), 1)


def tokens(proof: Proof | None = None) -> SessionTokens:
    numbers = count(1)
    return SessionTokens(CLIENT, proof, random=lambda size: next(numbers).to_bytes(size))


def test_token_has_128_bits() -> None:
    assert len(tokens().issue()) * 8 == TOKEN_BYTES * 8 == 128


def test_token_proves_its_holder() -> None:
    session = tokens()
    token = session.issue()
    assert session.prove(token, CLIENT, None)
    assert not session.prove(token, ClientSlot(7, 1), None)
    assert not session.prove(token, CLIENT, PROOF)
    assert not session.prove(bytes(TOKEN_BYTES), CLIENT, None)


def test_nothing_proves_nothing() -> None:
    session = tokens()
    assert not session.prove(b"", CLIENT, None)
    session.issue()
    assert not session.prove(b"", CLIENT, None)


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        (PROOF, True),
        # The certificate was renewed meanwhile: still the same client.
        (Proof(Identity.client(7), 2), True),
        (Proof(Identity.client(7, 0), 1), False),
        (Proof(Identity.client(8), 1), False),
        (None, False),
    ],
)
def test_token_over_tls_counts_with_the_identity_in_the_certificate(proof: Proof | None, expected: bool) -> None:
    session = tokens(PROOF)
    assert session.prove(session.issue(), CLIENT, proof) is expected


def test_old_token_is_good_until_the_client_shows_that_it_has_the_new_one() -> None:
    session = tokens()
    first = session.issue()
    second = session.issue(first)
    assert session.prove(first, CLIENT, None)
    assert session.prove(second, CLIENT, None)
    session.settle()
    assert not session.prove(first, CLIENT, None)
    assert session.prove(second, CLIENT, None)


def test_client_whose_answer_is_lost_again_and_again_is_not_locked_out() -> None:
    session = tokens()
    known = session.issue()
    lost = [session.issue(known) for _ in range(3)]
    assert session.prove(known, CLIENT, None)
    assert [session.prove(token, CLIENT, None) for token in lost] == [False, False, True]
