# SPDX-License-Identifier: Apache-2.0
"""The TPDU messages of one session, bytes to bytes.

Between one client slot and one bank slot a TPDU message differs only in operation tag, lengths and data. The codec
keeps the frames' other bytes ready for every size, so that one exchange costs two comparisons and two joins instead of
a message object for each step. It knows only the DER that this package sends; whatever else arrives is left to the
general decoder, which gives the same result.
"""

from dataclasses import replace
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.messages import tpdu_codec
from remsim.wire.messages.rspro import MAX_COMMAND, NO_FLAGS, TpduCardToModem, TpduModemToCard

_MAX_TAG_BYTES: Final = 4
#: What is in front of the outer length bytes' successor: IPA header, extension byte, SEQUENCE identifier.
_LENGTH_AT: Final = 5
#: Shortest frame of a TPDU message; anything shorter is something else.
_SHORTEST: Final = 40
#: Bytes that the lengths of a frame with the longest data take more than those of one without data.
_MORE_LENGTH_BYTES: Final = 8


class _Shape:
    """Bytes of a frame that do not depend on tag and data, for one size of each."""

    __slots__ = ("data_at", "head", "least_tag", "middle", "tag_at", "tag_end")

    def __init__(self, frame: bytes, tag_at: int, tag_size: int, data_size: int) -> None:
        self.least_tag = _least_tag(tag_size)
        self.tag_at = tag_at
        self.tag_end = tag_at + tag_size
        self.data_at = len(frame) - data_size
        self.head = frame[:tag_at]
        self.middle = frame[self.tag_end : self.data_at]


def _tag_at(frame: bytes) -> int:
    """Where the tag's content bytes start: behind the outer length (1 to 3 bytes), version and tag header."""
    length = frame[_LENGTH_AT]
    return 11 if length < 0x80 else 12 if length == 0x81 else 13


def _least_tag(raw: int) -> int:
    """The smallest tag that DER writes in so many bytes."""
    return 0 if raw == 1 else 0x80 << 8 * (raw - 2)


class SessionCodec:
    """Encoder for one direction and decoder for the other. ``is_bank`` says which end this is."""

    def __init__(self, client: ClientSlot, bank: BankSlot, *, is_bank: bool) -> None:
        self._command = TpduModemToCard(client, bank, NO_FLAGS, b"")
        self._response = TpduCardToModem(bank, client, NO_FLAGS, b"")
        self._is_bank = is_bank
        # By number of tag bytes and length of data.
        self._outgoing: dict[tuple[int, int], _Shape] = {}
        # By length of the frame and number of tag bytes.
        self._incoming: dict[tuple[int, int], _Shape] = {}

    def learn_flags(self, message: TpduModemToCard | TpduCardToModem) -> None:
        """Expect the flags of ``message``, which arrived: they mean nothing, but not every peer sends FALSE."""
        expected = self._command if self._is_bank else self._response
        if type(message) is type(expected) and replace(message, data=b"", flags=NO_FLAGS) == replace(
            expected, flags=NO_FLAGS
        ):
            if isinstance(message, TpduModemToCard):
                self._command = replace(self._command, flags=message.flags)
            else:
                self._response = replace(self._response, flags=message.flags)
            self._incoming.clear()

    def encode(self, tag: int, data: bytes) -> bytes:
        """The frame that carries ``data`` (2..260 bytes) to the other end. ``tag`` must be in range."""
        tag_bytes = tag.to_bytes(tag.bit_length() // 8 + 1, "big")
        key = (len(tag_bytes), len(data))
        shape = self._outgoing.get(key)
        if shape is None:
            self._outgoing[key] = shape = self._shape(*key, is_command=not self._is_bank)
        return b"".join((shape.head, tag_bytes, shape.middle, data))

    def decode(self, frame: bytes) -> tuple[int, bytes] | None:
        """(operation tag, data) if ``frame`` is exactly one frame of this session as we would send it, else None."""
        size = len(frame)
        if size < _SHORTEST:
            return None
        # As in _tag_at, without the call.
        length = frame[_LENGTH_AT]
        tag_size = frame[10 if length < 0x80 else 11 if length == 0x81 else 12]
        shape = self._incoming.get((size, tag_size))
        if shape is None:
            shape = self._learn(size, tag_size)
            if shape is None:
                return None
        tag_at, tag_end, data_at = shape.tag_at, shape.tag_end, shape.data_at
        if not frame.startswith(shape.head) or not frame.startswith(shape.middle, tag_end) or frame[tag_at] & 0x80:
            return None
        tag = int.from_bytes(frame[tag_at:tag_end], "big")
        return None if tag < shape.least_tag else (tag, frame[data_at:])

    def _learn(self, size: int, tag_size: int) -> _Shape | None:
        """The shape of incoming frames of this size, if there is one: their data is as long as the rest leaves."""
        if not 1 <= tag_size <= _MAX_TAG_BYTES:
            return None
        is_command = self._is_bank
        most = size - self._shape(tag_size, 0, is_command=is_command).data_at
        # Above 127 and 255, each of the four nested lengths costs a byte more.
        for data_size in range(min(most, MAX_COMMAND), max(most - _MORE_LENGTH_BYTES, 0) - 1, -1):
            shape = self._shape(tag_size, data_size, is_command=is_command)
            if shape.data_at + data_size == size:
                self._incoming[size, tag_size] = shape
                return shape
        return None

    def _shape(self, tag_size: int, data_size: int, *, is_command: bool) -> _Shape:
        # Which tag of that many bytes stands there does not matter.
        tag = _least_tag(tag_size)
        message = replace(self._command if is_command else self._response, data=bytes(data_size))
        frame = ipa.encode_rspro(tpdu_codec.encode(tag, message))
        return _Shape(frame, _tag_at(frame), tag_size, data_size)
