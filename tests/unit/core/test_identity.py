# SPDX-License-Identifier: Apache-2.0
"""Identities: one spelling each, and who may speak for whom."""

import pytest

from remsim.core.errors import IdRangeError
from remsim.core.identity import Identity, IdentityError, Role
from remsim.core.ids import BankSlot, ClientSlot

BANK = Identity.bank(1)
CLIENT = Identity.client(23)
SLOT = Identity.client(23, 0)
SERVER = Identity.server("lab")


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (BANK, "bank/1"),
        (CLIENT, "client/23"),
        (SLOT, "client/23/0"),
        (SERVER, "server/lab"),
        (Identity.bank(0), "bank/0"),
    ],
)
def test_text_and_uri_of_an_identity(identity: Identity, text: str) -> None:
    assert str(identity) == text
    assert identity.uri == f"remsim://{text}"
    assert Identity.parse(text) == Identity.parse(identity.uri) == identity


@pytest.mark.parametrize(
    "text",
    [
        *("", "bank", "bank/", "bank/01", "bank/1/0", "bank/x", "client/1/2/3", "client", "bank/-1", "BANK/1"),
        *("server/", "server", "server/a/b", "server/-a", "server/" + "a" * 64),
        *("modem/1", "client/1/", "bank/١", "http://bank/1"),
    ],
)
def test_any_other_text_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(IdentityError) as caught:
        Identity.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["bank/1024", "client/1024", "client/0/1024", "bank/99999"])
def test_number_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(IdRangeError):
        Identity.parse(text)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    for role, number, slot_nr, name in [
        (Role.SERVER, 1, None, "lab"),
        (Role.SERVER, None, None, ""),
        (Role.BANK, None, None, ""),
        (Role.BANK, 1, None, "lab"),
        (Role.BANK, 1, 0, ""),
        (Role.SERVER, None, 0, "lab"),
    ]:
        with pytest.raises(IdentityError):
            Identity(role, number, slot_nr, name)


def test_bank_covers_its_slots_and_nothing_else() -> None:
    assert BANK.covers(BankSlot(1, 7))
    assert not BANK.covers(BankSlot(2, 7))
    assert not BANK.covers(ClientSlot(1, 7))
    assert BANK.covers_bank(1)
    assert not BANK.covers_bank(65537)
    assert not CLIENT.covers_bank(23)


def test_client_covers_all_its_slots_or_the_one_it_names() -> None:
    assert CLIENT.covers(ClientSlot(23, 5))
    assert not CLIENT.covers(ClientSlot(22, 5))
    assert SLOT.covers(ClientSlot(23, 0))
    assert not SLOT.covers(ClientSlot(23, 1))
    assert not CLIENT.covers(BankSlot(23, 0))


def test_identity_covers_itself_and_a_client_its_slots() -> None:
    assert all(identity.covers(identity) for identity in (BANK, CLIENT, SLOT, SERVER))
    assert CLIENT.covers(SLOT)
    assert not SLOT.covers(CLIENT)
    assert not SLOT.covers(Identity.client(23, 1))
    assert not SERVER.covers(Identity.server("field"))
    assert not Identity.client(1).covers(BANK)
