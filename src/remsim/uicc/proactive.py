# SPDX-License-Identifier: Apache-2.0
"""Proactive commands as bytes (ETSI TS 102 223, clauses 6.6 and 8; tags with comprehension required).

Encodes what a profile asks for; the conversation is in ``toolkit``.
"""

from typing import Final

from remsim.card.tlv import encode_tlv
from remsim.uicc.profile.fields import Fields
from remsim.uicc.profile.model import MenuItem

_POLL_INTERVAL: Final = 0x03
_SET_UP_EVENT_LIST: Final = 0x05
_DISPLAY_TEXT: Final = 0x21
_SET_UP_MENU: Final = 0x25

_DEVICE_UICC: Final = 0x81
_DEVICE_TERMINAL: Final = 0x82
_DEVICE_DISPLAY: Final = 0x02
_DCS_8_BIT: Final = 0x04

#: Most bytes of one command; what FETCH can return.
MAX_COMMAND: Final = 255

#: Event names of a profile, clause 8.25.
_EVENTS: Final = {
    "mt-call": 0x00,
    "call-connected": 0x01,
    "call-disconnected": 0x02,
    "location-status": 0x03,
    "user-activity": 0x04,
    "idle-screen-available": 0x05,
    "language-selection": 0x07,
    "data-available": 0x09,
    "channel-status": 0x0A,
    "access-technology-change": 0x0B,
    "network-search-mode-change": 0x0E,
    "network-rejection": 0x12,
}


def _proactive(number: int, kind: int, qualifier: int, device: int, *objects: bytes) -> bytes:
    details = encode_tlv(0x81, bytes((number, kind, qualifier)))
    devices = encode_tlv(0x82, bytes((_DEVICE_UICC, device)))
    return encode_tlv(0xD0, details + devices + b"".join(objects))


def display_text(number: int, text: str) -> bytes:
    """DISPLAY TEXT (clause 6.6.1): normal priority, wait for the user."""
    body = bytes((_DCS_8_BIT,)) + text.encode("latin-1", errors="replace")
    return _proactive(number, _DISPLAY_TEXT, 0x80, _DEVICE_DISPLAY, encode_tlv(0x8D, body))


def menu_items(entry: Fields) -> tuple[MenuItem, ...]:
    """The items of a ``set-up-menu`` entry, taken out of it; empty for other entries."""
    return tuple(_menu_item(index, item) for index, item in enumerate(entry.tables("items"), start=1))


def _menu_item(index: int, item: Fields) -> MenuItem:
    result = MenuItem(index, item.text("title"), item.text("text", ""))
    item.finish()
    return result


def encode_profile_command(number: int, entry: Fields, items: tuple[MenuItem, ...]) -> bytes:
    """One ``[[toolkit.commands]]`` entry, its menu items taken out, as a proactive command. Raises ProfileError."""
    kind = entry.text("command")
    if kind == "set-up-menu":
        title = encode_tlv(0x85, entry.text("title").encode("ascii", errors="replace"))
        objects = [
            encode_tlv(0x8F, bytes((item.identifier,)) + item.title.encode("ascii", errors="replace")) for item in items
        ]
        command = _proactive(number, _SET_UP_MENU, 0x00, _DEVICE_TERMINAL, title, *objects)
    elif kind == "set-up-event-list":
        events = entry.texts("events")
        unknown = [event for event in events if event not in _EVENTS]
        if unknown:
            raise entry.fault(f"event {unknown[0]!r} is none of {', '.join(_EVENTS)}")
        listed = encode_tlv(0x99, bytes(_EVENTS[event] for event in events))
        command = _proactive(number, _SET_UP_EVENT_LIST, 0x00, _DEVICE_TERMINAL, listed)
    elif kind == "poll-interval":
        # Clause 8.8: unit 01 is seconds.
        duration = encode_tlv(0x84, bytes((0x01, entry.number("seconds", low=1, high=255))))
        command = _proactive(number, _POLL_INTERVAL, 0x00, _DEVICE_TERMINAL, duration)
    else:
        raise entry.fault(f"command {kind!r} is none of set-up-menu, set-up-event-list, poll-interval")
    if len(command) > MAX_COMMAND:
        raise entry.fault(f"the command has {len(command)} bytes; {MAX_COMMAND} are the most")
    return command
