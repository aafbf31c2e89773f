# SPDX-License-Identifier: Apache-2.0
"""The codec, the oracle, the short cut and the frame reader agree, on legal and on damaged bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.wire import ipa
from remsim.wire.errors import DecodeError, FrameError
from remsim.wire.messages import ahead_codec, ber, fast_codec
from remsim.wire.messages.ber import Element
from remsim.wire.messages.codec import decode_general, decode_pdu, encode_general, encode_pdu
from remsim.wire.messages.extensions import AheadInd, AheadUsedInd
from remsim.wire.messages.rspro import VERSION, Message, RsproPdu, UnknownMessage
from remsim.wire.messages.schema import ALTERNATIVES, Struct
from tests.doubles import asn1, notation, strategies, vectors

#: Made once: to make one of a strategy, and to look whether it can draw, takes as long as to draw from it.
PDUS_OF = {kind: strategies.pdus(messages) for kind, messages in strategies.BY_CLASS.items()}
PDUS = [frame.raw[4:] for frame in vectors.frames() if frame.decoded["ipa"] == "RSPRO"]


def decoded(raw: bytes) -> RsproPdu | None:
    """What the codec makes of it; None if it refuses. Any other exception is a failure."""
    try:
        return decode_pdu(raw)
    except DecodeError:
        return None


def decoded_generally(raw: bytes) -> RsproPdu | None:
    """The same without the short cut."""
    try:
        return decode_general(raw)
    except DecodeError:
        return None


def has_unknown(pdu: RsproPdu) -> bool:
    """Whether the PDU holds numbers that asn1tools drops: of alternatives, or of enumerations."""
    return isinstance(pdu.msg, UnknownMessage) or "UNKNOWN_" in repr(pdu)


@pytest.mark.parametrize("kind", PDUS_OF, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_oracle_gives_and_takes_the_same_bytes(kind: type[Message], data: st.DataObject) -> None:
    pdu = data.draw(PDUS_OF[kind])
    raw = encode_pdu(pdu)
    assert raw == asn1.encode(pdu)
    assert decode_pdu(raw) == pdu
    assert asn1.decode(raw) == pdu
    assert notation.from_json(notation.to_json(pdu)) == pdu


@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_decode_errors(raw: bytes) -> None:
    decoded(raw)
    decoded(b"\x30" + ber.encode_length(len(raw)) + raw)


@given(raw=st.sampled_from(PDUS).flatmap(strategies.mutated))
def test_damaged_pdu_is_refused_or_read_as_the_oracle_reads_it(raw: bytes) -> None:
    ours, oracle = decoded(raw), asn1.decode(raw)
    if ours is not None and oracle is not None:
        assert ours == oracle
    if ours is not None and not has_unknown(ours):
        # What we accept, and can be said, can be said again.
        assert decode_pdu(encode_pdu(ours)) == ours


@given(raw=st.sampled_from(PDUS).flatmap(strategies.mutated))
def test_short_cut_reads_damaged_bytes_as_the_general_decoder(raw: bytes) -> None:
    assert decoded(raw) == decoded_generally(raw)


@given(pdu=strategies.pdus(strategies.tpdus), data=st.data())
def test_short_cut_equals_the_general_codec(pdu: RsproPdu, data: st.DataObject) -> None:
    raw = encode_pdu(pdu)
    assert raw == encode_general(pdu)
    assert fast_codec.decode(raw) == (pdu if pdu.version == VERSION else None)
    assert decode_general(raw) == pdu
    damaged = data.draw(strategies.mutated(raw))
    assert decoded(damaged) == decoded_generally(damaged)


_AHEAD = st.one_of(*(strategies.BY_CLASS[kind] for kind in (AheadInd, AheadUsedInd)))


@given(pdu=strategies.pdus(_AHEAD), data=st.data())
def test_short_cut_of_answers_ahead_equals_the_general_codec(pdu: RsproPdu, data: st.DataObject) -> None:
    raw = encode_pdu(pdu)
    assert raw == encode_general(pdu)
    assert ahead_codec.decode(raw) == (pdu if pdu.version == VERSION else None)
    assert decode_general(raw) == pdu
    damaged = data.draw(strategies.mutated(raw))
    assert decoded(damaged) == decoded_generally(damaged)


@st.composite
def elements(draw: st.DrawFn, *, depth: int = 3) -> bytes:
    """BER elements of any identifier, in definite or indefinite form."""
    identifier = draw(st.sampled_from((0x02, 0x04, 0x0C, 0x30, 0x80, 0xA2, 0xB4, 0xBF28, 0x9F8148)))
    if not ber.encode_identifier(identifier)[0] & 0x20:
        return ber.encode(identifier, draw(st.binary(max_size=8)))
    content = b"".join(draw(st.lists(elements(depth=depth - 1), max_size=3))) if depth else b""
    if draw(st.booleans()):
        return ber.encode_identifier(identifier) + b"\x80" + content + b"\0\0"
    return ber.encode(identifier, content)


@given(element=elements(), rest=st.binary(max_size=4))
def test_ber_reader_takes_exactly_one_element(element: bytes, rest: bytes) -> None:
    assert ber.parse(element + rest)[1] == len(element)
    for size in range(len(element)):
        with pytest.raises(DecodeError):
            ber.parse(element[:size])


def children(element: Element) -> list[Element]:
    """What is in a constructed element."""
    assert element.children is not None
    return element.children


def written(element: Element) -> bytes:
    """The element as DER."""
    value = element.value if element.children is None else b"".join(map(written, element.children))
    return ber.encode(element.identifier, value)


#: Behind the fields of a message these are fields of ours, or optional ones that may have been left out; strings in
#: constructed form, too.
KNOWN = {
    field.identifier | form
    for struct in ALTERNATIVES.values()
    for field in struct.fields
    if field.is_optional
    for form in (0, ber.CONSTRUCTED)
}


@given(kind=st.sampled_from(list(ALTERNATIVES.values())), additions=st.lists(elements(), max_size=3), data=st.data())
def test_elements_of_later_versions_are_skipped(kind: Struct, additions: list[bytes], data: st.DataObject) -> None:
    additions = [raw for raw in additions if ber.parse(raw)[0].identifier not in KNOWN]
    pdu = data.draw(PDUS_OF[kind.cls])
    root = ber.parse(encode_pdu(pdu))[0]
    message = children(children(root)[-1])[0]
    children(message).extend(ber.parse(raw)[0] for raw in additions)
    assert decoded(written(root)) == (pdu if kind.is_extensible or not additions else None)


@given(data=st.data(), frames=st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_frames_survive_any_cut(data: st.DataObject, frames: list[bytes]) -> None:
    kinds = data.draw(st.lists(st.booleans(), min_size=len(frames), max_size=len(frames)))
    expected = list(zip(kinds, frames, strict=True))
    stream = b"".join(ipa.encode_rspro(p) if is_rspro else ipa.encode_ccm(p) for is_rspro, p in expected)
    reader, found = ipa.FrameReader(), []
    for piece in data.draw(strategies.cuts(stream)):
        reader.receive_data(piece)
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
    assert found == expected


@given(stream=st.binary(max_size=300))
def test_arbitrary_stream_raises_nothing_but_frame_errors(stream: bytes) -> None:
    reader = ipa.FrameReader()
    reader.receive_data(stream)
    try:
        while reader.next_frame() is not None:
            pass
    except FrameError:
        return
