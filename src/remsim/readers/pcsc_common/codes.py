# SPDX-License-Identifier: Apache-2.0
"""PC/SC return codes and what they mean for a slot."""

from typing import Final

from remsim.readers.errors import (
    CardAbsentError,
    CardMuteError,
    CardProtocolError,
    CardTransmissionError,
    ReaderBusyError,
    ReaderError,
    ReaderUnavailableError,
)

SUCCESS: Final = 0
E_CANCELLED: Final = 0x80100002
E_INVALID_PARAMETER: Final = 0x80100004
E_TIMEOUT: Final = 0x8010000A
E_UNKNOWN_READER: Final = 0x80100009
E_SHARING_VIOLATION: Final = 0x8010000B
E_PROTO_MISMATCH: Final = 0x8010000F
E_NO_SERVICE: Final = 0x8010001D
E_NO_READERS_AVAILABLE: Final = 0x8010002E
W_UNSUPPORTED_CARD: Final = 0x80100065

#: Return codes, as unsigned numbers, with the error that they become and their meaning in plain words.
_MEANINGS: Final[dict[int, tuple[type[ReaderError], str]]] = {
    0x80100003: (ReaderUnavailableError, "the PC/SC service was restarted"),
    E_UNKNOWN_READER: (ReaderUnavailableError, "there is no such reader"),
    E_TIMEOUT: (CardMuteError, "the card did not answer in time"),
    E_SHARING_VIOLATION: (ReaderBusyError, "another program uses the card"),
    0x8010000C: (CardAbsentError, "there is no card in the reader"),
    E_PROTO_MISMATCH: (CardProtocolError, "the card does not speak T=0"),
    0x80100010: (ReaderUnavailableError, "the reader is not ready"),
    0x80100013: (ReaderUnavailableError, "the connection to the PC/SC service broke"),
    0x80100016: (CardTransmissionError, "the exchange with the card failed"),
    0x80100017: (ReaderUnavailableError, "the reader is gone"),
    0x8010001C: (CardProtocolError, "the reader does not support this card"),
    E_NO_SERVICE: (ReaderUnavailableError, "the PC/SC service does not run"),
    0x8010001E: (ReaderUnavailableError, "the PC/SC service was stopped"),
    E_NO_READERS_AVAILABLE: (ReaderUnavailableError, "there are no readers"),
    0x8010002F: (ReaderUnavailableError, "the connection to the PC/SC service broke"),
    W_UNSUPPORTED_CARD: (CardProtocolError, "the card's ATR names nothing that the reader supports"),
    0x80100066: (CardMuteError, "the card is mute"),
    0x80100067: (CardMuteError, "the card has lost its power"),
    0x80100068: (CardTransmissionError, "another program has reset the card"),
    0x80100069: (CardAbsentError, "the card was removed"),
    0x8010006A: (ReaderUnavailableError, "access to the reader is not permitted"),
}


def unsigned(code: int) -> int:
    """The return code as in the specification; bindings give it signed or not."""
    return code & 0xFFFFFFFF


def reader_error(code: int, what: str, reader: str, *, atr: bytes = b"") -> ReaderError:
    """The error for return code ``code`` of an attempt to ``what`` (a verb phrase) at ``reader``.

    ``atr`` is shown where it is what somebody needs who looks for the reason.
    """
    code = unsigned(code)
    kind, meaning = _MEANINGS.get(code, (CardTransmissionError, "the PC/SC service reports an error"))
    shown = f", ATR {atr.hex()}" if atr else ""
    return kind(f"cannot {what} in reader {reader!r}: {meaning} (0x{code:08X}{shown})", code=code)


def meaning_of(code: int) -> str:
    """The return code in plain words."""
    return _MEANINGS.get(unsigned(code), (ReaderError, f"PC/SC error 0x{unsigned(code):08X}"))[1]
