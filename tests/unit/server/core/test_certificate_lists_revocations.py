# SPDX-License-Identifier: Apache-2.0
"""Who is told of the revocation list, and what becomes of one that is too long."""

from remsim.core.identity import Identity, Proof
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import MAX_LIST, RevocationListInd
from tests.doubles.reaching import reaches
from tests.doubles.server_world import ServerWorld


def told(world: ServerWorld, link: LinkId) -> list[bytes]:
    return [message.raw for message in world.messages(link) if isinstance(message, RevocationListInd)]


@reaches(LimitName.REVOCATION_LIST)
def test_list_that_is_too_long_is_reported_and_the_one_before_stays() -> None:
    world = ServerWorld()
    first = world.bank(1, is_own=True, proof=Proof(Identity.bank(1), 1))
    world.run(world.coordinator.revocations.push(b"list"))
    actions = world.coordinator.revocations.push(bytes(MAX_LIST + 1))
    (event,) = actions
    assert isinstance(event, LogEvent)
    assert (event.level, event.name) == ("error", "revocation_list_too_long")
    assert event.fields["bytes"] == MAX_LIST + 1
    assert event.fields["hint"]
    assert world.coordinator.limits[LimitName.REVOCATION_LIST] == 1
    later = world.bank(2, is_own=True, proof=Proof(Identity.bank(2), 2))
    assert told(world, first) == told(world, later) == [b"list"]
    world.run(world.coordinator.revocations.push(b"shorter"))
    assert world.coordinator.limits[LimitName.REVOCATION_LIST] == 1


def test_peer_without_a_certificate_is_not_told() -> None:
    world = ServerWorld()
    world.run(world.coordinator.revocations.push(b"list"))
    assert told(world, world.bank(3, is_own=True)) == []
