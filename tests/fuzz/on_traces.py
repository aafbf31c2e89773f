# SPDX-License-Identifier: Apache-2.0
"""Targets: what becomes of commands in traces, at both ends, on the way, at the server, and in captures."""

import io
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core import tracing
from remsim.server.core.tracing import TraceEnd, TraceFeed
from remsim.trace.gsmtap import AtrRecord, TpduRecord, encode_gsmtap
from remsim.trace.packets import CaptureError, gsmtap_in, read_packets
from remsim.trace.pcapng import CapturePacket, file_header, packet_block
from remsim.trace.tap import RATE, CommandId, SlotTap, hidden_places
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.extensions import TraceInd, TraceOrigin, TraceRecord
from remsim.wire.messages.rspro import RsproPdu
from tests.fuzz.target import portions

BANK, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
_ORIGINS: Final = tuple(TraceOrigin)
_FILL: Final = 0xFF


def traces(raw: bytes) -> None:
    """Whatever passes at a slot is told in messages that can be sent, with hidden bytes as FF, and can be captured.

    The first byte chooses who asks for each command, and which of them get no answer.
    """
    if not raw:
        return
    choice, pending = raw[0], iter(portions(raw[1:]))
    tap, count = SlotTap(1e9), 0
    for command in pending:
        answer = None if choice >> count % 3 & 1 else next(pending, b"").ljust(2, b"\x90")
        origin = _ORIGINS[(choice + count) % len(_ORIGINS)]
        tap.on_command(command, answer, 0.0, origin=origin, command_id=CommandId(b"sessio", count), spent_s=1e-3)
        count += 1
    feed = TraceFeed(BANK, 0)
    feed.ends = (TraceEnd(BANK), TraceEnd(CLIENT))
    told = 0
    while (message := tap.take(1.0, bank_slot=BANK, client_slot=CLIENT)) is not None:
        assert decode_pdu(encode_pdu(RsproPdu(1, message))).msg == message
        for record in message.records:
            _check(record)
        told += len(message.records)
        feed.on_told(BANK, message, 1.0)
    assert told == min(count, RATE)
    assert tap.left_out == count - told
    feed.settle(1e9)
    assert sum(entry.record is not None for entry in feed.after(0, 10**6)) == told


def _check(record: TraceRecord) -> None:
    for raw, bits in ((record.command, record.hidden_command), (record.response, record.hidden_response)):
        assert all((raw or b"")[place] == _FILL for place in hidden_places(bits))
    if record.response is None:
        return
    shown = TpduRecord(3, record.command or b"", record.response)
    stream = io.BytesIO(file_header("B1:3") + packet_block(CapturePacket(1.0, shown, record.words or "")))
    (packet,) = read_packets(stream)
    datagram = gsmtap_in(packet)
    assert datagram is not None
    assert datagram.payload == encode_gsmtap(shown)


def told_traces(raw: bytes) -> None:
    """Whatever a peer tells of its traces is kept, bounded and in order; the first byte says which end it is."""
    message = decode_pdu(raw[1:]).msg
    feed = TraceFeed(BANK, 0)
    feed.ends = (TraceEnd(BANK), TraceEnd(CLIENT))
    if isinstance(message, TraceInd):
        for at in range(2):
            feed.on_told(BANK if (raw[0] + at) % 2 else CLIENT, message, float(at))
        feed.settle(1e9)
    entries = feed.after(0, 10**6)
    assert [entry.number for entry in entries] == list(range(feed.first, feed.last + 1))
    assert len(entries) <= tracing.KEPT_RECORDS


def cut_captures(raw: bytes) -> None:
    """A capture that was cut, as by a full disk or a power failure, is read up to the cut: that of the first bytes."""
    shown: list[AtrRecord | TpduRecord] = [AtrRecord(3, raw[2:40]), TpduRecord(3, raw[2:270], raw[-258:])]
    whole, ends = file_header("B1:3"), list[int]()
    for number, record in enumerate(shown):
        whole += packet_block(CapturePacket(1.0, record, "x" * (number + 1)))
        ends.append(len(whole))
    at = int.from_bytes(raw[:2]) % (len(whole) + 1)
    seen = []
    try:
        for packet in read_packets(io.BytesIO(whole[:at])):
            datagram = gsmtap_in(packet)
            seen.append(None if datagram is None else datagram.payload)
    except CaptureError:
        assert at not in ends
    assert seen == [encode_gsmtap(record) for record, end in zip(shown, ends, strict=True) if end <= at]
