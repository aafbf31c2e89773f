# SPDX-License-Identifier: Apache-2.0
"""The two resets of a card (ISO/IEC 7816-3, clause 6.2)."""

from enum import Enum


class ResetKind(Enum):
    """How a card is reset."""

    COLD = "cold"  # VCC taken away
    WARM = "warm"  # RST only


__all__ = ["ResetKind"]
