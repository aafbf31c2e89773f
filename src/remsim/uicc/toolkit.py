# SPDX-License-Identifier: Apache-2.0
"""The conversation about proactive commands: announced by 91xx, fetched, answered (ETSI TS 102 223, clause 4.2).

One command is under way at a time; the next is announced after TERMINAL RESPONSE.
"""

from collections import deque
from typing import Final

from remsim.card.errors import TlvError
from remsim.card.status import SW_OK, SW_PROACTIVE
from remsim.card.tlv import parse_tlvs
from remsim.uicc.proactive import display_text
from remsim.uicc.profile.model import ToolkitProfile

_MENU_SELECTION: Final = 0xD3
_ITEM_IDENTIFIER: Final = 0x10
_COMPREHENSION: Final = 0x80


class Conversation:
    """The toolkit's state between two resets."""

    def __init__(self, toolkit: ToolkitProfile) -> None:
        self._toolkit = toolkit
        self._waiting: deque[bytes] = deque()
        self._is_fetched = False

    def reset(self) -> None:
        """The card was reset: the terminal will send its profile again."""
        self._waiting.clear()
        self._is_fetched = False

    @property
    def success_sw(self) -> int:
        """9000, or 91xx while a command waits and none is under way."""
        if self._waiting and not self._is_fetched:
            return SW_PROACTIVE | len(self._waiting[0])
        return SW_OK

    def on_terminal_profile(self) -> None:
        """The terminal can do toolkit: the profile's commands are due."""
        self.reset()
        self._waiting.extend(self._toolkit.commands)

    @property
    def pending(self) -> bytes | None:
        """The command that FETCH would return."""
        return self._waiting[0] if self._waiting and not self._is_fetched else None

    def on_fetched(self) -> None:
        """The pending command was handed out."""
        self._is_fetched = True

    def on_terminal_response(self) -> bool:
        """The command under way is done, whatever its result; False if there is none."""
        if not self._is_fetched:
            return False
        self._waiting.popleft()
        self._is_fetched = False
        return True

    def on_envelope(self, data: bytes) -> None:
        """Something for the toolkit; a chosen menu item makes the card display its text, the rest is ignored."""
        try:
            outer = parse_tlvs(data)
            inner = parse_tlvs(outer[0].value) if outer and outer[0].tag == _MENU_SELECTION else []
        except TlvError:
            return
        chosen = [
            tlv.value[0] for tlv in inner if tlv.tag & ~_COMPREHENSION == _ITEM_IDENTIFIER and len(tlv.value) == 1
        ]
        for item in self._toolkit.menu:
            if item.identifier in chosen and item.text:
                self._waiting.append(display_text(len(self._waiting) + 1, item.text))
