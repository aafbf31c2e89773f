# SPDX-License-Identifier: Apache-2.0
"""What the boards of the virtual SIMtrace2 have, and what CONFIG changes in one slot of them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BoardKind:
    """One kind of board."""

    product_id: int
    slots: int = 1
    has_modem_reset: bool = False
    has_presence: bool = False
    has_mux: bool = False
    measures_voltage: bool = False


#: By the names used in the captured scenarios and descriptors.
BOARD_KINDS: Final = {
    "simtrace": BoardKind(0x60E3),
    "qmod": BoardKind(0x4004, 2, has_modem_reset=True, measures_voltage=True),
    "owhw": BoardKind(0x4001, 2, has_presence=True),
    "octsimtest": BoardKind(0x616D, has_presence=True, has_mux=True),
    "ngff_cardem": BoardKind(0x616E, has_modem_reset=True, has_presence=True),
}


class SlotSettings:
    """Features, multiplexer and polarity of one slot."""

    def __init__(self, kind: BoardKind) -> None:
        self._kind = kind
        self.features = 0
        self.mux_slot = 0
        self._is_high = 1

    def configure(self, payload: bytes) -> bytes:
        """Take a CONFIG of 4, 5 or 6 bytes and return the state in force."""
        # Bits without meaning are masked off.
        self.features = int.from_bytes(payload[:4], "little") & 1
        if len(payload) > 4 and self._kind.has_mux and payload[4] <= 7:
            self.mux_slot = payload[4]
        if len(payload) > 5 and payload[5] & 0x02:
            self._is_high = payload[5] & 0x01
        return self.features.to_bytes(4, "little") + bytes((self.mux_slot, 0x02 | self._is_high))

    def presence_level(self, is_inserted: int) -> int:
        """The level of the presence pin after CARD_INSERT."""
        return self._is_high if is_inserted else 1 - self._is_high
