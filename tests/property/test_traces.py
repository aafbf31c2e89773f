# SPDX-License-Identifier: Apache-2.0
"""Traces of whatever modems, cards and peers do: nothing raises, nothing hidden leaves, and everything is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import CardRedactor
from remsim.server.core import tracing
from remsim.server.core.tracing import TraceEnd, TraceFeed
from remsim.trace.tap import CommandId, SlotTap, hidden_places
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.extensions import TraceInd, TraceOrigin
from remsim.wire.messages.rspro import RsproPdu
from tests.doubles.strategies import BY_CLASS

BANK, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
PIN = b"83914726"

commands = st.one_of(
    st.binary(max_size=260),
    st.sampled_from(
        [
            *(bytes.fromhex(text) for text in ("00a40004023f00", "00a40004022fe2", "00b000000a", "00b0870009")),
            bytes.fromhex("00a4040407a0000000871002"),
        ]
    ),
)
answers = st.one_of(st.binary(min_size=2, max_size=258), st.binary(max_size=256).map(lambda data: data + b"\x90\x00"))


@given(st.lists(st.tuples(commands, st.none() | answers, st.sampled_from(TraceOrigin), st.booleans()), max_size=30))
def test_every_record_can_be_sent_and_hidden_bytes_are_ff(
    exchanges: list[tuple[bytes, bytes | None, TraceOrigin, bool]],
) -> None:
    tap = SlotTap(1e9)
    for at, (command, answer, origin, was_run) in enumerate(exchanges):
        tap.on_command(command, answer, float(at), origin=origin, command_id=CommandId(b"sessio", at), was_run=was_run)
    message = tap.take(1e6, bank_slot=BANK)
    assert (message is None) == (not exchanges)
    if message is None:
        return
    assert decode_pdu(encode_pdu(RsproPdu(1, message))).msg == message
    for record in message.records:
        for raw, bits in ((record.command, record.hidden_command), (record.response, record.hidden_response)):
            assert all((raw or b"")[place] == 0xFF for place in hidden_places(bits))


@given(st.lists(st.tuples(commands, answers), max_size=20))
def test_after_a_reset_it_hides_what_a_redactor_from_the_reset_on_hides(exchanges: list[tuple[bytes, bytes]]) -> None:
    tap, redactor = SlotTap(1e9), CardRedactor.midway()
    for command, answer in exchanges:
        tap.on_command(command, answer, 0.0)
    message = tap.take(0.0)
    records = () if message is None else message.records
    for record, (command, answer) in zip(records, exchanges, strict=True):
        shown, told = redactor.exchange(command, answer)
        assert (record.command, record.response) == (shown.to_bytes(), told.to_bytes())


@given(st.sampled_from([0x20, 0x24, 0x26, 0x28, 0x2C]), st.lists(st.tuples(commands, answers), max_size=5))
def test_no_pin_is_in_any_record(ins: int, before: list[tuple[bytes, bytes]]) -> None:
    tap = SlotTap(1e9)
    for command, answer in before:
        tap.on_command(command, answer, 0.0)
    tap.on_command(bytes((0, ins, 0, 1, 8)) + PIN, b"\x90\x00", 0.0)
    tap.on_command(PIN, b"\x6f\x00", 0.0)
    message = tap.take(0.0)
    assert message is not None
    for record in message.records[len(before) :]:
        assert PIN not in (record.command or b"")
        assert PIN.decode() not in (record.words or "")


@given(st.lists(st.tuples(st.booleans(), BY_CLASS[TraceInd]), max_size=10))
def test_feed_takes_whatever_peers_tell(told: list[tuple[bool, TraceInd]]) -> None:
    feed = TraceFeed(BANK, 0)
    feed.ends = (TraceEnd(BANK), TraceEnd(CLIENT))
    sent = 0
    for at, (is_bank, message) in enumerate(told):
        feed.on_told(BANK if is_bank else CLIENT, message, float(at))
        sent += len(message.records)
    feed.settle(1e9)
    assert feed.next_deadline() is None
    entries = feed.after(0, 10**6)
    assert [entry.number for entry in entries] == list(range(feed.first, feed.last + 1))
    assert len(entries) <= tracing.KEPT_RECORDS
    # Nothing is lost, and a command that both tell of is one entry.
    shown = sum(entry.record is not None for entry in entries)
    assert sent / 2 <= shown <= sent
