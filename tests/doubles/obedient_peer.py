# SPDX-License-Identifier: Apache-2.0
"""A bankd or client that does what a server tells it."""

import asyncio

from remsim.wire.link.engine import ProbeAnswered, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.server_rig import PATIENCE_S, RigPeer


class ObedientPeer(RigPeer):
    """Takes every mapping, and everything that it is told of its bankd, until it is to be silent."""

    def __init__(self, kind: ComponentType, *, is_own: bool = False, hw_model: str | None = None) -> None:
        super().__init__(kind, is_own=is_own, hw_model=hw_model)
        self._answered = asyncio.Event()

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
        """Return when the server has dealt with what was sent: ``obey`` hears it answer a PING behind it."""
        self._answered.clear()
        self.engine.probe(asyncio.get_running_loop().time(), PATIENCE_S)
        self._flush()
        async with asyncio.timeout(PATIENCE_S):
            await self._answered.wait()

    async def _next(self) -> Received | None:
        """The next message, with any patience; None at the end of the connection."""
        if self._kept:
            return self._kept.popleft()
        while True:
            try:
                event = await self._event()
            except TimeoutError:
                continue
            if isinstance(event, ProbeAnswered):
                self._answered.set()
            elif event is None or isinstance(event, Received):
                return event
