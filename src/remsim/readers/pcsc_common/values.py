# SPDX-License-Identifier: Apache-2.0
"""Numbers of PC/SC (pcsc-lite's pcsclite.h); the values are the same everywhere."""

from typing import Final

SHARE_EXCLUSIVE: Final = 1
SHARE_SHARED: Final = 2
SHARE_DIRECT: Final = 3
NO_PROTOCOL: Final = 0
PROTOCOL_T0: Final = 1

LEAVE_CARD: Final = 0
RESET_CARD: Final = 1
UNPOWER_CARD: Final = 2

#: How a reader is connected to the host (PC/SC part 3, table 3-1): 0x0020, then bus and address of a USB device.
ATTR_CHANNEL_ID: Final = 0x00020110
#: The ATR of the card.
ATTR_ATR: Final = 0x00090303
