# SPDX-License-Identifier: Apache-2.0
"""What is secret in which command and answer. The one place that knows: logs, GSMTAP and the shell's history ask here.

Never shown: PIN and PUK values, input and output of AUTHENTICATE, keys (in files and on their way to the card), what
passes in toolkit commands, files with short messages, numbers, names and places (``card.private_files`` has the list),
and whatever belongs to a command that is malformed or of a kind that is not known here.
Shown in part: IMSI and ICCID, enough to tell networks and cards apart. What was read from a file that nobody knows is
not shown at all. Sources: 3GPP TS 31.102, clauses 4 and 7; ETSI TS 102 221, clause 11; ETSI TS 102 223, clause 6;
GlobalPlatform Card Specification, clause 11.

Bytes keep their places: they become FF, which in a number on a card means "no digit", or ``**`` in text. In a trace,
tags and lengths of toolkit data stay, so that programs can still take them apart. For texts
that were not made to be shown, such as those of exceptions, ``scrub`` takes out what may be bytes of a card.
"""

import re
from enum import Enum
from typing import Final, Self

from remsim.card.atr import mend_atr
from remsim.card.class_byte import Family, class_byte
from remsim.card.private_files import is_private
from remsim.card.selection import Path, SelectionTracker, Step, is_success
from remsim.card.tpdu import HEADER_LENGTH, is_well_formed, tpdu_of_apdu
from remsim.core.values import dataclass

FILL: Final = 0xFF
HIDDEN_TEXT: Final = "**"

_STATUS: Final = 2
_GET_RESPONSE: Final = 0xC0
_READ_BINARY, _UPDATE_BINARY = 0xB0, 0xD6

#: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK.
_PIN: Final = frozenset({0x20, 0x24, 0x26, 0x28, 0x2C})
#: READ, UPDATE, SEARCH in their forms, INCREASE, and RETRIEVE and SET DATA: they move what is in a file.
_FILE_DATA: Final = frozenset({0xB0, 0xB1, 0xB2, 0xB3, 0xA2, 0x32, 0xCB, 0xD6, 0xD7, 0xDC, 0xDD, 0xDB})
#: In proprietary classes the others belong to applications: B0 is READ FILE of IoT SAFE, whose data name the file.
_PROPRIETARY_FILE_DATA: Final = frozenset({0x32, 0xCB, 0xDB})
#: SELECT, STATUS, MANAGE CHANNEL, TERMINAL PROFILE, TERMINAL CAPABILITY, (DE)ACTIVATE FILE, EXCHANGE CAPABILITIES,
#: SLEEP: names of files, and what somebody is able to do.
_OPEN: Final = frozenset({0xA4, 0xF2, 0x70, 0x10, 0xAA, 0x04, 0x44, 0x7A, 0xFA})
#: They carry short messages, numbers, places, and what the user typed.
_FETCH, _TERMINAL_RESPONSE, _ENVELOPE = 0x12, 0x14, 0xC2
_TOOLKIT: Final = frozenset({_FETCH, _TERMINAL_RESPONSE, _ENVELOPE})

#: The tag of a COMPREHENSION-TLV in three bytes begins so (ETSI TS 101 220, clause 7.1.1.1).
_LONG_TAG: Final = 0x7F
#: A command of T=0 has no more than 255 bytes of data, an answer 256.
_MAX_LENGTH_BYTES: Final = 2

_ICCID, _IMSI = 0x2FE2, 0x6F07
#: Which bytes of the file may be seen. IMSI: length, then five digits; its last byte, two digits. ICCID: six digits;
#: its last two bytes.
_VISIBLE: Final[dict[Step, frozenset[int]]] = {_IMSI: frozenset({0, 1, 2, 3, 8}), _ICCID: frozenset({0, 1, 2, 8, 9})}

#: A literal of bytes in text, as repr() writes it; reprlib cuts out its middle, not its ends.
_LITERAL: Final = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
#: Bytes in hex or decimal: eight digits may be a PIN of four. What is behind 0x is an address in memory, and a part of
#: a word is none of them.
_BYTES: Final = re.compile(
    r"(?<![0-9A-Za-z_])(?:[0-9A-Fa-f]{8,}|(?:[0-9A-Fa-f]{2}[ :]){3,}[0-9A-Fa-f]{2})(?![0-9A-Za-z_])"
    r"|\[[0-9]{1,3}(?:, [0-9]{1,3}){3,}\]",
    re.ASCII,
)
#: What directly precedes the ATR of a card in our texts. An ATR is no secret: every reader shows it.
_ATR_LABEL: Final = "ATR "
#: An access token: its ID may be seen, its secret not.
_TOKEN: Final = re.compile(r"(remsim_[0-9a-f]{12}_)[a-z2-7]{52}", re.ASCII)


class Secrecy(Enum):
    """How much of a file's content may be seen."""

    OPEN = 0
    PARTLY = 1
    SECRET = 2


@dataclass(frozen=True, slots=True)
class Masked:
    """Bytes, and which of them are hidden, by their indexes."""

    raw: bytes
    hidden: frozenset[int] = frozenset()
    #: Tags and lengths among the hidden ones: they hold no value, and without them the rest cannot be taken apart.
    structure: frozenset[int] = frozenset()

    def to_bytes(self) -> bytes:
        """The bytes with the hidden ones as FF but for their structure, for formats that programs read."""
        if not self.hidden:
            return self.raw
        values = self.hidden - self.structure
        return bytes(FILL if index in values else byte for index, byte in enumerate(self.raw))

    def to_text(self) -> str:
        """Hex with the hidden bytes as ``**``."""
        if not self.hidden:
            return self.raw.hex()
        return "".join(HIDDEN_TEXT if index in self.hidden else f"{byte:02x}" for index, byte in enumerate(self.raw))


class CardRedactor:
    """Redacts the commands and answers of one card, in their order; starts as after a reset."""

    def __init__(self, tracker: SelectionTracker | None = None) -> None:
        """``tracker`` knows what is selected; without it, the card has just been reset."""
        self._tracker = SelectionTracker() if tracker is None else tracker
        # Where GET RESPONSE brings the rest of an answer that is no secret: on the channel of the exchange directly
        # before. Cards differ in what they keep over another command, so after that it may bring anything.
        self._open_channel: int | None = None

    @classmethod
    def midway(cls) -> Self:
        """One that joins a card in use: what is selected is not known, so what files hold is hidden until it is."""
        return cls(SelectionTracker.midway())

    def copy(self) -> Self:
        """Another one that knows the same, but for what a GET RESPONSE would bring now, which it hides."""
        tracker = SelectionTracker()
        tracker.restore(self._tracker.saved())
        return type(self)(tracker)

    def file_of(self, tpdu: bytes) -> Path | None:
        """The file with whose data a command deals; None if it deals with none, or that is not known."""
        return self._tracker.target(tpdu) if is_well_formed(tpdu) and _moves_file_data(tpdu) else None

    def on_reset(self) -> None:
        """The card was reset."""
        self._tracker.on_reset()
        self._open_channel = None

    def exchange(self, tpdu: bytes, response: bytes) -> tuple[Masked, Masked]:
        """What may be shown of a command and its answer (data, SW1, SW2)."""
        command = self.command(tpdu)
        answer = Masked(response, self._hidden_in_answer(tpdu, response), self._structure_of_answer(tpdu, response))
        self._tracker.on_exchange(tpdu, response)
        return command, answer

    def command(self, tpdu: bytes) -> Masked:
        """What may be shown of a command that has not been answered yet."""
        return Masked(tpdu, self._hidden_in_command(tpdu), self._structure_of_command(tpdu))

    def _structure_of_command(self, tpdu: bytes) -> frozenset[int]:
        if len(tpdu) < HEADER_LENGTH or tpdu[1] not in (_TERMINAL_RESPONSE, _ENVELOPE) or not is_well_formed(tpdu):
            return frozenset()
        if not self._tracker.is_whole(tpdu):
            return frozenset()
        return toolkit_structure(tpdu, HEADER_LENGTH, has_template=tpdu[1] == _ENVELOPE)

    def _structure_of_answer(self, tpdu: bytes, response: bytes) -> frozenset[int]:
        if len(tpdu) < HEADER_LENGTH or tpdu[1] != _FETCH or not is_well_formed(tpdu):
            return frozenset()
        if not self._tracker.is_whole(tpdu):
            return frozenset()
        return toolkit_structure(response[:-_STATUS], 0, has_template=True)

    def _hidden_in_command(self, tpdu: bytes) -> frozenset[int]:
        if not is_well_formed(tpdu):
            # Where its header ends, and whether it has one, nobody can tell: somebody's PIN may stand there.
            return _from(tpdu, 0)
        ins = tpdu[1]
        if _moves_file_data(tpdu):
            return self._hidden_part(tpdu, HEADER_LENGTH, len(tpdu))
        if ins in _OPEN:
            return frozenset()
        data = tpdu[HEADER_LENGTH:]
        return _from(tpdu, HEADER_LENGTH + (_visible_of_toolkit(ins, data) if ins in _TOOLKIT else 0))

    def _hidden_in_answer(self, tpdu: bytes, response: bytes) -> frozenset[int]:
        open_channel, self._open_channel = self._open_channel, None
        if not is_well_formed(tpdu):
            return _data_of(response)
        channel, ins = class_byte(tpdu[0]).channel, tpdu[1]
        if ins == _GET_RESPONSE:
            if channel != open_channel:
                return _data_of(response)
            self._open_channel = channel
            return frozenset()
        is_file = _moves_file_data(tpdu)
        path = self._tracker.target(tpdu) if is_file else None
        if ins in _OPEN or (is_file and _secrecy(path) is Secrecy.OPEN):
            # What a card refuses it may not have looked at, and still keep what it had.
            if is_success(int.from_bytes(response[-_STATUS:])):
                self._open_channel = channel
            return frozenset()
        if is_file:
            return self._hidden_part(tpdu, 0, max(0, len(response) - _STATUS))
        seen = _visible_of_toolkit(ins, response[:-_STATUS]) if ins == _FETCH else 0
        return frozenset(index for index in _data_of(response) if index >= seen)

    def _hidden_part(self, tpdu: bytes, start: int, end: int) -> frozenset[int]:
        """Which bytes of ``start..end`` are hidden, where the first one is that of the file at the command's offset."""
        path = self._tracker.target(tpdu)
        secrecy = _secrecy(path)
        if secrecy is Secrecy.OPEN:
            return frozenset()
        is_in_place = tpdu[1] in (_READ_BINARY, _UPDATE_BINARY) and self._tracker.is_whole(tpdu)
        if path is None or secrecy is Secrecy.SECRET or not is_in_place:
            return frozenset(range(start, end))
        offset = tpdu[3] if tpdu[2] & 0x80 else tpdu[2] << 8 | tpdu[3]
        visible = _VISIBLE[path[-1]]
        return frozenset(index for index in range(start, end) if index - start + offset not in visible)


def is_pin_command(tpdu: bytes) -> bool:
    """Whether a command's data, if it has any, are PINs or PUKs."""
    return len(tpdu) >= HEADER_LENGTH and tpdu[1] in _PIN


def may_be_secret(apdu: bytes) -> bool:
    """Whether a command that a person typed may hold a secret, whatever is selected on the card."""
    tpdu = tpdu_of_apdu(apdu)
    if not is_well_formed(tpdu):
        return True
    return len(tpdu) > HEADER_LENGTH and tpdu[1] not in _OPEN


def shorten_imsi(imsi: str) -> str:
    """``00101…89``: network, and two digits to tell cards apart."""
    return _shorten(imsi, 5, 2)


def shorten_iccid(iccid: str) -> str:
    """``890044…1234``: issuer, and four digits to tell cards apart."""
    return _shorten(iccid, 6, 4)


def shorten_eid(eid: str) -> str:
    """``89049032…0018``: who made the eUICC, and four digits to tell eUICCs apart."""
    return _shorten(eid, 8, 4)


def mask_tokens(text: str) -> str:
    """The text with the secrets of access tokens taken out."""
    return _TOKEN.sub(r"\1…", text) if "remsim_" in text else text


def mask_literals(text: str) -> str:
    """The text with literals of bytes taken out, which come from a repr that was not made to be shown."""
    return _LITERAL.sub("<bytes>", text) if "b'" in text or 'b"' in text else text


def scrub(text: str) -> str:
    """A text that somebody else wrote, or an exception carries, with all taken out that may be bytes of a card.

    An ATR that is called one stays.
    """
    return _BYTES.sub(_hide_bytes, mask_literals(mask_tokens(text)))


def _hide_bytes(found: re.Match[str]) -> str:
    before, digits = found.string[: found.start()], found[0]
    return digits if before.endswith(_ATR_LABEL) and _is_atr(digits) else "<bytes>"


def _is_atr(digits: str) -> bool:
    """Whether this is an ATR as readers deliver it: without TCK, or with two more bytes at most; and nothing longer."""
    try:
        atr = bytes.fromhex(digits)
        return -1 <= len(atr) - len(mend_atr(atr)) <= 2
    except ValueError:
        return False


def _shorten(number: str, first: int, last: int) -> str:
    # Whatever is too short to be such a number is hidden wholly.
    return f"{number[:first]}…{number[-last:]}" if len(number) > first + last else "…"


def _moves_file_data(tpdu: bytes) -> bool:
    is_proprietary = class_byte(tpdu[0]).family is Family.PROPRIETARY
    return tpdu[1] in (_PROPRIETARY_FILE_DATA if is_proprietary else _FILE_DATA)


def _secrecy(path: Path | None) -> Secrecy:
    if path is None or is_private(path):
        return Secrecy.SECRET
    if isinstance(path[-1], str):
        # An application that was selected by its AID, with files that only it knows.
        return Secrecy.SECRET
    return Secrecy.PARTLY if path[-1] in _VISIBLE else Secrecy.OPEN


def _visible_of_toolkit(ins: int, data: bytes) -> int:
    """How many bytes at the beginning say what kind of toolkit command this is, and to whom, and nothing else.

    ETSI TS 102 223, clauses 6.6, 6.8 and 7: a proactive command begins with its template's tag and length, an envelope,
    too; then, and in a response at once, come command details and device identities, and in a response the result.
    """
    start = 0 if ins == _TERMINAL_RESPONSE else 3 if data[1:2] == b"\x81" else 2
    if len(data) < start:
        return 0
    if ins == _ENVELOPE:
        return start
    for tag, length in ((0x01, 3), (0x02, 2), *(((0x03, 1),) if ins == _TERMINAL_RESPONSE else ())):
        found = data[start : start + 2 + length]
        if len(found) < 2 + length or found[0] & 0x7F != tag or found[1] < length:
            break
        start += len(found)
        if found[1] > length:
            break
    return start


def toolkit_structure(data: bytes, start: int, *, has_template: bool) -> frozenset[int]:
    """The indexes of all tags and lengths of toolkit data from ``start`` on; none unless they fit to the very end.

    ETSI TS 101 220, clause 7.1: a BER-TLV template, where there is one, around COMPREHENSION-TLVs.
    """
    found: set[int] = set()
    position = start
    while position < len(data):
        value = _value_begins(data, position)
        if value is None:
            return frozenset()
        begin, length = value
        found.update(range(position, begin))
        is_template = has_template and position == start
        if begin + length > len(data) or (is_template and begin + length != len(data)):
            return frozenset()
        position = begin if is_template else begin + length
    return frozenset(found)


def _value_begins(data: bytes, position: int) -> tuple[int, int] | None:
    """Where the value of the object at ``position`` begins, and its length; None if its head is cut short or wrong."""
    length_at = position + (3 if data[position] == _LONG_TAG else 1)
    first = data[length_at] if length_at < len(data) else 0xFF
    if first < 0x80:
        return length_at + 1, first
    count = first & 0x7F
    begin = length_at + 1 + count
    if not 1 <= count <= _MAX_LENGTH_BYTES or begin > len(data):
        return None
    return begin, int.from_bytes(data[length_at + 1 : begin])


def _from(raw: bytes, start: int) -> frozenset[int]:
    return frozenset(range(start, len(raw)))


def _data_of(response: bytes) -> frozenset[int]:
    return frozenset(range(max(0, len(response) - _STATUS)))
