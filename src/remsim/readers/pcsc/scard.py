# SPDX-License-Identifier: Apache-2.0
"""What is used of PC/SC, and where it comes from: pyscard, imported only when a PC/SC reader is wanted."""

from typing import Final, Protocol

from remsim.core.installation import install_command
from remsim.readers.errors import ReaderUnavailableError

#: Names of PC/SC (pcsc-lite's pcsclite.h); the values are the same everywhere.
STATE_UNAWARE: Final = 0x0000
STATE_CHANGED: Final = 0x0002
STATE_UNKNOWN: Final = 0x0004
STATE_UNAVAILABLE: Final = 0x0008
STATE_EMPTY: Final = 0x0010
STATE_PRESENT: Final = 0x0020
STATE_EXCLUSIVE: Final = 0x0080
STATE_INUSE: Final = 0x0100
#: The upper half of a state counts insertions and removals.
COUNTER_SHIFT: Final = 16
#: This "reader" changes when readers come or go.
PNP_NOTIFICATION: Final = "\\\\?PnP?\\Notification"


class Scard(Protocol):
    """The module ``smartcard.scard``, as far as we use it. Every result begins with the return code."""

    SCARD_PCI_T0: int
    SCARD_SCOPE_USER: int

    def SCardEstablishContext(self, scope: int, /) -> tuple[int, int]:  # noqa: N802  # the names are PC/SC's
        ...

    def SCardReleaseContext(self, context: int, /) -> int:  # noqa: N802
        ...

    def SCardCancel(self, context: int, /) -> int:  # noqa: N802
        ...

    def SCardListReaders(self, context: int, groups: list[str], /) -> tuple[int, list[str]]:  # noqa: N802
        ...

    def SCardGetStatusChange(  # noqa: N802
        self, context: int, timeout_ms: int, states: list[tuple[str, int]], /
    ) -> tuple[int, list[tuple[str, int, list[int]]]]: ...

    def SCardConnect(  # noqa: N802
        self, context: int, reader: str, share: int, protocols: int, /
    ) -> tuple[int, int, int]: ...

    def SCardReconnect(  # noqa: N802
        self, card: int, share: int, protocols: int, initialization: int, /
    ) -> tuple[int, int]: ...

    def SCardStatus(self, card: int, /) -> tuple[int, str, int, int, list[int]]:  # noqa: N802
        ...

    def SCardTransmit(self, card: int, pci: int, command: list[int], /) -> tuple[int, list[int]]:  # noqa: N802
        ...

    def SCardGetAttrib(self, card: int, attribute: int, /) -> tuple[int, list[int]]:  # noqa: N802
        ...

    def SCardDisconnect(self, card: int, disposition: int, /) -> int:  # noqa: N802
        ...


def load_scard() -> Scard:
    """Import pyscard. Raises ReaderUnavailableError if it, or the PC/SC library, is not installed."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise ReaderUnavailableError(
            f"PC/SC readers need the Python package 'pyscard': {error}",
            hint=f"install it: {install_command('pyscard')}; it needs libpcsclite1. Or use --reader pcscd",
        ) from error
    return scard
