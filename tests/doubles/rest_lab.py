# SPDX-License-Identifier: Apache-2.0
"""A server for tests of REST v2, with callers of all kinds, and peers that do what they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2

from remsim.config import ServerConfig
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from remsim.wire.messages.rspro import (
    ConfigClientBankReq,
    ConfigClientBankRes,
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResultCode,
)
from tests.doubles.server_rig import RigPeer, connect_bank, connect_client, rest_client, running_server

V2: Final = "/api/v2"


async def token(state: Path, role: TokenRole, scope: Scope | None = None) -> str:
    """A new token of the server with this state directory."""
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name=role.text, role=role, scope=scope or Scope())
    return text


async def caller(
    stack: AsyncExitStack, service: ServerService, state: Path, role: TokenRole, scope: Scope | None = None
) -> httpx2.AsyncClient:
    """Somebody who calls with a token of their own."""
    text = await token(state, role, scope)
    return await stack.enter_async_context(rest_client(service, over_socket=False, token=text))


class Lab:
    """A server with callers of all kinds, see ``open_lab``."""

    admin: httpx2.AsyncClient

    def __init__(self, service: ServerService, stack: AsyncExitStack, state: Path) -> None:
        """``state`` is the directory of the service."""
        self.service = service
        self.stack = stack
        self._state = state

    async def caller(self, role: TokenRole, scope: Scope | None = None) -> httpx2.AsyncClient:
        """Somebody with this role."""
        return await caller(self.stack, self.service, self._state, role, scope)

    async def bank(self, bank_id: int, slots: int = 8) -> RigPeer:
        """A bankd of ours that is connected."""
        return await self.stack.enter_async_context(await connect_bank(self.service, bank_id, slots, is_own=True))

    async def bank_is_gone(self, bank_id: int) -> None:
        """Return when the server has noticed it."""
        runtime = self.service.runtime
        assert runtime is not None
        assert await runtime.changes.until(lambda: runtime.query.bank(bank_id) is None or None, 20)

    async def client(self, client_id: int, *, is_own: bool = False) -> RigPeer:
        """A client that is connected."""
        peer = await connect_client(self.service, client_id, is_own=is_own)
        return await self.stack.enter_async_context(peer)


@asynccontextmanager
async def open_lab(state: Path, *, rest_open: bool = False, keep_imsi: bool = False) -> AsyncIterator[Lab]:
    """A server with its state in ``state``, and an admin; all that was connected to it is closed with it."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_server(state, rest_open=rest_open, keep_imsi=keep_imsi))
        lab = Lab(service, stack, state)
        lab.admin = await lab.caller(TokenRole.ADMIN)
        yield lab


async def serve_mappings(bank: RigPeer, count: int = 1) -> None:
    """Say ok to so many creations and all removals before them."""
    while count:
        event = await bank.receive()
        assert event is not None
        match event.message:
            case CreateMappingReq():
                bank.send(CreateMappingRes(ResultCode.OK), event.tag)
                count -= 1
            case RemoveMappingReq():
                bank.send(RemoveMappingRes(ResultCode.OK), event.tag)
    await bank.settle()


async def obey(client: RigPeer) -> None:
    """Let the client take what it is told of its bankd."""
    await client.expect(ConfigClientBankReq)
    client.send(ConfigClientBankRes(ResultCode.OK), client.tag)
    await client.settle()


def problem(answer: httpx2.Response, status: int, code: str) -> str:
    """Check that this is a refusal (RFC 9457), and return what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert {"title", "detail", "hint"} <= body.keys()
    return str(body["detail"])
