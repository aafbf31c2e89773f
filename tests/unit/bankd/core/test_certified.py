# SPDX-License-Identifier: Apache-2.0
"""Clients with a certificate are refused on plain TCP for good, no matter which server told of it."""

import pytest

from remsim.bankd.core.certified import CertifiedMemory
from remsim.core.identity import Identity, Proof
from remsim.core.ids import MAX_ID
from remsim.wire.messages.extensions import CertifiedInd
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank import Bank

LAB = Proof(Identity.server("lab"), 1)
C23 = Proof(Identity.client(23), 2)
REFUSED = "a certificate was issued to C23:0: plain TCP is refused"


def tell(bank: Bank, link: int, *clients: str, is_first: bool = True, is_last: bool = True) -> None:
    bank.say(link, CertifiedInd(is_first, is_last, clients))


def is_refused(bank: Bank, client: str) -> bool:
    link = bank.connect(client)
    has_left = link in bank.closed
    assert has_left == (bank.result(link) is ResultCode.ILLEGAL_CLIENT_ID)
    if not has_left:
        bank.lose(link)
    return has_left


def notices(bank: Bank, event: str) -> list[dict[str, object]]:
    return [dict(notice.fields) for notice in bank.cards.notices if notice.name == event]


def test_client_that_a_server_names_is_refused_on_plain_tcp_and_counted() -> None:
    bank = Bank()
    tell(bank, bank.server(proof=LAB), "client/23", "client/24/1")
    link = bank.connect("C23:0")
    assert bank.result(link) is ResultCode.ILLEGAL_CLIENT_ID
    assert bank.closed[link] == REFUSED
    assert notices(bank, "client_refused")[0]["reason"] == REFUSED
    assert bank.coordinator.counts.impostors == 1
    assert [is_refused(bank, client) for client in ("C23:1023", "C24:1", "C24:0", "C25:0")] == [
        True,
        True,
        False,
        False,
    ]
    assert bank.result(bank.connect("C23:0", proof=C23)) is ResultCode.CARD_NOT_PRESENT  # let in; it is not mapped


def test_client_that_has_shown_a_certificate_is_refused_without() -> None:
    bank = Bank()
    bank.lose(bank.connect("C23:0", proof=C23))
    assert is_refused(bank, "C23:0")
    assert bank.stored == [("client/23",)]


def test_certificate_for_another_makes_nobody_known() -> None:
    bank = Bank()
    assert bank.result(bank.connect("C24:0", proof=C23)) is ResultCode.ILLEGAL_CLIENT_ID
    assert bank.stored == []
    assert not is_refused(bank, "C23:0")


def test_list_only_grows_and_is_stored_when_it_does() -> None:
    bank = Bank(memory=CertifiedMemory((Identity.client(7, 0),)))
    server = bank.server(proof=LAB)
    tell(bank, server, "client/23")
    tell(bank, server, "client/23")
    tell(bank, server)
    bank.lose(server)
    tell(bank, bank.server(proof=Proof(Identity.server("other"), 9)), "client/8/0", "client/8/2")
    assert bank.stored == [("client/7/0", "client/23"), ("client/7/0", "client/8/0", "client/8/2", "client/23")]
    assert all(is_refused(bank, client) for client in ("C7:0", "C8:0", "C8:2", "C23:0"))
    assert not is_refused(bank, "C8:1")


def test_what_a_server_on_plain_tcp_says_holds_but_is_not_stored() -> None:
    bank = Bank()
    tell(bank, bank.server(), "client/23")
    assert is_refused(bank, "C23:0")
    assert bank.stored == []
    assert bank.coordinator.certified.proven() == ()


def test_server_that_is_not_active_is_not_listened_to() -> None:
    bank = Bank()
    link = bank.link(is_dialled=True, proof=LAB)
    tell(bank, link, "client/23")
    assert not is_refused(bank, "C23:0")


def test_all_slots_one_by_one_are_the_whole_client() -> None:
    bank = Bank()
    server = bank.server(proof=LAB)
    slots = [f"client/5/{number}" for number in range(MAX_ID + 1)]
    tell(bank, server, *slots[:1000], is_last=False)
    assert bank.stored[-1] == tuple(slots[:1000])
    tell(bank, server, *slots[1000:], is_first=False)
    assert bank.stored[-1] == ("client/5",)


def test_names_of_others_than_clients_are_passed_over_and_reported() -> None:
    bank = Bank()
    tell(bank, bank.server(proof=LAB), "bank/1", "client/2000", "nonsense", "client/23")
    assert bank.stored == [("client/23",)]
    assert notices(bank, "certified_list_has_unknown_entries") == [{"count": 3}]


class TestRunningSessions:
    def test_plain_session_of_a_client_with_a_certificate_ends_and_the_log_says_why(self) -> None:
        bank = Bank()
        server = bank.server(proof=LAB)
        for client, slot in (("C23:0", "B1:0"), ("C24:0", "B1:1")):
            bank.map(server, client, slot)
        plain, other = bank.connect("C23:0"), bank.connect("C24:0")
        tell(bank, server, "client/23")
        assert bank.closed == {plain: REFUSED}
        assert bank.cards.log[-1] == (0, "close")
        assert notices(bank, "plain_session_ended")[0]["reason"] == REFUSED
        bank.command(other, client="C24:0", bank="B1:1")
        assert bank.result(other) is ResultCode.OK

    def test_newcomers_that_wait_are_refused_and_none_slips_in(self) -> None:
        bank = Bank()
        server = bank.server(proof=LAB)
        bank.map(server, "C23:0", "B1:0")
        first, second, unknown = bank.connect("C23:0"), bank.connect("C23:0"), bank.link()
        unmapped = [bank.connect("C23:1"), bank.connect("C23:1")]
        tell(bank, server, "client/23")
        assert set(bank.closed) == {first, second, *unmapped}
        assert bank.result(second) is bank.result(unmapped[1]) is ResultCode.ILLEGAL_CLIENT_ID
        assert bank.cards.log == [(0, "open"), (0, "close")]
        bank.introduce(unknown, "C99:0")
        assert unknown not in bank.closed

    def test_client_that_waits_for_its_card_hears_why(self) -> None:
        bank = Bank()
        server = bank.server(proof=LAB)
        bank.map(server, "C23:0", "B1:0")
        bank.is_automatic = False
        waiting = bank.connect("C23:0")
        tell(bank, server, "client/23")
        assert bank.result(waiting) is ResultCode.ILLEGAL_CLIENT_ID
        assert waiting in bank.closed

    def test_rightful_client_takes_the_place_of_one_without_certificate(self) -> None:
        bank = Bank()
        bank.map(bank.server(proof=LAB), "C23:0", "B1:0")
        posing = bank.connect("C23:0")
        rightful = bank.connect("C23:0", proof=C23)
        assert bank.closed == {posing: REFUSED}
        assert bank.probed == []
        assert bank.result(rightful) is ResultCode.OK


class TestListThatCannotBeRead:
    @pytest.fixture
    def bank(self) -> Bank:
        return Bank(memory=CertifiedMemory(is_readable=False))

    def test_everybody_is_refused_on_plain_tcp(self, bank: Bank) -> None:
        link = bank.connect("C99:0")
        assert bank.closed[link] == "nobody knows who has a certificate: plain TCP is refused"
        assert bank.result(bank.connect("C23:0", proof=C23)) is ResultCode.CARD_NOT_PRESENT
        assert bank.stored == [], "what is known is not all, and must not pass for it"

    def test_whole_list_of_a_server_with_a_certificate_takes_its_place(self, bank: Bank) -> None:
        bank.lose(bank.connect("C7:0", proof=Proof(Identity.client(7), 3)))
        server = bank.server(proof=LAB)
        tell(bank, server, "client/23", is_last=False)
        assert (bank.stored, is_refused(bank, "C99:0")) == ([], True)
        tell(bank, server, is_first=False)
        assert bank.stored == [("client/7", "client/23")]
        assert "certified_list_restored" in bank.events()
        assert [is_refused(bank, client) for client in ("C7:0", "C23:0", "C99:0")] == [True, True, False]

    def test_list_without_its_beginning_or_of_a_server_on_plain_tcp_is_not_enough(self, bank: Bank) -> None:
        server = bank.server(proof=LAB)
        tell(bank, server, "client/23", is_last=False)
        bank.lose(server)
        server = bank.server(proof=LAB)
        tell(bank, server, is_first=False)
        assert is_refused(bank, "C99:0")
        bank.lose(server)
        tell(bank, bank.server())
        assert is_refused(bank, "C99:0")
        assert bank.stored == []
