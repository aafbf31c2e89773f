# SPDX-License-Identifier: Apache-2.0
"""vpcd's framing and the card behind it, against streams of any kind and in pieces of any size."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from remsim.card.errors import TpduError
from remsim.card.t0_exchange import exchange_apdu
from remsim.emulators.vpcd.slot import CloseReader, Forward, Reply, VpcdSlot
from remsim.vpcd import MessageDecoder, encode_message

BODIES = st.lists(st.binary(max_size=400), max_size=8)
RESPONSES = st.binary(min_size=2, max_size=258)
#: Answers that make a program that follows 61xx and 6Cxx go on.
TEMPTING = st.builds(
    lambda data, sw1, sw2: data + bytes((sw1, sw2)),
    st.binary(max_size=8),
    st.sampled_from([0x61, 0x6C, 0x90]),
    st.integers(0, 255),
)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(stream[start : start + size])
        start += size
    return [*pieces, stream[start:]]


@given(bodies=BODIES, sizes=st.lists(st.integers(0, 50), max_size=30))
def test_framing_survives_any_cutting(bodies: list[bytes], sizes: list[int]) -> None:
    decoder = MessageDecoder()
    stream = b"".join(map(encode_message, bodies))
    assert [body for piece in cut(stream, sizes) for body in decoder.feed(piece)] == bodies


@given(pieces=st.lists(st.binary(max_size=100), max_size=50))
def test_any_bytes_are_some_messages(pieces: list[bytes]) -> None:
    decoder = MessageDecoder()
    whole = b"".join(encode_message(body) for piece in pieces for body in decoder.feed(piece))
    assert b"".join(pieces).startswith(whole)


@given(bodies=BODIES, responses=st.lists(RESPONSES, min_size=40, max_size=40), auto=st.booleans())
def test_slot_answers_what_it_must_and_forwards_whole_tpdus_only(
    bodies: list[bytes], responses: list[bytes], auto: bool
) -> None:
    slot = VpcdSlot(auto_get_response=auto)
    answers = iter(responses)
    for body in bodies:
        steps = slot.on_message(body)
        for _ in range(10):
            if not slot.is_busy:
                break
            (forward,) = (step for step in steps if isinstance(step, Forward))
            assert len(forward.tpdu) == 5 or len(forward.tpdu) == 5 + forward.tpdu[4]
            steps = slot.on_response(next(answers, b"\x90\x00"))
        assert not any(isinstance(step, CloseReader) for step in steps)
        replies = [step for step in steps if isinstance(step, Reply)]
        if slot.is_busy:
            return
        assert len(replies) == (body not in (b"", b"\x00", b"\x01", b"\x02"))


@given(apdu=st.binary(max_size=20), answers=st.lists(TEMPTING, max_size=600))
def test_following_the_card_ends(apdu: bytes, answers: list[bytes]) -> None:
    exchange = exchange_apdu(apdu)
    steps = 0
    with suppress(TpduError, StopIteration):
        next(exchange)
        for answer in answers:
            steps += 1
            exchange.send(answer)
    assert steps <= 2 * 256 + 2, "a card must not keep a reader busy for ever"
