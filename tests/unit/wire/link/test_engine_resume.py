# SPDX-License-Identifier: Apache-2.0
"""What a link does for a session that outlives it (ability ``resume.1``), and that others see nothing of it."""

import pytest

from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.abilities import ABILITIES, REGISTRY
from remsim.wire.link.engine import KeepAliveTimes, LinkEngine, LinkFailed, Received
from remsim.wire.link.tags import SessionTags
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode, RsproPdu, SlotPhysStatus
from tests.doubles import strict_asn1
from tests.doubles.engines import BANK, CLIENT, engine, events, frame, identity, receive, sent

TOKEN = bytes(range(16))
COMMAND = rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, bytes.fromhex("00b0000001"))
ANSWER = rspro.TpduCardToModem(BANK, CLIENT, rspro.NO_FLAGS, b"\x90\x00")
CLIENT_ROLE, BANKD = ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD


def bankd(*, abilities: tuple[str, ...] = REGISTRY, peer: tuple[str, ...] | None = REGISTRY) -> LinkEngine:
    """A bankd's end after a client with these abilities has introduced itself."""
    made = engine(BANKD, CLIENT_ROLE, abilities=abilities)
    receive(made, frame(rspro.ConnectClientReq(identity(CLIENT_ROLE).with_abilities(peer), CLIENT), tag=1))
    return made


def resumed(last_tag: int) -> rspro.SessionInd:
    return rspro.SessionInd(is_resumed=True, token=TOKEN, hold_idle_ms=60_000, hold_busy_ms=30_000, last_tag=last_tag)


@pytest.mark.parametrize(
    ("own", "peer"), [(REGISTRY, None), (REGISTRY, ()), (REGISTRY, ABILITIES), (ABILITIES, REGISTRY)]
)
def test_session_is_offered_only_if_both_ends_named_it(own: tuple[str, ...], peer: tuple[str, ...] | None) -> None:
    link = bankd(abilities=own, peer=peer)
    for message in (resumed(0), rspro.SessionEndInd(rspro.SessionEnd.UNKNOWN)):
        with pytest.raises(LocalProtocolError):
            link.send(message, now=0.0)
    assert bankd().send(resumed(0), now=0.0)


def test_returning_client_shows_its_token_before_it_knows_who_answers() -> None:
    client = engine(CLIENT_ROLE, BANKD, abilities=REGISTRY)
    client.announce_return(rspro.ResumeInd(TOKEN, 4))
    client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0.0)
    first, second = sent(client)
    assert isinstance(first, RsproPdu)
    assert isinstance(second, RsproPdu)
    assert first.msg == rspro.ResumeInd(TOKEN, 4)
    assert isinstance(second.msg, rspro.ConnectClientReq)


def test_client_that_has_no_token_sends_what_a_strict_decoder_takes() -> None:
    client = engine(CLIENT_ROLE, BANKD, abilities=REGISTRY)
    client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0.0)
    assert list(strict_asn1.frames(client.data_to_send())) == ["connectClientReq"]


def test_command_of_an_earlier_link_is_answered_on_the_newest() -> None:
    link = engine(BANKD, CLIENT_ROLE, abilities=REGISTRY)
    receive(link, frame(rspro.ResumeInd(TOKEN, 4), tag=6))
    request = rspro.ConnectClientReq(identity(CLIENT_ROLE).with_abilities(REGISTRY), CLIENT)
    receive(link, frame(request, tag=7))
    link.send(rspro.ConnectClientRes(link.identity, ResultCode.OK), now=0.0, reply_to=7)
    link.send(resumed(4), now=0.0)
    assert link.send(ANSWER, now=0.0, reply_to=4) == 4
    with pytest.raises(LocalProtocolError):
        link.send(ANSWER, now=0.0, reply_to=4)


def test_command_that_the_bankd_never_received_is_answered_only_when_it_has_come() -> None:
    link = engine(BANKD, CLIENT_ROLE, abilities=REGISTRY)
    receive(link, frame(rspro.ResumeInd(TOKEN, 4), tag=6))
    request = rspro.ConnectClientReq(identity(CLIENT_ROLE).with_abilities(REGISTRY), CLIENT)
    receive(link, frame(request, tag=7))
    link.send(resumed(3), now=0.0)
    with pytest.raises(LocalProtocolError):
        link.send(ANSWER, now=0.0, reply_to=4)
    assert receive(link, frame(COMMAND, tag=4)) == [Received(COMMAND, 4)]
    assert link.send(ANSWER, now=0.0, reply_to=4) == 4


def test_change_of_lines_is_answered_with_its_tag() -> None:
    link = bankd()
    status = rspro.BankSlotStatusInd(BANK, CLIENT, SlotPhysStatus(reset_active=False, card_present=True))
    assert link.send(status, now=0.0, reply_to=9) == 9


def test_tags_of_commands_grow_over_links() -> None:
    tags = SessionTags()
    for expected in (2, 4):
        client = LinkEngine(identity=identity(CLIENT_ROLE), peer=BANKD, now=0.0, tags=tags, abilities=REGISTRY)
        client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0.0)
        again = rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, COMMAND.data)
        assert client.send(again, now=0.0) == expected


@pytest.mark.parametrize(("peer", "dead_at"), [(REGISTRY, 5.0), (ABILITIES, 40.0), (None, 40.0)])
def test_dead_peer_is_noticed_sooner_where_that_costs_nothing(peer: tuple[str, ...] | None, dead_at: float) -> None:
    link = LinkEngine(
        identity=identity(BANKD),
        peer=CLIENT_ROLE,
        now=0.0,
        keep_alive=KeepAliveTimes(30.0, 10.0, first_after_s=30.0),
        resume_keep_alive=KeepAliveTimes(2.0, 3.0),
        abilities=REGISTRY,
        is_accepted=True,
    )
    receive(link, frame(rspro.ConnectClientReq(identity(CLIENT_ROLE).with_abilities(peer), CLIENT), tag=1))
    link.connected()
    now = 0.0
    while not link.has_failed:
        due = link.next_deadline()
        assert due is not None
        now = due
        link.handle_timer(now)
    assert now == dead_at
    assert isinstance(events(link)[-1], LinkFailed)
