# SPDX-License-Identifier: Apache-2.0
"""The two TPDU messages, fast: every exchange with a card pays one encoding and one decoding on each side.

On one link these messages differ only in operation tag, lengths and data. The bytes between are taken from tables:
those that follow from sizes alone (``_layouts`` to encode, ``_shapes`` to decode), and those of slots and flags seen
before (``_prefixes``, ``_slots``). Decoding takes only the exact DER that encoding would give; anything else is left
to the general decoder. All tables are bounded, whatever a peer sends.

``encode`` and ``decode`` work on PDUs and messages. ``SessionCodec`` knows both slots beforehand, so it goes from frame
to command and from response to frame by two comparisons and two joins, without a message; that is a third of the time.
"""

from typing import Final, NamedTuple

from remsim.core.errors import IdRangeError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.errors import DecodeError, LocalProtocolError
from remsim.wire.messages import ber
from remsim.wire.messages.extensions import MAX_MICROSECONDS
from remsim.wire.messages.rspro import MAX_COMMAND, NO_FLAGS, RsproPdu, TpduCardToModem, TpduFlags, TpduModemToCard

_MODEM_TO_CARD, _CARD_TO_MODEM = 0xAC, 0xAD
_SEQUENCE, _OCTET_STRING, _MSG = b"\x30", 0x04, 0xA2
#: Of the time behind the data of an answer: identifier and length, by the length; the largest number has four bytes.
_TIME: Final = 0x96
_TIME_HEADS: Final = (b"", *(bytes((_TIME, length)) for length in range(1, 5)))
#: The smallest number that DER writes in so many bytes.
_LEAST_IN: Final = (0, 0, 1 << 7, 1 << 15, 1 << 23)
_VERSION_AND_TAG = b"\x80\x01\x02\x81"
_FLAGS_SIZE: Final = 14  # 30 0C and four times 01 01 xx
_SHORTEST: Final = 35  # A shorter PDU cannot hold two slots and the flags.
_MAX_TAG_BYTES: Final = 4

#: Of a frame: the IPA header and the byte that says RSPRO; then the identifier of the outer SEQUENCE, and its length.
_FRAME_HEADER: Final = 4
_LENGTH_AT: Final = 5
#: A shorter frame is none of a TPDU message.
_SHORTEST_FRAME: Final = 40

#: Longer data is legal BER but no TPDU; not worth a table entry.
_LONGEST_DATA: Final = 512
#: A PDU with so much data and the largest numbers.
_LONGEST: Final = 600
#: Up to here the outer length takes one byte, and up to the next two.
_LONGEST_WITH_1, _LONGEST_WITH_2 = 129, 258
#: Slot pairs seen by this process; cleared when full, which costs a general decode per live pair.
_MAX_SLOT_PAIRS: Final = 4096

_LENGTHS: Final = tuple(ber.encode_length(length) for length in range(_LONGEST + 1))


class _Layout(NamedTuple):
    """For given sizes of slots, tag and data, what stands between them."""

    head: bytes  # outer SEQUENCE, version, tag up to its length byte
    mid: bytes  # msg wrapper and alternative, up to the first slot
    data_length: bytes


class _Shape(NamedTuple):
    """For given sizes of PDU and tag, where things are and what must stand there."""

    head: bytes
    mid_at: int
    prefix_at: int
    identifiers: dict[bytes, int]  # by msg wrapper and alternative


class _Slots(NamedTuple):
    client: ClientSlot
    bank: BankSlot
    flags: TpduFlags


_layouts: dict[tuple[int, int, int, int, int], _Layout] = {}
_shapes: dict[tuple[int, int], _Shape | None] = {}
_slots: dict[tuple[int, bytes], _Slots] = {}
_prefixes: dict[tuple[int, int, int, int, int], bytes] = {}


def encode(tag: int, message: TpduModemToCard | TpduCardToModem) -> bytes:
    """DER of a PDU of the current version with this message. ``tag`` must be in range.

    Raises LocalProtocolError if the time is out of range.
    """
    time = b""
    if isinstance(message, TpduModemToCard):
        identifier, client, bank = _MODEM_TO_CARD, message.from_client_slot, message.to_bank_slot
    else:
        identifier, client, bank = _CARD_TO_MODEM, message.to_client_slot, message.from_bank_slot
        if message.bank_us is not None:
            if not 0 <= message.bank_us <= MAX_MICROSECONDS:
                raise LocalProtocolError(f"bankTime: {message.bank_us} is outside 0..{MAX_MICROSECONDS}")
            number = _time_bytes(message.bank_us)
            time = _TIME_HEADS[len(number)] + number
    prefix = _prefix(identifier, client, bank, message.flags)
    data = message.data
    tag_bytes = tag.to_bytes(tag.bit_length() // 8 + 1, "big")
    key = (identifier, len(prefix), len(tag_bytes), len(data), len(time))
    head, mid, data_length = _layouts.get(key) or _layout(*key)
    return b"".join((head, tag_bytes, mid, prefix, data_length, data, time))


def _time_bytes(us: int) -> bytes:
    return us.to_bytes(us.bit_length() // 8 + 1, "big")


def _prefix(identifier: int, client: ClientSlot, bank: BankSlot, flags: TpduFlags) -> bytes:
    """Both slots, the flags and the identifier of the data. Kept for later if no flag is set: nobody sets one."""
    key = (identifier, client.client_id, client.slot_nr, bank.bank_id, bank.slot_nr)
    if flags is NO_FLAGS and (known := _prefixes.get(key)) is not None:
        return known
    client_bytes = _encode_pair(client.client_id, client.slot_nr)
    bank_bytes = _encode_pair(bank.bank_id, bank.slot_nr)
    states = (flags.tpdu_header_present, flags.final_part, flags.proc_byte_continue_tx, flags.proc_byte_continue_rx)
    flag_bytes = ber.encode(0x30, b"".join(ber.encode(0x01, b"\xff" if state else b"\0") for state in states))
    slots = (client_bytes, bank_bytes) if identifier == _MODEM_TO_CARD else (bank_bytes, client_bytes)
    prefix = b"".join((*slots, flag_bytes, bytes((_OCTET_STRING,))))
    if flags == NO_FLAGS:
        if len(_prefixes) >= _MAX_SLOT_PAIRS:
            _prefixes.clear()
        _prefixes[key] = prefix
    return prefix


def _encode_pair(first: int, second: int) -> bytes:
    numbers = ber.encode(0x02, ber.encode_integer(first)) + ber.encode(0x02, ber.encode_integer(second))
    return ber.encode(0x30, numbers)


def _layout(identifier: int, prefix_size: int, tag_size: int, data_size: int, time_size: int) -> _Layout:
    data_length = ber.encode_length(data_size)
    alternative_size = prefix_size + len(data_length) + data_size + time_size
    alternative = bytes((identifier,)) + ber.encode_length(alternative_size)
    mid = bytes((_MSG,)) + ber.encode_length(len(alternative) + alternative_size) + alternative
    size = len(_VERSION_AND_TAG) + 1 + tag_size + len(mid) + alternative_size
    head = _SEQUENCE + ber.encode_length(size) + _VERSION_AND_TAG + bytes((tag_size,))
    layout = _Layout(head, mid, data_length)
    if data_size <= _LONGEST_DATA:
        _layouts[identifier, prefix_size, tag_size, data_size, time_size] = layout
    return layout


def decode(pdu: bytes) -> RsproPdu | None:
    """The PDU if ``pdu`` is the DER of a TPDU message of the current version, else None. Never raises."""
    size = len(pdu)
    if not _SHORTEST <= size <= _LONGEST:
        return None
    tag_at = 7 if size <= _LONGEST_WITH_1 else 8 if size <= _LONGEST_WITH_2 else 9
    key = (size, pdu[tag_at - 1])
    shape = _shapes.get(key)
    if shape is None:
        shape = _learn_shape(*key)
        if shape is None:
            return None
    head, mid_at, prefix_at, identifiers = shape
    identifier = identifiers.get(pdu[mid_at:prefix_at])
    if identifier is None or not pdu.startswith(head) or pdu[tag_at] & 0x80:
        return None
    try:
        second_at = prefix_at + 2 + pdu[prefix_at + 1]
        length_at = second_at + 2 + pdu[second_at + 1] + _FLAGS_SIZE + 1
        length = pdu[length_at]
    except IndexError:
        return None
    data_at = length_at + (1 if length < 0x80 else 2 if length == 0x81 else 3)
    end, bank_us = size, None
    if not pdu.startswith(_LENGTHS[size - data_at], length_at):
        # The time may stand behind the data of an answer.
        size_of_data = length if length < 0x80 else int.from_bytes(pdu[length_at + 1 : data_at])
        end = data_at + size_of_data
        number = pdu[end + 2 :]
        if (
            identifier != _CARD_TO_MODEM
            or not 1 <= len(number) <= 4
            or not pdu.startswith(_TIME_HEADS[len(number)], end)
        ):
            return None
        bank_us = int.from_bytes(number)
        if (
            number[0] & 0x80
            or (bank_us < _LEAST_IN[len(number)])
            or not pdu.startswith(_LENGTHS[size_of_data], length_at)
        ):
            return None
    prefix = pdu[prefix_at:length_at]
    slots = _slots.get((identifier, prefix)) or _learn_slots(identifier, prefix)
    if slots is None:
        return None
    client, bank, flags = slots
    tag = int.from_bytes(pdu[tag_at:mid_at], "big")
    if identifier == _MODEM_TO_CARD:
        return RsproPdu(tag, TpduModemToCard(client, bank, flags, pdu[data_at:]))
    return RsproPdu(tag, TpduCardToModem(bank, client, flags, pdu[data_at:end], bank_us))


def _learn_shape(size: int, tag_size: int) -> _Shape | None:
    """The shape of PDUs of this size with so many bytes of tag, None if DER has no such PDU."""
    if not 1 <= tag_size <= _MAX_TAG_BYTES:
        return None
    inner = _message_size(size, tag_size)
    if inner is None:
        return None
    outer, wrapper = _content_size(size), inner + 1 + len(ber.encode_length(inner))
    head = _SEQUENCE + ber.encode_length(outer) + _VERSION_AND_TAG + bytes((tag_size,))
    wrapper_bytes, inner_bytes = bytes((_MSG,)) + ber.encode_length(wrapper), ber.encode_length(inner)
    mids = {wrapper_bytes + bytes((i,)) + inner_bytes: i for i in (_MODEM_TO_CARD, _CARD_TO_MODEM)}
    shape = _Shape(head, len(head) + tag_size, size - inner, mids)
    _shapes[size, tag_size] = shape
    return shape


def _message_size(size: int, tag_size: int) -> int | None:
    """How much content the message has in a PDU of this size with so many bytes of tag, None if DER has no such PDU."""
    outer = _content_size(size)
    wrapper = _content_size(outer - len(_VERSION_AND_TAG) - 1 - tag_size)
    inner = _content_size(wrapper)
    return None if min(outer, wrapper, inner) < 0 else inner


def _content_size(size: int) -> int:
    """How much content an element of ``size`` bytes with one identifier byte has; -1 if there is none."""
    content = size - (2 if size <= _LONGEST_WITH_1 else 3 if size <= _LONGEST_WITH_2 else 4)
    return content if content >= 0 and 1 + len(ber.encode_length(content)) + content == size else -1


def _learn_slots(identifier: int, prefix: bytes) -> _Slots | None:
    """Read the slot bytes once, if they are the DER that ``_prefix`` gives."""
    try:
        first, pos = ber.parse(prefix)
        second, used = ber.parse(prefix[pos:])
        flags = ber.parse(prefix[pos + used :])[0]
        numbers = [ber.decode_integer(e.value) for pair in (first, second) for e in pair.children or []]
        states = [e.value == b"\xff" for e in flags.children or []]
        if len(numbers) != 4 or len(states) != 4:
            return None
        client, bank = (numbers[:2], numbers[2:]) if identifier == _MODEM_TO_CARD else (numbers[2:], numbers[:2])
        slots = _Slots(ClientSlot(*client), BankSlot(*bank), TpduFlags(*states))
    except (DecodeError, IdRangeError):
        return None
    if slots.flags == NO_FLAGS:
        slots = slots._replace(flags=NO_FLAGS)
    if _prefix(identifier, *slots) != prefix:
        return None
    if len(_slots) >= _MAX_SLOT_PAIRS:
        _slots.clear()
    _slots[identifier, prefix] = slots
    return slots


# Of one session


class _Frames:
    """What does not depend on tag and data in the frames of one session, for one size of each."""

    __slots__ = ("data_at", "head", "least_tag", "middle", "tag_at", "tag_end")

    def __init__(self, frame: bytes, tag_at: int, tag_size: int, data_size: int) -> None:
        #: The smallest tag that DER writes in so many bytes.
        self.least_tag = 0 if tag_size == 1 else 0x80 << 8 * (tag_size - 2)
        self.tag_at = tag_at
        self.tag_end = tag_at + tag_size
        self.data_at = len(frame) - data_size
        self.head = frame[:tag_at]
        self.middle = frame[self.tag_end : self.data_at]


class SessionCodec:
    """Encoder for one direction and decoder for the other. ``is_bank`` says which end this is."""

    def __init__(self, client: ClientSlot, bank: BankSlot, *, is_bank: bool) -> None:
        self._client, self._bank = client, bank
        self._sends, self._takes = (_CARD_TO_MODEM, _MODEM_TO_CARD) if is_bank else (_MODEM_TO_CARD, _CARD_TO_MODEM)
        self._sent_prefix = _prefix(self._sends, client, bank, NO_FLAGS)
        self._taken_prefix = _prefix(self._takes, client, bank, NO_FLAGS)
        # By number of tag bytes and length of data.
        self._outgoing: dict[tuple[int, int], _Frames] = {}
        # And by length of the time.
        self._timed: dict[tuple[int, int, int], _Frames] = {}
        # By length of the frame and number of tag bytes.
        self._incoming: dict[tuple[int, int], _Frames] = {}
        # The tag that came last, which is mostly the next to be sent, and its bytes.
        self._tag, self._tag_bytes = 0, b"\0"

    def learn_flags(self, message: TpduModemToCard | TpduCardToModem) -> None:
        """Expect the flags of ``message``, which arrived: they mean nothing, but not every peer sends FALSE."""
        if isinstance(message, TpduModemToCard):
            found = (_MODEM_TO_CARD, message.from_client_slot, message.to_bank_slot)
        else:
            found = (_CARD_TO_MODEM, message.to_client_slot, message.from_bank_slot)
        if found != (self._takes, self._client, self._bank):
            return
        prefix = _prefix(*found, message.flags)
        if prefix != self._taken_prefix:
            self._taken_prefix = prefix
            self._incoming.clear()

    def encode(self, tag: int, data: bytes) -> bytes:
        """The frame that carries ``data`` (2..260 bytes) to the other end. ``tag`` must be in range."""
        tag_bytes = self._tag_bytes if tag == self._tag else tag.to_bytes(tag.bit_length() // 8 + 1, "big")
        key = (len(tag_bytes), len(data))
        frames = self._outgoing.get(key)
        if frames is None:
            self._outgoing[key] = frames = _frames(self._sends, self._sent_prefix, *key)
        return b"".join((frames.head, tag_bytes, frames.middle, data))

    def encode_timed(self, tag: int, data: bytes, us: int) -> bytes:
        """``encode`` for an answer that says how long the bankd had the command: 0 to 2147483647 microseconds."""
        tag_bytes = self._tag_bytes if tag == self._tag else tag.to_bytes(tag.bit_length() // 8 + 1, "big")
        number = us.to_bytes(us.bit_length() // 8 + 1, "big")
        key = (len(tag_bytes), len(data), len(number))
        frames = self._timed.get(key)
        if frames is None:
            self._timed[key] = frames = _frames(self._sends, self._sent_prefix, *key)
        return b"".join((frames.head, tag_bytes, frames.middle, data, _TIME_HEADS[key[2]], number))

    def decode(self, frame: bytes) -> tuple[int, bytes] | None:
        """(operation tag, data) if ``frame`` is exactly one frame of this session as we would send it, else None.

        One that says how long the bankd had the command is left to the general decoder.
        """
        size = len(frame)
        if size < _SHORTEST_FRAME:
            return None
        # The tag's own length stands behind the outer one (1 to 3 bytes), the version and the tag's identifier.
        length = frame[_LENGTH_AT]
        tag_size = frame[10 if length < 0x80 else 11 if length == 0x81 else 12]
        frames = self._incoming.get((size, tag_size)) or self._learn(size, tag_size)
        if frames is None:
            return None
        tag_at, tag_end, data_at = frames.tag_at, frames.tag_end, frames.data_at
        if not frame.startswith(frames.head) or not frame.startswith(frames.middle, tag_end) or frame[tag_at] & 0x80:
            return None
        tag_bytes = frame[tag_at:tag_end]
        tag = int.from_bytes(tag_bytes, "big")
        if tag < frames.least_tag:
            return None
        self._tag, self._tag_bytes = tag, tag_bytes
        return tag, frame[data_at:]

    def _learn(self, size: int, tag_size: int) -> _Frames | None:
        """What incoming frames of this size look like, if there are any: their data is as long as the rest leaves."""
        if not 1 <= tag_size <= _MAX_TAG_BYTES or size > _LONGEST:
            return None
        inner = _message_size(size - _FRAME_HEADER, tag_size)
        # The prefix ends with the data's identifier.
        data_size = -1 if inner is None else _content_size(inner - len(self._taken_prefix) + 1)
        if not 0 <= data_size <= MAX_COMMAND:
            return None
        frames = _frames(self._takes, self._taken_prefix, tag_size, data_size)
        self._incoming[size, tag_size] = frames
        return frames


def _frames(identifier: int, prefix: bytes, tag_size: int, data_size: int, number_size: int = 0) -> _Frames:
    time_size = len(_TIME_HEADS[number_size]) + number_size
    key = (identifier, len(prefix), tag_size, data_size, time_size)
    head, mid, data_length = _layouts.get(key) or _layout(*key)
    rest_size = data_size + time_size
    frame = ipa.encode_rspro(b"".join((head, bytes(tag_size), mid, prefix, data_length, bytes(rest_size))))
    return _Frames(frame, _FRAME_HEADER + len(head), tag_size, rest_size)
