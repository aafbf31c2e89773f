# SPDX-License-Identifier: Apache-2.0
"""Targets: what a SIMtrace2 device sends over USB, and what a slot does about it."""

from typing import Final

from remsim.emulators.simtrace2.actions import Action, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.card import SimtraceCard
from remsim.emulators.simtrace2.header import HEADER_SIZE, MAX_MESSAGE, UnknownBoardMessage, join_message, split_message
from remsim.emulators.simtrace2.messages import (
    Config,
    LineFlag,
    Status,
    StatusRequest,
    TpduFlag,
    TxData,
    decode_from_device,
)
from remsim.emulators.simtrace2.stream import MessageReader, StreamFault, encode_transfer
from tests.doubles.simtrace2_frames import decode_from_host
from tests.fuzz.target import cut, portions

#: The longest time that passes between two things that happen.
_MOST_S: Final = 4.0


def usb_messages(raw: bytes) -> None:
    """A message, written again, is the same one, and the same bytes but for the header's meaningless fields."""
    refused = None
    for decode in (decode_from_device, decode_from_host):
        try:
            message = decode(raw)
        except ValueError as refusal:
            refused = refusal
            continue
        code, payload = split_message(raw)
        if len(raw) > MAX_MESSAGE:
            continue  # no transfer brings such
        written = message.to_bytes()
        assert decode(written) == message
        if isinstance(message, Config):
            # What firmware to come puts behind it is skipped.
            payload = payload[:6]
        assert isinstance(message, UnknownBoardMessage) or written == join_message(code, payload)
    if refused is not None:
        raise refused


def usb_packets(raw: bytes) -> None:
    """No byte is lost and none invented: messages, faults and the rest are what came in, in its order."""
    reader, packets = MessageReader(), cut(raw)
    seen = b""
    for packet in packets:
        for found in reader.receive_packet(packet[:64]):
            whole = found.data if isinstance(found, StreamFault) else found
            seen += whole
            if not isinstance(found, StreamFault):
                assert HEADER_SIZE <= len(found) <= MAX_MESSAGE
                split_message(found)
    stream = b"".join(packet[:64] for packet in packets)
    assert stream.startswith(seen)
    assert len(stream) - len(seen) < MAX_MESSAGE
    # What is left waits for more: it is in front of whatever comes next.
    message = StatusRequest().to_bytes()
    assert (reader.receive_packet(message) == [message]) == (seen == stream)


def _ready(product: int) -> SimtraceCard:
    """A slot behind its start-up."""
    card = SimtraceCard(BOARDS[product])
    card.start(0.0)
    card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
    card.on_bulk(Status(LineFlag.VCC | LineFlag.CLK, 0, 1, 1, 10, 9600).to_bytes(), 0.0)
    return card


def _happen(card: SimtraceCard, what: int, raw: bytes, newest: int, now: float) -> list[Action]:
    """Device, bank and operator do something; most of it is done by the device."""
    match what:
        case 0:
            return card.on_interrupt(raw, now)
        case 1:
            return card.on_answer(newest, raw, now)
        case 2:
            return card.on_no_answer(newest, "test", now)
        case 3:
            return card.set_atr(raw, now)
        case 4:
            return card.insert_card(now)
        case 5:
            return card.remove_card(now)
        case 6:
            return card.select_sim(now, is_remote=bool(raw))
        case 7:
            return card.on_unplugged(now) if raw else card.start(now)
    return card.on_bulk(raw, now)


def usb_slots(raw: bytes) -> None:
    """A slot raises nothing, sends nothing dangerous, and answers each command of a modem once."""
    if not raw:
        return
    boards = sorted(BOARDS)
    card = _ready(boards[raw[0] % len(boards)])
    now, newest = 1.0, 0
    answered: set[int | None] = set()
    for portion in portions(raw[1:]):
        if not portion:
            continue
        now += (portion[0] >> 4) / 15 * _MOST_S
        actions = card.handle_timer(now) + _happen(card, portion[0] & 0x0F, portion[1:], newest, now)
        for action in actions:
            if isinstance(action, SendBulk):
                encode_transfer(action.message)
                if isinstance(action.message, TxData) and action.message.flags & TpduFlag.FINAL:
                    assert action.generation not in answered, "a command is answered once"
                    answered.add(action.generation)
            elif isinstance(action, ForwardTpdu):
                assert action.generation > newest
                assert len(action.tpdu) in range(5, 261)
                newest = action.generation
