# SPDX-License-Identifier: Apache-2.0
"""Deadlines of the link engine: keep-alive, probes, the connect deadline. Time is an argument."""

import pytest

from remsim.wire import ccm
from remsim.wire.link.engine import (
    ABILITIES,
    CONNECT_TIMEOUT_S,
    TPDU_GRACE_S,
    KeepAliveTimes,
    LinkEngine,
    LinkFailed,
    ProbeAnswered,
    Received,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ComponentType, TpduCardToModem, TpduModemToCard
from tests.doubles import engines
from tests.doubles.engines import BANK, CLIENT, client_at_bankd, engine, events, frame, receive

COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
RESPONSE = TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0")


def accepted(*, now: float = 0.0, keep_alive: KeepAliveTimes | None = None) -> LinkEngine:
    """An engine without a connect deadline, whose first PING was taken at ``now``."""
    made = engine(now=now, keep_alive=keep_alive)
    made.connected()
    return made


def failure(connection: LinkEngine) -> str:
    """The reason why the link failed."""
    (event,) = events(connection)
    assert isinstance(event, LinkFailed)
    return event.reason


# Keep-alive


def test_ping_goes_out_before_anything_else() -> None:
    made = LinkEngine(identity=engines.identity(ComponentType.REMSIM_CLIENT), peer=None, now=0.0)
    assert made.is_deadline_changed
    assert made.data_to_send() == ccm.PING


def test_first_ping_may_be_delayed() -> None:
    # A classic bankd never pings its clients; ours waits, so that the recorded order is kept.
    made = accepted(keep_alive=KeepAliveTimes(first_after_s=30.0))
    assert made.next_deadline() == 30.0
    made.handle_timer(29.9)
    assert made.data_to_send() == b""
    made.handle_timer(30.0)
    assert made.data_to_send() == ccm.PING


def test_silent_peer_is_dead_after_the_timeout() -> None:
    made = accepted()
    assert made.next_deadline() == 10.0
    made.handle_timer(9.99)
    assert events(made) == []
    made.handle_timer(10.0)
    assert failure(made) == "no PONG within 10 s"
    assert made.next_deadline() is None


def test_ping_follows_each_pong_after_the_interval() -> None:
    made = accepted(keep_alive=KeepAliveTimes(interval_s=20.0, timeout_s=5.0))
    now = 1.5
    for _ in range(50):
        made.is_deadline_changed = False
        receive(made, ccm.PONG, now=now)
        assert made.is_deadline_changed
        now += 20.0
        assert made.next_deadline() == now
        made.handle_timer(now)
        assert made.data_to_send() == ccm.PING
        assert made.next_deadline() == now + 5.0
        now += 4.9
    assert events(made) == []


def test_peer_that_falls_silent_is_noticed_after_40_s() -> None:
    made = accepted()
    receive(made, ccm.PONG, now=0.0)
    while (due := made.next_deadline()) is not None:
        made.handle_timer(due)
    assert failure(made) == "no PONG within 10 s"
    assert made.data_to_send() == ccm.PING


def test_other_traffic_is_no_sign_of_life() -> None:
    # rspro.md 3.
    made = accepted()
    receive(made, ccm.PING, frame(rspro.CreateMappingRes(rspro.ResultCode.OK)), now=9.9)
    made.handle_timer(10.0)
    assert failure(made) == "no PONG within 10 s"


def test_unasked_pong_changes_nothing() -> None:
    made = accepted()
    receive(made, ccm.PONG, now=1.0)
    assert made.next_deadline() == 31.0
    assert receive(made, ccm.PONG, now=2.0) == []
    assert made.next_deadline() == 31.0


# The card that works


def test_missing_pong_does_not_count_while_a_classic_bankds_card_works() -> None:
    client = client_at_bankd(abilities=None)
    client.send(COMMAND, now=3.0)
    client.handle_timer(10.0)
    assert events(client) == []
    assert client.next_deadline() == 3.0 + TPDU_GRACE_S
    client.handle_timer(3.0 + TPDU_GRACE_S)
    assert failure(client) == "no PONG within 10 s"


def test_pong_after_the_card_is_done_keeps_the_link() -> None:
    client = client_at_bankd(abilities=None)
    client.send(COMMAND, now=3.0)
    client.handle_timer(10.0)
    receive(client, frame(RESPONSE) + ccm.PONG, now=40.0)
    assert client.next_deadline() == 70.0


def test_pong_that_stays_away_after_the_card_is_done_counts_again() -> None:
    client = client_at_bankd(abilities=None)
    client.send(COMMAND, now=3.0)
    client.handle_timer(10.0)
    client.is_deadline_changed = False
    assert receive(client, frame(RESPONSE), now=20.0) == [Received(RESPONSE, 0, COMMAND)]
    assert client.is_deadline_changed
    assert client.next_deadline() == 30.0
    client.handle_timer(30.0)
    assert failure(client) == "no PONG within 10 s"


def test_next_command_gets_grace_of_its_own() -> None:
    client = client_at_bankd(abilities=None)
    client.send(COMMAND, now=3.0)
    client.send(COMMAND, now=12.0)
    client.handle_timer(10.0)
    receive(client, frame(RESPONSE), now=13.0)
    client.handle_timer(23.0)
    assert events(client) == []
    assert client.next_deadline() == 12.0 + TPDU_GRACE_S


def test_own_bankd_gets_no_grace() -> None:
    client = client_at_bankd(abilities=ABILITIES)
    client.send(COMMAND, now=3.0)
    client.handle_timer(10.0)
    assert failure(client) == "no PONG within 10 s"


def test_other_requests_give_no_grace() -> None:
    server = engines.server_with_bankd(abilities=None)
    server.send(rspro.CreateMappingReq(CLIENT, BANK), now=3.0)
    server.handle_timer(10.0)
    assert failure(server) == "no PONG within 10 s"


# Probes


def test_probe_that_is_answered_in_time() -> None:
    made = accepted()
    receive(made, ccm.PONG, now=0.0)
    made.is_deadline_changed = False
    made.probe(5.0, 3.0)
    assert made.is_deadline_changed
    assert made.data_to_send() == ccm.PING
    assert made.next_deadline() == 8.0
    assert receive(made, ccm.PONG, now=7.9) == [ProbeAnswered()]
    assert made.next_deadline() == 30.0


def test_probe_that_is_not_answered() -> None:
    made = accepted()
    receive(made, ccm.PONG, now=0.0)
    made.probe(5.0, 3.0)
    made.handle_timer(8.0)
    assert failure(made) == "the peer did not answer a probe"


def test_probe_does_not_prolong_one_that_runs() -> None:
    # Newcomers with the same identity that return every two seconds must not keep a dead link alive.
    made = accepted()
    made.probe(5.0, 3.0)
    made.probe(7.0, 3.0)
    assert made.next_deadline() == 8.0


def test_pong_answers_probe_and_keep_alive_together() -> None:
    made = accepted()
    made.probe(5.0, 3.0)
    assert receive(made, ccm.PONG, now=6.0) == [ProbeAnswered()]
    assert made.next_deadline() == 36.0
    assert receive(made, ccm.PONG, now=6.1) == []


# The connect deadline


def test_peer_that_does_not_introduce_itself_is_cut_off() -> None:
    made = engine(peer=None)
    receive(made, ccm.PONG, now=0.0)
    assert made.next_deadline() == CONNECT_TIMEOUT_S
    made.handle_timer(CONNECT_TIMEOUT_S)
    assert failure(made) == "no connect message within 10 s"


def test_introduction_alone_does_not_end_the_deadline() -> None:
    made = engine(peer=None)
    receive(made, ccm.PONG, frame(rspro.ConnectBankReq(engines.identity(ComponentType.REMSIM_BANKD), 1, 8)))
    made.handle_timer(CONNECT_TIMEOUT_S)
    assert failure(made) == "no connect message within 10 s"


def test_deadline_of_the_caller_is_used() -> None:
    made = LinkEngine(
        identity=engines.identity(ComponentType.REMSIM_CLIENT),
        peer=None,
        now=1.0,
        keep_alive=KeepAliveTimes(first_after_s=99.0),
        connect_timeout_s=2.5,
    )
    made.handle_timer(3.5)
    assert failure(made) == "no connect message within 2.5 s"


def test_accepted_peer_has_time() -> None:
    made = accepted()
    receive(made, ccm.PONG, now=0.0)
    assert made.next_deadline() == 30.0


@pytest.mark.parametrize("now", [0.0, 1e6])
def test_nothing_happens_before_it_is_due(now: float) -> None:
    made = accepted(now=now)
    receive(made, ccm.PONG, now=now)
    made.handle_timer(now)
    assert (made.data_to_send(), events(made)) == (b"", [])


def test_round_trip_of_a_ping_is_told_once() -> None:
    made = accepted()
    assert made.take_round_trip() is None
    receive(made, ccm.PONG, now=0.125)
    assert made.is_deadline_changed
    assert made.take_round_trip() == 0.125
    assert made.take_round_trip() is None
