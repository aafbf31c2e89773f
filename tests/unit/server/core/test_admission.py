# SPDX-License-Identifier: Apache-2.0
"""Who is let in: identities, client ids, newcomers."""

import pytest

from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import StoreClientId
from remsim.server.core.peers import PeerState
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode
from tests.doubles.server_world import BANKD, CLIENT, ServerWorld


def result(world: ServerWorld, link: LinkId) -> ResultCode:
    """What the peer was told."""
    (answer,) = [m for m in world.messages(link) if isinstance(m, rspro.ConnectBankRes | rspro.ConnectClientRes)]
    return answer.result


def holder(world: ServerWorld, slot: str) -> LinkId | None:
    """Who is the client of a slot."""
    peer = world.coordinator.peers.connected_client(ClientSlot.parse(slot))
    return None if peer is None else peer.link


def test_client_is_accepted_with_the_tag_of_its_request() -> None:
    world = ServerWorld()
    link = world.client("7:0")
    assert result(world, link) is ResultCode.OK
    assert world.sent[link][0].reply_to == 7
    assert link in world.accepted


def test_wrong_component_type_is_answered_and_closed() -> None:
    world = ServerWorld()
    link = world.up()
    world.receive(link, rspro.ConnectClientReq(BANKD, ClientSlot(7, 0)))
    assert result(world, link) is ResultCode.ILLEGAL_CLIENT_ID
    assert link in world.closed
    link = world.up()
    world.receive(link, rspro.ConnectBankReq(CLIENT, 1, 4))
    assert result(world, link) is ResultCode.ILLEGAL_BANK_ID
    assert link in world.closed


def test_second_connect_request_is_ignored() -> None:
    world = ServerWorld()
    link = world.client("7:0")
    world.receive(link, rspro.ConnectClientReq(CLIENT, ClientSlot(8, 0)))
    world.receive(link, rspro.ConnectBankReq(BANKD, 1, 4))
    assert len(world.messages(link)) == 1
    assert world.coordinator.peers.by_bank(1) is None


class TestOneIdentityTwice:
    def test_newcomer_is_refused_if_the_older_link_answers(self) -> None:
        world = ServerWorld()
        old, new = world.client("7:0"), world.client("7:0")
        assert old in world.probed
        assert world.messages(new) == []
        world.pong(old)
        assert result(world, new) is ResultCode.IDENTITY_IN_USE
        assert new in world.open, "it gets a second to close the link itself"
        world.advance(1)
        assert new in world.closed
        assert old in world.open

    def test_refused_newcomer_that_leaves_is_not_closed(self) -> None:
        world = ServerWorld()
        old, new = world.client("7:0"), world.client("7:0")
        world.pong(old)
        world.lose(new)
        assert world.coordinator.next_deadline() is None

    def test_newcomer_wins_if_the_older_link_is_dead(self) -> None:
        world = ServerWorld()
        old, new = world.client("7:0"), world.client("7:0")
        world.lose(old, "the peer did not answer a probe")
        assert result(world, new) is ResultCode.OK
        assert holder(world, "7:0") == new

    def test_newest_of_several_newcomers_wins(self) -> None:
        world = ServerWorld()
        old, first, second = world.client("7:0"), world.client("7:0"), world.client("7:0")
        world.lose(old)
        assert result(world, second) is ResultCode.OK
        assert result(world, first) is ResultCode.IDENTITY_IN_USE

    def test_newcomer_that_leaves_while_it_waits_is_forgotten(self) -> None:
        world = ServerWorld()
        old, first, second = world.client("7:0"), world.client("7:0"), world.client("7:0")
        world.lose(second)
        world.lose(old)
        assert holder(world, "7:0") == first

    def test_newcomer_does_not_lose_its_connect_deadline_to_the_probe(self) -> None:
        world = ServerWorld()
        world.client("7:0")
        assert world.client("7:0") in world.accepted

    def test_answer_to_a_probe_that_nobody_waits_for_is_ignored(self) -> None:
        world = ServerWorld()
        old = world.client("7:0")
        world.pong(old)
        assert old in world.open

    def test_bankd_that_takes_over_gets_its_mappings(self) -> None:
        world = ServerWorld()
        old = world.bank(1)
        world.post("1:0", "7:0")
        world.answer(old, rspro.CreateMappingReq)
        new = world.bank(1)
        assert world.asked(new) == []
        world.lose(old)
        assert world.asked(new) == ["+B1:0 C7:0"]

    def test_second_bankd_with_the_same_id_is_refused(self) -> None:
        world = ServerWorld()
        old, new = world.bank(1), world.bank(1)
        world.pong(old)
        assert result(world, new) is ResultCode.IDENTITY_IN_USE

    def test_second_bankd_with_the_same_id_does_not_touch_sessions_that_are_held(self) -> None:
        world = ServerWorld()
        old = world.bank(1, is_own=True)
        world.post("1:0", "7:0")
        world.answer(old, rspro.CreateMappingReq)
        client = world.client("7:0", is_own=True)
        told = world.told(client)
        held = rspro.SessionStateInd(BankSlot(1, 0), ClientSlot(7, 0), SessionPhase.DETACHED, 0, 1)
        world.receive(old, held)
        new = world.bank(1, "192.0.2.10", is_own=True)
        # What it says of sessions while it waits to be judged is not what the bank's are.
        gone = rspro.SessionStateInd(BankSlot(1, 0), ClientSlot(7, 0), SessionPhase.NONE, 0, 1)
        world.receive(new, gone)
        world.pong(old)
        assert result(world, new) is ResultCode.IDENTITY_IN_USE
        peer = world.coordinator.peers.by_bank(1)
        assert peer is not None
        assert peer.sessions[0].state == "DETACHED"
        assert world.told(client) == told, "the client is not sent elsewhere"
        assert world.asked(new) == []

    def test_bankd_that_takes_over_sends_the_clients_to_its_own_address(self) -> None:
        """Each of them then ends the session that it holds, because the new bankd does not have it."""
        world = ServerWorld()
        old = world.bank(1, is_own=True)
        world.post("1:0", "7:0")
        world.answer(old, rspro.CreateMappingReq)
        client = world.client("7:0", is_own=True)
        world.receive(old, rspro.SessionStateInd(BankSlot(1, 0), ClientSlot(7, 0), SessionPhase.DETACHED, 0, 1))
        new = world.bank(1, "192.0.2.10", is_own=True)
        world.lose(old, "the peer did not answer a probe")
        assert result(world, new) is ResultCode.OK
        peer = world.coordinator.peers.by_bank(1)
        assert peer is not None
        assert peer.sessions == {}
        # As a bankd of ours does once it is let in.
        world.receive(new, rspro.AddressesInd(()))
        world.answer(new, rspro.CreateMappingReq)
        assert world.told(client)[-1] == "B1:0 192.0.2.10:9999"


class TestClientIds:
    NAMED = CLIENT
    SERIAL = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "own", "1", hw_serial_nr="S1")

    def connect(self, world: ServerWorld, identity: ComponentIdentity = NAMED) -> LinkId:
        link = world.up()
        world.receive(link, rspro.ConnectClientReq(identity, None))
        return link

    def test_without_a_pool_it_is_refused_and_closed(self) -> None:
        world = ServerWorld()
        link = self.connect(world)
        assert result(world, link) is ResultCode.ILLEGAL_CLIENT_ID
        assert link in world.closed

    def test_id_is_given_stored_and_used(self) -> None:
        world = ServerWorld(pool=(900, 901))
        bank = world.bank(1)
        world.post("1:0", "900:0")
        world.answer(bank, rspro.CreateMappingReq)
        link = self.connect(world)
        assert world.kinds(link) == ["ConnectClientRes", "ConfigClientIdReq"]
        assert holder(world, "900:0") is None
        assert world.rows.numbers == {("name", "client"): 900}
        world.answer(link, rspro.ConfigClientIdReq)
        assert holder(world, "900:0") == link
        assert link in world.accepted
        assert world.told(link) == ["B1:0 192.0.2.9:9999"]

    def test_client_is_told_its_id_only_when_it_is_stored(self) -> None:
        world = ServerWorld(pool=(900,))
        world.is_store_slow = True
        link = self.connect(world)
        assert world.messages(link) == []
        world.commit()
        assert world.kinds(link) == ["ConnectClientRes", "ConfigClientIdReq"]

    def test_client_gets_the_same_id_again_after_a_restart(self) -> None:
        world = ServerWorld(pool=(900, 901))
        self.connect(world, self.SERIAL)
        self.connect(world)
        world.start()
        assert world.last(self.connect(world), rspro.ConfigClientIdReq).client_slot == ClientSlot(901, 0)
        assert world.last(self.connect(world, self.SERIAL), rspro.ConfigClientIdReq).client_slot == ClientSlot(900, 0)

    def test_id_of_a_connected_client_is_not_given_away(self) -> None:
        world = ServerWorld(pool=(900, 901))
        world.client("900:4")
        assert world.last(self.connect(world), rspro.ConfigClientIdReq).client_slot == ClientSlot(901, 0)

    def test_pool_that_is_used_up_refuses(self) -> None:
        world = ServerWorld(pool=(900,))
        self.connect(world)
        assert result(world, self.connect(world, self.SERIAL)) is ResultCode.ILLEGAL_CLIENT_ID

    def test_client_that_does_not_take_its_id_is_closed(self) -> None:
        world = ServerWorld(pool=(900,))
        link = self.connect(world)
        world.answer(link, rspro.ConfigClientIdReq, ResultCode.ILLEGAL_CLIENT_ID)
        assert link in world.closed
        assert world.kinds(self.connect(world)) == ["ConnectClientRes", "ConfigClientIdReq"]

    def test_client_that_leaves_before_its_id_is_stored_gets_it_next_time(self) -> None:
        world = ServerWorld(pool=(900,))
        world.is_store_slow = True
        link = self.connect(world)
        world.lose(link)
        world.commit()
        assert world.messages(link) == []
        assert world.last(self.connect(world), rspro.ConfigClientIdReq).client_slot == ClientSlot(900, 0)

    def test_id_that_cannot_be_stored_is_free_again(self) -> None:
        world = ServerWorld(pool=(900,))
        world.is_store_broken = True
        link = self.connect(world)
        assert link in world.closed
        world.is_store_broken = False
        assert world.last(self.connect(world, self.SERIAL), rspro.ConfigClientIdReq).client_slot == ClientSlot(900, 0)

    def test_failure_to_store_an_id_of_a_client_that_has_left_is_harmless(self) -> None:
        world = ServerWorld(pool=(900,))
        world.is_store_slow = True
        world.lose(self.connect(world))
        assert isinstance(world.waiting[0], StoreClientId)
        world.is_store_broken = True
        world.commit()
        assert world.coordinator.peers.lowest_slot(900) is None

    def test_second_client_with_the_same_name_is_refused_while_the_first_lives(self) -> None:
        world = ServerWorld(pool=(900, 901))
        first = self.connect(world)
        world.answer(first, rspro.ConfigClientIdReq)
        second = self.connect(world)
        world.pong(first)
        assert result(world, second) is ResultCode.IDENTITY_IN_USE

    def test_answer_that_was_not_asked_for_gives_no_id(self) -> None:
        world = ServerWorld(pool=(900,))
        link = self.connect(world)
        world.receive(link, rspro.ConfigClientIdRes(ResultCode.OK))
        assert holder(world, "900:0") is None


@pytest.mark.parametrize("state", [PeerState.ESTABLISHED, PeerState.REJECTED])
def test_link_that_never_got_in_is_lost_quietly(state: PeerState) -> None:
    world = ServerWorld()
    world.client("7:0")
    link = world.up() if state is PeerState.ESTABLISHED else world.client("7:0")
    if state is PeerState.REJECTED:
        world.pong(LinkId(1))
    world.lose(link)
    assert world.log[-1].name == "peer_lost"
    assert world.log[-1].level == "debug"


class TestWhoHasACertificate:
    """A peer that got in on plain TCP before a certificate was issued makes room for its owner."""

    def test_plain_link_ends_when_the_certificate_is_issued(self) -> None:
        world = ServerWorld()
        client, bank, other = world.client("7:0"), world.bank(1), world.client("8:0")
        proven = world.client("9:0", proof=Proof(Identity.client(9), 1))
        world.certify("client/7", "bank/1", "client/9")
        assert world.closed == {
            client: "a certificate was issued to client/7/0: plain TCP is refused",
            bank: "a certificate was issued to bank/1: plain TCP is refused",
        }
        assert world.reported().count("plain_link_ended") == 2
        assert {other, proven} <= world.open
        world.run(world.coordinator.on_certified(world.holders))
        assert world.reported().count("plain_link_ended") == 2, "nothing has changed"

    def test_client_that_is_being_given_an_id_with_a_certificate_is_closed(self) -> None:
        world = ServerWorld(pool=(500,))
        link = world.up()
        world.receive(link, rspro.ConnectClientReq(CLIENT, None))
        world.certify("client/500")
        assert link in world.closed

    @pytest.mark.parametrize("is_bank", [False, True])
    def test_owner_takes_over_at_once_from_who_proves_nothing(self, is_bank: bool) -> None:
        world = ServerWorld()
        if is_bank:
            old = world.bank(1)
            world.certify("bank/1", is_seen=False)
            new = world.bank(1, proof=Proof(Identity.bank(1), 1))
        else:
            old = world.client("7:0")
            world.certify("client/7", is_seen=False)
            new = world.client("7:0", proof=Proof(Identity.client(7), 1))
        assert old in world.closed
        assert old not in world.probed, "whether it lives is of no interest"
        world.lose(old)
        assert result(world, new) is ResultCode.OK

    def test_many_who_prove_nothing_do_not_keep_the_owner_out(self) -> None:
        world = ServerWorld()
        old, *waiting = [world.client("7:0") for _ in range(MAX_CHALLENGERS + 1)]
        world.certify("client/7", is_seen=False)
        new = world.client("7:0", proof=Proof(Identity.client(7), 1))
        world.lose(old)
        assert result(world, new) is ResultCode.OK
        assert {result(world, link) for link in waiting} == {ResultCode.ILLEGAL_CLIENT_ID}
        assert set(waiting) <= set(world.closed)

    def test_challenger_does_not_inherit_an_id_that_has_a_certificate_by_now(self) -> None:
        world = ServerWorld()
        old, challenger = world.client("7:0"), world.client("7:0")
        world.certify("client/7")
        world.lose(old)
        assert result(world, challenger) is ResultCode.ILLEGAL_CLIENT_ID
        assert holder(world, "7:0") is None

    def test_id_that_was_given_once_is_refused_when_it_has_a_certificate(self) -> None:
        world = ServerWorld(pool=(500,))
        first = world.up()
        world.receive(first, rspro.ConnectClientReq(CLIENT, None))
        world.lose(first)
        world.certify("client/500")
        second = world.up()
        world.receive(second, rspro.ConnectClientReq(CLIENT, None))
        assert result(world, second) is ResultCode.ILLEGAL_CLIENT_ID
        assert second in world.closed


class TestTwoProgramsWithOneCertificate:
    @pytest.mark.parametrize("is_bank", [False, True])
    def test_first_one_stays_and_everybody_is_told(self, is_bank: bool) -> None:
        world = ServerWorld()

        def come(host: str) -> LinkId:
            if is_bank:
                return world.bank(1, is_own=True, proof=Proof(Identity.bank(1), 1), host=host)
            return world.client("7:0", is_own=True, proof=Proof(Identity.client(7), 1), host=host)

        links = [come("192.0.2.1")]
        for host in ("192.0.2.2", "192.0.2.1"):
            links.append(come(host))
            assert links[-2] in world.closed
            world.lose(links[-2])
        fourth = come("192.0.2.2")
        assert world.probed == {links[-1]}
        world.pong(links[-1])
        assert result(world, links[-1]) is ResultCode.OK
        assert result(world, fourth) is ResultCode.IDENTITY_IN_USE
        for link, words in ((links[-1], "a second program, at 192.0.2.2"), (fourth, "another program, at 192.0.2.1")):
            (error,) = [message for message in world.messages(link) if isinstance(message, rspro.ErrorInd)]
            assert error.error_string is not None
            assert error.error_string.startswith(words)
        assert world.coordinator.contest_refusals == 1
        assert [event.level for event in world.log if event.name == "identity_contested"] == ["error"]
        peers = world.coordinator.peers
        peer = peers.by_bank(1) if is_bank else peers.connected_client(ClientSlot(7, 0))
        assert peer is not None
        assert peer.link == links[-1]
        assert peer.contested_by == "192.0.2.2"
