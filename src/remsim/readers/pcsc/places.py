# SPDX-License-Identifier: Apache-2.0
"""Asks PC/SC where readers are plugged in.

Asking connects to the reader without touching its card, and blocks while another program has a transaction there, so it
is done in threads of their own.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.readers.pcsc.scard import Scard
from remsim.readers.pcsc_common import codes, usb
from remsim.readers.pcsc_common.usb import USB_DEVICES, PlaceAnswers
from remsim.readers.pcsc_common.values import ATTR_CHANNEL_ID, LEAVE_CARD, NO_PROTOCOL, SHARE_DIRECT

#: More would take many of the connections that pcscd has for its clients.
_AT_ONCE: Final = 16


def find_places(scard: Scard, names: Sequence[str], devices: Path = USB_DEVICES) -> PlaceAnswers:
    """Ask each of these readers, 16 at a time. Blocks for ``usb.PATIENCE_S`` at most.

    One that hangs keeps its thread busy, and the others go on.
    """
    answers: dict[str, bytes] = {}
    waiting = deque(names)
    end = time.monotonic() + usb.PATIENCE_S

    def look() -> None:
        code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != codes.SUCCESS:
            return
        while time.monotonic() < end:
            try:
                name = waiting.popleft()
            except IndexError:
                break
            value = _channel_of(scard, context, name)
            if value is not None:
                answers[name] = value
        scard.SCardReleaseContext(context)

    threads = [
        threading.Thread(target=look, name=f"pcsc places {number}", daemon=True)
        for number in range(min(len(names), _AT_ONCE))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    told = dict(answers)
    places = {name: usb.place_of(value, devices) for name, value in told.items()}
    found = {name: place for name, place in places.items() if place is not None}
    return PlaceAnswers(found, frozenset(names).difference(told))


def _channel_of(scard: Scard, context: int, reader: str) -> bytes | None:
    """The value of SCARD_ATTR_CHANNEL_ID; empty: the driver does not know it; None: another program has the reader."""
    code, card, _ = scard.SCardConnect(context, reader, SHARE_DIRECT, NO_PROTOCOL)
    if code != codes.SUCCESS:
        return None if codes.unsigned(code) == codes.E_SHARING_VIOLATION else b""
    code, value = scard.SCardGetAttrib(card, ATTR_CHANNEL_ID)
    scard.SCardDisconnect(card, LEAVE_CARD)
    return bytes(value) if code == codes.SUCCESS else b""
