# SPDX-License-Identifier: Apache-2.0
"""Asks pcscd where readers are plugged in, on sockets of its own: it blocks while another program has a transaction.

Connects to the reader without touching its card.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.net.runtime.tasks import all_of
from remsim.readers.errors import ReaderError
from remsim.readers.pcsc_common import codes, usb
from remsim.readers.pcsc_common.usb import PlaceAnswers
from remsim.readers.pcsc_common.values import ATTR_CHANNEL_ID, LEAVE_CARD, NO_PROTOCOL, SHARE_DIRECT
from remsim.readers.pcscd.channel import PcscdChannel
from remsim.readers.pcscd.client import CardReply, CodeReply, ContextReply, DataReply

#: More would take many of the threads that pcscd has for its clients.
_AT_ONCE: Final = 16


async def find_places(path: Path, names: Sequence[str], devices: Path) -> PlaceAnswers:
    """Ask each of these readers, and wait ``usb.PATIENCE_S`` at most. Never raises.

    Each has a socket of its own: one that hangs does not keep the places of the others from us.
    """
    found: dict[str, str] = {}
    unasked = set(names)
    some = asyncio.Semaphore(_AT_ONCE)

    async def ask(name: str) -> None:
        channel = PcscdChannel(path, deadline_s=usb.PATIENCE_S)
        try:
            async with some, asyncio.timeout_at(end):
                await channel.open()
                value = await _channel_of(channel, name)
        except (TimeoutError, ReaderError):
            return
        finally:
            channel.close()
        if value is None:
            return
        unasked.discard(name)
        place = usb.place_of(value, devices)
        if place is not None:
            found[name] = place

    end = asyncio.get_running_loop().time() + usb.PATIENCE_S
    await all_of(*map(ask, names))
    return PlaceAnswers(found, frozenset(unasked))


async def _channel_of(channel: PcscdChannel, reader: str) -> bytes | None:
    """The value of SCARD_ATTR_CHANNEL_ID; empty: the driver does not know it; None: another program has the reader."""
    client = channel.client
    context = (await channel.ask(client.establish(), ContextReply)).context
    try:
        request = client.connect(context, reader, SHARE_DIRECT, NO_PROTOCOL)
    except ValueError:
        # It is not in UTF-8, and what was made of it is too long.
        return b""
    connected = await channel.ask(request, CardReply)
    if connected.code != codes.SUCCESS:
        return None if connected.code == codes.E_SHARING_VIOLATION else b""
    value = await channel.ask(client.attribute(connected.card, ATTR_CHANNEL_ID), DataReply)
    await channel.ask(client.disconnect(connected.card, LEAVE_CARD), CodeReply)
    return value.data
