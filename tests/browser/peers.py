# SPDX-License-Identifier: Apache-2.0
"""Bankds and clients that do what a server tells them, over real connections to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.tasks import TaskOwner
from remsim.server.core.actions import Actor
from remsim.server.service import ServerService
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.obedient_peer import ObedientPeer
from tests.doubles.server_rig import RigPeer

#: The client of a slot that has none.
NOBODY: Final = ClientSlot(0, 0)


def says_card(peer: RigPeer, bank_id: int, slot_nr: int, *, is_there: bool, client: ClientSlot) -> None:
    """Let a bankd say whether there is a card in a slot."""
    status = rspro.SlotPhysStatus(reset_active=False, card_present=is_there)
    peer.send(rspro.BankSlotStatusInd(BankSlot(bank_id, slot_nr), client, status))


async def map_slots(service: ServerService, client: str, bank: str) -> None:
    """Map them; returns when that is stored."""
    assert service.runtime is not None
    pair = (BankSlot.parse(bank), ClientSlot.parse(client))
    await service.runtime.change_mappings([], [pair], Actor("test", "-"))


async def label(service: ServerService, subject: str, *labels: str) -> None:
    """Give it labels; returns when that is stored."""
    assert service.runtime is not None
    await service.runtime.set_labels(subject, labels, Actor("test", "-"))


@asynccontextmanager
async def bank(
    service: ServerService, bank_id: int, slots: int = 8, *, name: str = "rack"
) -> AsyncIterator[ObedientPeer]:
    """A bankd that is there while the block lasts."""
    peer = await ObedientPeer(ComponentType.REMSIM_BANKD, is_own=True).dial(service.rspro_address)
    peer.identity = rspro.ComponentIdentity(ComponentType.REMSIM_BANKD, name, "remsim-rig", "1")
    assert await peer.introduce(rspro.ConnectBankReq(peer.identity, bank_id, slots)) is ResultCode.OK
    async with _obeying(peer):
        yield peer


@asynccontextmanager
async def client(
    service: ServerService, client_id: int, slot_nr: int = 0, *, name: str = "modem"
) -> AsyncIterator[ObedientPeer]:
    """A client that is there while the block lasts."""
    peer = await ObedientPeer(ComponentType.REMSIM_CLIENT, is_own=True, hw_model="modem").dial(service.rspro_address)
    peer.identity = rspro.ComponentIdentity(ComponentType.REMSIM_CLIENT, name, "remsim-rig", "1")
    request = rspro.ConnectClientReq(peer.identity, ClientSlot(client_id, slot_nr))
    assert await peer.introduce(request) is ResultCode.OK
    async with _obeying(peer):
        yield peer


@asynccontextmanager
async def _obeying(peer: ObedientPeer) -> AsyncIterator[None]:
    async with TaskOwner("peer") as tasks:
        tasks.vital(peer.obey(), name="obey")
        try:
            yield
        finally:
            tasks.cancel()
            await peer.close()
            await asyncio.sleep(0)
