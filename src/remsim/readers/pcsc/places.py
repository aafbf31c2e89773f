# SPDX-License-Identifier: Apache-2.0
"""Asks PC/SC where readers are plugged in.

Asking connects to the reader without touching its card, and blocks while another program has a transaction there, so it
is done in a thread of its own.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from remsim.readers.pcsc.scard import Scard
from remsim.readers.pcsc_common import codes, usb
from remsim.readers.pcsc_common.usb import USB_DEVICES
from remsim.readers.pcsc_common.values import ATTR_CHANNEL_ID, LEAVE_CARD, NO_PROTOCOL, SHARE_DIRECT


def find_places(scard: Scard, names: Sequence[str], devices: Path = USB_DEVICES) -> dict[str, str]:
    """USB paths by reader name, of those readers where it can be found out. Blocks for ``usb.PATIENCE_S`` at most."""
    found: dict[str, str] = {}

    def look() -> None:
        code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != codes.SUCCESS:
            return
        for name in names:
            path = usb.place_of(_channel_of(scard, context, name), devices)
            if path is not None:
                found[name] = path
        scard.SCardReleaseContext(context)

    thread = threading.Thread(target=look, name="pcsc-places", daemon=True)
    thread.start()
    thread.join(usb.PATIENCE_S)
    return dict(found)


def _channel_of(scard: Scard, context: int, reader: str) -> bytes:
    code, card, _ = scard.SCardConnect(context, reader, SHARE_DIRECT, NO_PROTOCOL)
    if code != codes.SUCCESS:
        return b""
    code, value = scard.SCardGetAttrib(card, ATTR_CHANNEL_ID)
    scard.SCardDisconnect(card, LEAVE_CARD)
    return bytes(value) if code == codes.SUCCESS else b""
