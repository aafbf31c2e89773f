# SPDX-License-Identifier: Apache-2.0
"""The baseline: what the event loop alone costs. Answers each command with a ready-made frame, understanding nothing.

It has the loop type, socket options and frame sizes of the bankd, and no decoding, decision or card. A process of its
own (``python -m bench.echo_server``), so that it competes for the processor as a bankd does. Says its port on stdout.
"""

import asyncio
import socket
from typing import Final, cast

from bench.frames import SERVER, frame
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.process import raise_open_file_limit
from remsim.wire.messages.rspro import NO_FLAGS, ConnectClientRes, ResultCode, SetAtrReq, SetAtrRes, TpduCardToModem

_HELLO: Final = frame(ConnectClientRes(SERVER, ResultCode.OK)) + frame(SetAtrReq(ClientSlot(1, 0), bytes(22)), 2)
_ATR_TAKEN: Final = frame(SetAtrRes(ResultCode.OK))[-3:]
_ANSWER: Final = frame(TpduCardToModem(BankSlot(1, 0), ClientSlot(1, 0), NO_FLAGS, b"\x90\x00"), 2)


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._is_new = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up like a link."""
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """A connect request first, then the answer to the ATR, then commands one at a time."""
        if self._is_new:
            self._is_new = False
            self._transport.write(_HELLO)
        elif not data.endswith(_ATR_TAKEN):
            self._transport.write(_ANSWER)


async def _main() -> None:
    raise_open_file_limit()
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=4096)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    from bench.loops import run

    run(_main())
