# SPDX-License-Identifier: Apache-2.0
"""A bankd or client that does what a server tells it."""

import asyncio

from remsim.wire.link.engine import Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.server_rig import RigPeer


class ObedientPeer(RigPeer):
    """Takes every mapping, and everything that it is told of its bankd, until it is to be silent."""

    async def obey(self) -> None:
        """Until the server hangs up."""
        while (event := await self._next()) is not None:
            match event.message:
                case rspro.CreateMappingReq():
                    self.send(rspro.CreateMappingRes(ResultCode.OK), event.tag)
                case rspro.RemoveMappingReq():
                    self.send(rspro.RemoveMappingRes(ResultCode.OK), event.tag)
                case rspro.ConfigClientBankReq():
                    self.send(rspro.ConfigClientBankRes(ResultCode.OK), event.tag)
                case _:
                    pass

    async def drained(self) -> None:
        """Return when the server has what was sent."""
        await self._writer.drain()
        await asyncio.sleep(0.05)

    async def _next(self) -> Received | None:
        """Like ``receive``, with any patience."""
        while True:
            try:
                return await self.receive()
            except TimeoutError:
                continue
