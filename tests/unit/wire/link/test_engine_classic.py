# SPDX-License-Identifier: Apache-2.0
"""What would kill, or cut off, a classic peer cannot leave the engine: every message, in every role, at every stage.

The table of what is safe, with its reasons, is that of ``test_classic``; here it is held against the engine itself.
"""

import pytest

from remsim.core.ids import ClientSlot
from remsim.wire import ccm, ipa
from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.abilities import ABILITY_OF, REGISTRY
from remsim.wire.link.engine import ECHO, SLOTS, LinkEngine
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import REQUEST_OF, ComponentType, Message, ResultCode
from tests.doubles import engines
from tests.doubles.engines import BANK, CLIENT, engine, frame, receive, sent, server_with_bankd
from tests.unit.wire.link.test_classic import TABLE

SERVER, BANKD, CLIENT_ROLE = ComponentType.REMSIM_SERVER, ComponentType.REMSIM_BANKD, ComponentType.REMSIM_CLIENT
STATUS = rspro.BankSlotStatusInd(BANK, CLIENT, rspro.SlotPhysStatus(reset_active=False))


def is_let_out(connection: LinkEngine, message: Message) -> bool:
    """Whether the engine sends it; if it does not, nothing at all goes out."""
    try:
        connection.send(message, now=0.0)
    except LocalProtocolError:
        assert connection.data_to_send() == b""
        return False
    assert connection.data_to_send()
    return True


@pytest.mark.parametrize("role", ComponentType)
@pytest.mark.parametrize(("message", "allowed", "reason"), TABLE)
def test_engine_lets_out_only_what_a_classic_peer_survives(
    message: Message, allowed: set[ComponentType], reason: str, role: ComponentType
) -> None:
    assert is_let_out(engine(peer=role), message) == (role in allowed), reason


@pytest.mark.parametrize(("message", "allowed", "reason"), TABLE)
def test_engine_lets_nothing_out_before_it_knows_whom_it_talks_to(
    message: Message, allowed: set[ComponentType], reason: str
) -> None:
    assert not is_let_out(engine(peer=None), message)


@pytest.mark.parametrize("answer", REQUEST_OF)
@pytest.mark.parametrize("role", [*ComponentType, None])
def test_engine_lets_out_no_answer_that_nobody_asked_for(
    answer: type[rspro.Response], role: ComponentType | None
) -> None:
    # known-limits.md 3: an unasked removeMappingRes aborts a classic server, an unasked createMappingRes corrupts it.
    made: Message
    if answer is rspro.TpduCardToModem:
        made = rspro.TpduCardToModem(BANK, CLIENT, rspro.NO_FLAGS, b"\x90\0")
    else:
        found = rspro.refusal(REQUEST_OF[answer], ResultCode.OK, engines.identity(BANKD))
        assert found is not None
        made = found
    assert not is_let_out(engine(peer=role), made)


@pytest.mark.parametrize(("message", "allowed", "reason"), TABLE)
def test_bankd_that_introduced_itself_without_abilities_is_classic(
    message: Message, allowed: set[ComponentType], reason: str
) -> None:
    assert is_let_out(server_with_bankd(abilities=None), message) == (BANKD in allowed), reason


@pytest.mark.parametrize(("message", "allowed", "reason"), TABLE)
def test_own_peer_gets_what_the_common_abilities_allow(
    message: Message, allowed: set[ComponentType], reason: str
) -> None:
    assert is_let_out(server_with_bankd(abilities=REGISTRY, own=REGISTRY), message)
    # Some need their ability; the other messages are classic ones, and harmless to a peer of ours.
    assert is_let_out(server_with_bankd(abilities=(ECHO,)), message) == (type(message) not in ABILITY_OF)


def test_message_that_needs_an_ability_goes_out_once_both_named_it() -> None:
    bankd = engine(BANKD, None)
    assert not is_let_out(bankd, STATUS)
    client = engines.identity(CLIENT_ROLE).with_abilities((SLOTS,))
    receive(bankd, frame(rspro.ConnectClientReq(client, CLIENT)))
    assert is_let_out(bankd, STATUS)


@pytest.mark.parametrize("peer", [SERVER, BANKD])
def test_request_for_a_number_goes_only_to_a_peer_that_answers_id_get(peer: ComponentType) -> None:
    # known-limits.md 1: connectClientReq without clientSlot aborts a classic server. One that is asked for its CCM
    # identity first closes the link, unharmed (rspro.md 3).
    client = engine(CLIENT_ROLE, peer)
    message = rspro.ConnectClientReq(client.identity)
    assert not is_let_out(client, message)
    receive(client, ccm.answer_id_get(b"\x01\x08"))
    assert is_let_out(client, message)


def test_identity_alone_makes_no_own_peer() -> None:
    bankd = engine(BANKD, CLIENT_ROLE)
    receive(bankd, ccm.answer_id_get(b"\x01\x08"))
    assert not is_let_out(bankd, STATUS)


def tpdu_for(size: int) -> rspro.TpduModemToCard:
    """A command whose frame has ``size`` bytes."""
    for length in range(size):
        message = rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, bytes(length))
        if len(frame(message, tag=1)) == size:
            return message
    raise AssertionError(size)


def test_frame_longer_than_a_classic_peer_survives_is_withheld() -> None:
    # known-limits.md 5: a classic client dies of 1 025 bytes.
    assert is_let_out(engine(CLIENT_ROLE, BANKD), tpdu_for(ipa.MAX_CLASSIC_FRAME))
    assert not is_let_out(engine(CLIENT_ROLE, BANKD), tpdu_for(ipa.MAX_CLASSIC_FRAME + 1))
    own = engines.client_at_bankd(abilities=())
    assert is_let_out(own, tpdu_for(ipa.MAX_CLASSIC_FRAME + 1))


def test_longest_connect_request_fits_a_classic_frame() -> None:
    # It goes out before anybody knows who listens.
    name = "x" * rspro.MAX_NAME
    identity = rspro.ComponentIdentity(BANKD, name, name, name, name, name, name, name, name)
    message = rspro.ConnectBankReq(identity, 1023, 1023)
    bankd = engine(BANKD, SERVER)
    bankd.send(message, now=0.0)
    assert len(bankd.data_to_send()) <= ipa.MAX_CLASSIC_FRAME


def test_version_and_flags_are_the_classic_ones() -> None:
    client = engines.client_at_bankd(abilities=None)
    client.send(rspro.TpduModemToCard(CLIENT, BANK, rspro.NO_FLAGS, bytes(5)), now=0.0)
    (pdu,) = sent(client)
    assert isinstance(pdu, rspro.RsproPdu)
    assert pdu.version == 2


def test_client_zero_is_a_number_like_any_other() -> None:
    assert is_let_out(
        engine(CLIENT_ROLE, SERVER), rspro.ConnectClientReq(engines.identity(CLIENT_ROLE), ClientSlot(0, 0))
    )
