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

from typing import Final

#: Why a dialled link was lost whose peer had never said anything.
CLOSED_UNHEARD: Final = "closed by the peer before it said anything"
#: What to do where a server's state was looked for, and is not. To make a new one there would be of no use to anybody.
NO_SERVERS_STATE: Final = (
    "give --state DIR of the server, as the user that runs it (of its service: sudo -u remsim-server remsim ... "
    "--state /var/lib/remsim-server); a new server's is made by: remsim server init"
)


class RemsimError(Exception):
    """Base of all errors of this package; ``hint`` says how to fix it, or is empty."""

    #: Exit status of a program that ends because of this error (sysexits are not used: 1 = failed, 2 = usage).
    exit_status = 1
    #: What kind of error it is, for programs that read errors as JSON.
    json_code = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def as_object(self) -> dict[str, dict[str, str]]:
        """The error for JSON, in the form in which the server's REST interface gives its own."""
        return {"error": {"code": self.json_code, "message": str(self), "hint": self.hint}}


class IdRangeError(RemsimError, ValueError):
    """A bank, client or slot number outside 0..1023 (RSPRO: BankId, ClientId, SlotNumber)."""

    exit_status = 2


class ConfigError(RemsimError):
    """Settings that cannot be used: unknown key, wrong type, contradiction, unreadable file."""

    exit_status = 2


class StartError(RemsimError):
    """The program cannot start in this environment; nothing was left half done."""


def reason_of(error: BaseException) -> str:
    """What an error of the system or of a parser says, in words: without number and file name."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
