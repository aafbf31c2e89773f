# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a bank slot and its card.

::

    ReaderError
    ├── ReaderUnavailableError    no such reader, reader unplugged, PC/SC service gone
    │   └── ReaderBusyError       another program holds the reader or its card
    ├── CardAbsentError           the reader is there, no card in it
    ├── CardMuteError             a card that gives no ATR or stopped answering (deadline included)
    ├── CardProtocolError         the card or reader cannot exchange T=0 TPDUs
    └── CardTransmissionError     a command failed with unknown outcome; it is never repeated

``code`` keeps the driver's own number (the PC/SC return value) for the log.
"""

from remsim.core.errors import RemsimError


class ReaderError(RemsimError):
    """Base of this branch. ``code`` is the driver's return value, or None."""

    def __init__(self, message: str, *, code: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ReaderUnavailableError(ReaderError):
    """No such reader, or the service behind it is gone."""


class ReaderBusyError(ReaderUnavailableError):
    """The reader is there, and another program holds it."""


class CardAbsentError(ReaderError):
    """There is no card in the reader."""


class CardMuteError(ReaderError):
    """The card gives no ATR, or a deadline passed without an answer."""


class CardProtocolError(ReaderError):
    """Card or reader cannot exchange T=0 TPDUs (a card that speaks T=1 only)."""


class CardTransmissionError(ReaderError):
    """A command failed on its way to the card or back. Whether the card executed it is unknown."""
