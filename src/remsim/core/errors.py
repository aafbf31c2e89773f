# SPDX-License-Identifier: Apache-2.0
"""The root of the exception tree.

::

    RemsimError
    ├── IdRangeError            ids: a bank, client or slot number out of range
    ├── ConfigError             config: unreadable, unknown or contradictory settings
    ├── StartError              a program cannot start: port in use, no pcscd, no database
    ├── wire.errors.*           what a peer sent, or what we were about to send, is not RSPRO
    ├── card.errors.*           ATR, APDU or TPDU that is none
    └── readers.errors.*        a reader or its card failed

Every error that reaches a person is one line (``str(error)``) plus a hint that says what to do.
"""


class RemsimError(Exception):
    """Base of all errors of this package; ``hint`` says how to fix it, or is empty."""

    #: Exit status of a program that ends because of this error (sysexits are not used: 1 = failed, 2 = usage).
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class IdRangeError(RemsimError, ValueError):
    """A bank, client or slot number outside 0..1023 (RSPRO: BankId, ClientId, SlotNumber)."""

    exit_status = 2


class ConfigError(RemsimError):
    """Settings that cannot be used: unknown key, wrong type, contradiction, unreadable file."""

    exit_status = 2


class StartError(RemsimError):
    """The program cannot start in this environment; nothing was left half done."""
