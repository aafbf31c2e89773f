# SPDX-License-Identifier: Apache-2.0
"""The two TPDU messages, fast: every exchange with a card pays one encoding and one decoding on each side.

On one link these messages differ only in operation tag, lengths and data. The octets between are taken from tables:
``_layouts`` holds identifiers and lengths for given sizes, ``_slots`` the values of slot and flag octets seen before.
Decoding takes only the exact DER that encoding would give; anything else is left to the general decoder.
"""

from typing import Final, NamedTuple

from remsim.ids import BankSlot, ClientSlot
from remsim.wire import ber
from remsim.wire.errors import DecodeError
from remsim.wire.rspro import RsproPdu, TpduCardToModem, TpduFlags, TpduModemToCard

_MODEM_TO_CARD, _CARD_TO_MODEM = 0xAC, 0xAD
_SEQUENCE, _OCTET_STRING, _MSG = b"\x30", 0x04, 0xA2
_VERSION_AND_TAG = b"\x80\x01\x02\x81"
_FLAGS_SIZE = 14  # 30 0C and four times 01 01 xx
_SHORTEST = 35  # A shorter PDU cannot hold two slots and the flags.

#: Longer data is legal BER but no TPDU; not worth a table entry.
_LONGEST_DATA: Final = 512
#: Slot pairs seen by this process; cleared when full, which costs a general decode per live pair.
_MAX_SLOT_PAIRS: Final = 4096


class _Layout(NamedTuple):
    head: bytes  # outer SEQUENCE, version, tag up to its length octet
    mid: bytes  # msg wrapper and alternative, up to the first slot
    data_length: bytes


class _Slots(NamedTuple):
    client: ClientSlot
    bank: BankSlot
    flags: TpduFlags


_layouts: dict[tuple[int, int, int, int], _Layout] = {}
_slots: dict[tuple[int, bytes], _Slots] = {}
_prefixes: dict[tuple[int, int, int, int, int, TpduFlags], bytes] = {}


def _layout(identifier: int, prefix_size: int, tag_size: int, data_size: int) -> _Layout:
    key = (identifier, prefix_size, tag_size, data_size)
    layout = _layouts.get(key)
    if layout is not None:
        return layout
    data_length = ber.encode_length(data_size)
    alternative_size = prefix_size + len(data_length) + data_size
    alternative = bytes((identifier,)) + ber.encode_length(alternative_size)
    mid = bytes((_MSG,)) + ber.encode_length(len(alternative) + alternative_size) + alternative
    size = len(_VERSION_AND_TAG) + 1 + tag_size + len(mid) + alternative_size
    head = _SEQUENCE + ber.encode_length(size) + _VERSION_AND_TAG + bytes((tag_size,))
    layout = _Layout(head, mid, data_length)
    if data_size <= _LONGEST_DATA:
        _layouts[key] = layout
    return layout


def _prefix(message: TpduModemToCard | TpduCardToModem) -> bytes:
    """Both slots, the flags and the identifier of the data."""
    if isinstance(message, TpduModemToCard):
        client, bank = message.from_client_slot, message.to_bank_slot
        key = (_MODEM_TO_CARD, client.client_id, client.slot_nr, bank.bank_id, bank.slot_nr, message.flags)
    else:
        client, bank = message.to_client_slot, message.from_bank_slot
        key = (_CARD_TO_MODEM, client.client_id, client.slot_nr, bank.bank_id, bank.slot_nr, message.flags)
    prefix = _prefixes.get(key)
    if prefix is None:
        client_octets = _encode_pair(client.client_id, client.slot_nr)
        bank_octets = _encode_pair(bank.bank_id, bank.slot_nr)
        flags = message.flags
        states = (flags.tpdu_header_present, flags.final_part, flags.proc_byte_continue_tx, flags.proc_byte_continue_rx)
        flag_octets = ber.encode(0x30, b"".join(ber.encode(0x01, b"\xff" if state else b"\0") for state in states))
        slots = (client_octets, bank_octets) if key[0] == _MODEM_TO_CARD else (bank_octets, client_octets)
        prefix = b"".join((*slots, flag_octets, bytes((_OCTET_STRING,))))
        if len(_prefixes) >= _MAX_SLOT_PAIRS:
            _prefixes.clear()
        _prefixes[key] = prefix
    return prefix


def _encode_pair(first: int, second: int) -> bytes:
    numbers = ber.encode(0x02, ber.encode_integer(first)) + ber.encode(0x02, ber.encode_integer(second))
    return ber.encode(0x30, numbers)


def encode(tag: int, message: TpduModemToCard | TpduCardToModem) -> bytes:
    """DER of a PDU of the current version with this message. ``tag`` must be in range."""
    prefix = _prefix(message)
    data = message.data
    tag_octets = tag.to_bytes(tag.bit_length() // 8 + 1, "big")
    identifier = _MODEM_TO_CARD if type(message) is TpduModemToCard else _CARD_TO_MODEM
    layout = _layout(identifier, len(prefix), len(tag_octets), len(data))
    return b"".join((layout.head, tag_octets, layout.mid, prefix, layout.data_length, data))


def decode(pdu: bytes) -> RsproPdu | None:
    """The PDU if ``pdu`` is the DER of a TPDU message of the current version, else None. Never raises."""
    if len(pdu) < _SHORTEST:
        return None
    try:
        outer = pdu[1]
        tag_at = 7 if outer < 0x80 else 8 if outer == 0x81 else 9
        mid_at = tag_at + pdu[tag_at - 1]
        wrapper = pdu[mid_at + 1]
        inner_at = mid_at + (2 if wrapper < 0x80 else 3 if wrapper == 0x81 else 4)
        identifier, inner = pdu[inner_at], pdu[inner_at + 1]
        if identifier != _MODEM_TO_CARD and identifier != _CARD_TO_MODEM:
            return None
        prefix_at = inner_at + (2 if inner < 0x80 else 3 if inner == 0x81 else 4)
        second_at = prefix_at + 2 + pdu[prefix_at + 1]
        length_at = second_at + 2 + pdu[second_at + 1] + _FLAGS_SIZE + 1
        length = pdu[length_at]
    except IndexError:
        return None
    data_at = length_at + (1 if length < 0x80 else 2 if length == 0x81 else 3)
    data = pdu[data_at:]
    prefix = pdu[prefix_at:length_at]
    layout = _layout(identifier, len(prefix), mid_at - tag_at, len(data))
    if (pdu[:tag_at], pdu[mid_at:prefix_at], pdu[length_at:data_at]) != layout:
        return None
    slots = _slots.get((identifier, prefix)) or _learn(identifier, prefix)
    if slots is None:
        return None
    tag_octets = pdu[tag_at:mid_at]
    tag = int.from_bytes(tag_octets, "big")
    if not tag_octets or tag_octets[0] & 0x80 or len(tag_octets) > 4:
        return None
    if identifier == _MODEM_TO_CARD:
        return RsproPdu(tag, TpduModemToCard(slots.client, slots.bank, slots.flags, data))
    return RsproPdu(tag, TpduCardToModem(slots.bank, slots.client, slots.flags, data))


def _learn(identifier: int, prefix: bytes) -> _Slots | None:
    """Read the slot octets once, if they are the DER that ``_prefix`` gives."""
    try:
        first, pos = ber.parse(prefix)
        second, used = ber.parse(prefix[pos:])
        flags, end = ber.parse(prefix[pos + used :])
        if pos + used + end != len(prefix) - 1:
            return None
        numbers = [ber.decode_integer(e.value) for pair in (first, second) for e in pair.children or []]
        states = [bool(e.value[-1]) for e in flags.children or [] if e.value]
        if len(numbers) != 4 or len(states) != 4:
            return None
        pairs = (numbers[:2], numbers[2:]) if identifier == _MODEM_TO_CARD else (numbers[2:], numbers[:2])
        slots = _Slots(ClientSlot(*pairs[0]), BankSlot(*pairs[1]), TpduFlags(*states))
    except (DecodeError, ValueError):
        return None
    message = (
        TpduModemToCard(slots.client, slots.bank, slots.flags, b"")
        if identifier == _MODEM_TO_CARD
        else TpduCardToModem(slots.bank, slots.client, slots.flags, b"")
    )
    if _prefix(message) != prefix:
        return None
    if len(_slots) >= _MAX_SLOT_PAIRS:
        _slots.clear()
    _slots[identifier, prefix] = slots
    return slots
