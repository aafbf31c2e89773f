# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a client slot and the hardware that plays its card.

::

    EmulatorError
    ├── BoardFrameError         bytes from a device that are no message of it
    ├── UnsafeFrameError   a message of ours that would hang or confuse the device: always a bug of ours
    └── DeviceError        simtrace2.find: a USB device is away, busy, not permitted or not what it should be
"""

from remsim.core.errors import RemsimError


class EmulatorError(RemsimError):
    """Base of this branch."""


class BoardFrameError(EmulatorError, ValueError):
    """Not a message as the device's protocol describes it. ``data`` are the bytes, for the log."""

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class UnsafeFrameError(EmulatorError, ValueError):
    """A message that must never be sent, although it can be written down."""
