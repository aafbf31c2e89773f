# SPDX-License-Identifier: Apache-2.0
"""Captures in files that roll: of one slot (``rolling``), and of all slots of a program (``of_slots``)."""

from remsim.captures.of_slots import SlotCaptures
from remsim.captures.rolling import Rolling, RollingCapture

__all__ = ["Rolling", "RollingCapture", "SlotCaptures"]
