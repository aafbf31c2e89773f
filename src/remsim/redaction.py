# SPDX-License-Identifier: Apache-2.0
"""What is secret in which command and answer. The one place that knows; logs, traces, GSMTAP, events and the shell's
history ask here.

Never shown: PIN and PUK values, input and output of AUTHENTICATE, keys (in files and on their way to the card). Shown
in part: IMSI and ICCID, enough to tell networks and cards apart. What was read from a file that nobody knows is not
shown at all. Sources: 3GPP TS 31.102, clauses 4 and 7; ETSI TS 102 221, clause 11; GlobalPlatform Card Specification,
clause 11.

Octets keep their places: they become FF, which in a number on a card means "no digit", or ``**`` in text.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from remsim.card.selection import Path, SelectionTracker, Step, channel_of

FILL: Final = 0xFF
HIDDEN_TEXT: Final = "**"

_HEADER: Final = 5
_STATUS: Final = 2
_GET_RESPONSE: Final = 0xC0
_READ_BINARY, _UPDATE_BINARY = 0xB0, 0xD6

#: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK.
_PIN: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C})
#: AUTHENTICATE or RUN GSM ALGORITHM, its chained form, GET IDENTITY (a SUCI of the null scheme holds the IMSI), MANAGE
#: SECURE CHANNEL.
_SECRET_BOTH_WAYS: Final = frozenset({0x88, 0x89, 0x78, 0x73})
#: In proprietary classes: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, PSO, PUT KEY, STORE DATA.
_SECRET_OF_THE_CARD: Final = frozenset({0x50, 0x82, 0x2A, 0xD8, 0xE2})
#: READ, UPDATE, SEARCH in their forms, and RETRIEVE and SET DATA: they move what is in a file.
_FILE_DATA: Final = frozenset({0xB0, 0xB1, 0xB2, 0xB3, 0xA2, 0xCB, 0xD6, 0xD7, 0xDC, 0xDD, 0xDB})

#: Files with keys: Keys, KeysPS, Kc, KcGPRS, EPSNSC, 5GS3GPPNSC, 5GSN3GPPNSC, 5GAUTHKEYS, GBABP, MSK, MUK.
_KEY_FILES: Final = frozenset(
    {0x6F08, 0x6F09, 0x6F20, 0x4F20, 0x6F52, 0x4F52, 0x6FE4, 0x4F03, 0x4F04, 0x4F05, 0x6FD6, 0x6FD7, 0x6FD8}
)
_IMSI, _ICCID = 0x6F07, 0x2FE2
#: Identities in text that contain the IMSI, in an ISIM: IMPI, IMPU; and that of a CSIM.
_TEXT_IDENTITIES: Final = frozenset({0x6F02, 0x6F04})
_OTHER_IDENTITIES: Final = frozenset({0x6F22})

#: Which octets of the file may be seen. IMSI: length, then five digits; its last octet, two digits. ICCID: six digits;
#: its last two octets.
_VISIBLE: Final[dict[Step, frozenset[int]]] = {_IMSI: frozenset({0, 1, 2, 3, 8}), _ICCID: frozenset({0, 1, 2, 8, 9})}

_SPACING: Final = re.compile(r"[\s:,.-]+")
_DIGITS: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)


class Secrecy(Enum):
    """How much of a file's content may be seen."""

    OPEN = 0
    PARTLY = 1
    SECRET = 2


@dataclass(frozen=True, slots=True)
class Masked:
    """Octets, and which of them are hidden, by their indexes."""

    octets: bytes
    hidden: frozenset[int] = frozenset()

    def to_bytes(self) -> bytes:
        """The octets with the hidden ones as FF, for formats of fixed layout."""
        if not self.hidden:
            return self.octets
        return bytes(FILL if index in self.hidden else octet for index, octet in enumerate(self.octets))

    def to_text(self) -> str:
        """Hex with the hidden octets as ``**``."""
        if not self.hidden:
            return self.octets.hex()
        return "".join(
            HIDDEN_TEXT if index in self.hidden else f"{octet:02x}" for index, octet in enumerate(self.octets)
        )


class CardRedactor:
    """Redacts the commands and answers of one card, in their order; starts as after a reset."""

    def __init__(self) -> None:
        self._tracker = SelectionTracker()
        # Channels whose last answer is secret, so that GET RESPONSE brings the rest of it.
        self._is_secret_waiting: set[int] = set()

    def on_reset(self) -> None:
        """The card was reset."""
        self._tracker.on_reset()
        self._is_secret_waiting.clear()

    def exchange(self, tpdu: bytes, response: bytes) -> tuple[Masked, Masked]:
        """What may be shown of a command and its answer (data, SW1, SW2)."""
        if len(tpdu) < _HEADER:
            # No command that we understand: nothing of it is shown.
            return Masked(tpdu, _from(tpdu, 0)), Masked(response, _data_of(response))
        command = self.command(tpdu)
        answer = Masked(response, self._hidden_in_answer(tpdu, response))
        self._tracker.on_exchange(tpdu, response)
        return command, answer

    def command(self, tpdu: bytes) -> Masked:
        """What may be shown of a command that has not been answered yet."""
        if len(tpdu) < _HEADER:
            return Masked(tpdu, _from(tpdu, 0))
        return Masked(tpdu, self._hidden_in_command(tpdu))

    def line(self, text: str) -> str:
        """What may be kept of a line that a person typed: octets in hex like a command, anything else as it is.

        A digit too few is a slip of whoever typed a command, and makes it no less secret.
        """
        digits = "".join(part.removeprefix("0x").removeprefix("0X") for part in _SPACING.split(text.strip()))
        if _DIGITS.fullmatch(digits) is None:
            return text
        masked = self.command(bytes.fromhex(digits[: len(digits) & ~1]))
        return masked.to_text() if masked.hidden else text

    def _hidden_in_command(self, tpdu: bytes) -> frozenset[int]:
        if tpdu[1] in _PIN or _is_secret_both_ways(tpdu):
            return _from(tpdu, _HEADER)
        if tpdu[1] in _FILE_DATA:
            return _hidden_part(tpdu, self._tracker.target(tpdu), _HEADER, len(tpdu))
        return frozenset()

    def _hidden_in_answer(self, tpdu: bytes, response: bytes) -> frozenset[int]:
        channel = channel_of(tpdu[0])
        if tpdu[1] == _GET_RESPONSE:
            return _data_of(response) if channel in self._is_secret_waiting else frozenset()
        self._is_secret_waiting.discard(channel)
        path = self._tracker.target(tpdu)
        is_file = tpdu[1] in _FILE_DATA
        if _is_secret_both_ways(tpdu) or (is_file and _secrecy(path) is not Secrecy.OPEN):
            self._is_secret_waiting.add(channel)
        if _is_secret_both_ways(tpdu):
            return _data_of(response)
        return _hidden_part(tpdu, path, 0, max(0, len(response) - _STATUS)) if is_file else frozenset()


def is_pin_command(tpdu: bytes) -> bool:
    """Whether a command's data, if it has any, are PINs or PUKs."""
    return len(tpdu) >= _HEADER and tpdu[1] in _PIN


def shorten_imsi(imsi: str) -> str:
    """``00101…89``: network, and two digits to tell cards apart."""
    return _shorten(imsi, 5, 2)


def shorten_iccid(iccid: str) -> str:
    """``890044…1234``: issuer, and four digits to tell cards apart."""
    return _shorten(iccid, 6, 4)


def _shorten(number: str, first: int, last: int) -> str:
    # Whatever is too short to be such a number is hidden wholly.
    return f"{number[:first]}…{number[-last:]}" if len(number) > first + last else "…"


def _is_secret_both_ways(tpdu: bytes) -> bool:
    cla, ins = tpdu[0], tpdu[1]
    return ins in _SECRET_BOTH_WAYS or (ins in _SECRET_OF_THE_CARD and cla & 0x80 != 0)


def _secrecy(path: Path | None) -> Secrecy:
    if path is None:
        return Secrecy.SECRET
    file = path[-1]
    if file in _KEY_FILES or file in _TEXT_IDENTITIES or file in _OTHER_IDENTITIES:
        return Secrecy.SECRET
    return Secrecy.PARTLY if file in _VISIBLE else Secrecy.OPEN


def _hidden_part(tpdu: bytes, path: Path | None, start: int, end: int) -> frozenset[int]:
    """Which octets of ``start..end`` are hidden, where the first one is that of the file at the command's offset."""
    secrecy = _secrecy(path)
    if secrecy is Secrecy.OPEN:
        return frozenset()
    if path is None or secrecy is Secrecy.SECRET or tpdu[1] not in (_READ_BINARY, _UPDATE_BINARY):
        return frozenset(range(start, end))
    offset = tpdu[3] if tpdu[2] & 0x80 else tpdu[2] << 8 | tpdu[3]
    visible = _VISIBLE[path[-1]]
    return frozenset(index for index in range(start, end) if index - start + offset not in visible)


def _from(octets: bytes, start: int) -> frozenset[int]:
    return frozenset(range(start, len(octets)))


def _data_of(response: bytes) -> frozenset[int]:
    return frozenset(range(max(0, len(response) - _STATUS)))
