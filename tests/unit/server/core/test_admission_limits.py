# SPDX-License-Identifier: Apache-2.0
"""Limits of those who want to be let in: who may wait for an identity, and how many client ids there are."""

import pytest

from remsim.core.claims import MAX_CHALLENGERS
from remsim.core.limits import LimitName
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode
from tests.doubles.reaching import reaches
from tests.doubles.server_world import ServerWorld


def results(world: ServerWorld, link: LinkId) -> list[ResultCode]:
    """What the peer was told."""
    answers = (rspro.ConnectBankRes, rspro.ConnectClientRes)
    return [message.result for message in world.messages(link) if isinstance(message, answers)]


@reaches(LimitName.CHALLENGERS)
@pytest.mark.parametrize("is_bank", [False, True])
def test_many_that_claim_one_identity_is_refused_and_its_holder_stays(is_bank: bool) -> None:
    world = ServerWorld()
    comers = [world.bank(1) if is_bank else world.client("7:0") for _ in range(MAX_CHALLENGERS + 2)]
    holder, *challengers, last = comers
    assert results(world, last) == [ResultCode.IDENTITY_IN_USE]
    assert set(world.closed) == {last}
    assert world.coordinator.limits[LimitName.CHALLENGERS] == 1
    assert all(results(world, challenger) == [] for challenger in challengers)
    world.pong(holder)
    assert all(results(world, challenger) == [ResultCode.IDENTITY_IN_USE] for challenger in challengers)
    assert results(world, holder) == [ResultCode.OK]
    assert results(world, world.client("8:0")) == [ResultCode.OK], "a neighbour"


@reaches(LimitName.CLIENT_IDS)
def test_client_for_whom_no_id_is_left_is_refused_and_one_that_has_its_own_is_let_in() -> None:
    world = ServerWorld(pool=(100,))
    links = []
    for name in ("a", "b"):
        link = world.up()
        identity = ComponentIdentity(ComponentType.REMSIM_CLIENT, name, "test", "1")
        world.receive(link, rspro.ConnectClientReq(identity, None))
        links.append(link)
    assert results(world, links[1]) == [ResultCode.ILLEGAL_CLIENT_ID]
    assert links[1] in world.closed
    assert links[0] not in world.closed
    assert world.coordinator.limits[LimitName.CLIENT_IDS] == 1
    assert results(world, world.client("7:0")) == [ResultCode.OK]
