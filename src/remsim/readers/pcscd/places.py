# SPDX-License-Identifier: Apache-2.0
"""Asks pcscd where readers are plugged in, on a socket of its own: it blocks while another program has a transaction.

Connects to the reader without touching its card.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from remsim.readers.errors import ReaderError
from remsim.readers.pcsc_common import codes, usb
from remsim.readers.pcsc_common.values import ATTR_CHANNEL_ID, LEAVE_CARD, NO_PROTOCOL, SHARE_DIRECT
from remsim.readers.pcscd.channel import PcscdChannel
from remsim.readers.pcscd.client import CardReply, CodeReply, ContextReply, DataReply


async def find_places(path: Path, names: Sequence[str], devices: Path) -> dict[str, str]:
    """USB paths by reader name, of those readers where it can be found out within ``usb.PATIENCE_S``. Never raises."""
    found: dict[str, str] = {}
    try:
        async with asyncio.timeout(usb.PATIENCE_S):
            await _look(path, names, devices, found)
    except (TimeoutError, ReaderError):
        return found
    return found


async def _look(path: Path, names: Sequence[str], devices: Path, found: dict[str, str]) -> None:
    channel = PcscdChannel(path, deadline_s=usb.PATIENCE_S)
    try:
        await channel.open()
        context = (await channel.ask(channel.client.establish(), ContextReply)).context
        for name in names:
            place = usb.place_of(await _channel_of(channel, context, name), devices)
            if place is not None:
                found[name] = place
    finally:
        channel.close()


async def _channel_of(channel: PcscdChannel, context: int, reader: str) -> bytes:
    """The value of SCARD_ATTR_CHANNEL_ID; empty: the driver does not know it."""
    client = channel.client
    try:
        request = client.connect(context, reader, SHARE_DIRECT, NO_PROTOCOL)
    except ValueError:
        # It is not in UTF-8, and what was made of it is too long.
        return b""
    connected = await channel.ask(request, CardReply)
    if connected.code != codes.SUCCESS:
        return b""
    value = await channel.ask(client.attribute(connected.card, ATTR_CHANNEL_ID), DataReply)
    await channel.ask(client.disconnect(connected.card, LEAVE_CARD), CodeReply)
    return value.data
