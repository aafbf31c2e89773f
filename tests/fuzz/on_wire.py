# SPDX-License-Identifier: Apache-2.0
"""Targets: what peers send. Frames, BER, PDUs, the link engine, the fast codec of a session, parts of a CRL."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from remsim.wire import ipa
from remsim.wire.errors import DecodeError, FrameError
from remsim.wire.link.abilities import TIMES
from remsim.wire.link.engine import ABILITIES, LinkEngine
from remsim.wire.link.events import Event, LinkFailed, Received
from remsim.wire.messages import ber, rspro
from remsim.wire.messages.ber import Element
from remsim.wire.messages.codec import decode_general, decode_pdu, encode_pdu
from remsim.wire.messages.extensions import RevocationListInd
from remsim.wire.messages.fast_codec import SessionCodec
from remsim.wire.messages.revocation import ListParts
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    ComponentType,
    ConnectClientReq,
    ConnectClientRes,
    ResultCode,
    RsproPdu,
    TpduCardToModem,
    TpduModemToCard,
    UnknownMessage,
)
from tests.doubles import asn1, engines
from tests.doubles.engines import BANK, CLIENT
from tests.fuzz.target import cut, portions

_NOW: Final = 1.0
_ANSWER: Final = b"\x90\x00"


@dataclass(frozen=True, slots=True)
class _Cut:
    """What a frame reader made of a stream."""

    frames: tuple[tuple[bool, bytes], ...]
    fault: str | None


def _read_frames(pieces: list[bytes], most: int) -> _Cut:
    reader = ipa.FrameReader(max_payload=most)
    frames: list[tuple[bool, bytes]] = []
    try:
        for piece in pieces:
            reader.receive_data(piece)
            while (frame := reader.next_frame()) is not None:
                frames.append(frame)
    except FrameError as fault:
        return _Cut(tuple(frames), str(fault))
    return _Cut(tuple(frames), None)


def frames(raw: bytes) -> None:
    """The same frames and the same fault however the stream is cut; written again they are what was read."""
    pieces = cut(raw)
    stream = b"".join(pieces)
    for most in (ipa.MAX_PAYLOAD, ipa.MAX_CLASSIC_FRAME):
        found = _read_frames(pieces, most)
        assert found == _read_frames([stream], most)
        written = b"".join(
            ipa.encode_rspro(payload) if is_rspro else ipa.encode_ccm(payload) for is_rspro, payload in found.frames
        )
        assert stream.startswith(written)
        assert all(len(payload) <= most for _, payload in found.frames)


def _written(element: Element) -> bytes:
    value = element.value if element.children is None else b"".join(map(_written, element.children))
    return ber.encode(element.identifier, value)


def _is_same(one: Element, other: Element) -> bool:
    if one.identifier != other.identifier or one.value != other.value:
        return False
    ours, theirs = one.children, other.children
    if ours is None or theirs is None:
        return ours is theirs
    return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))


def elements(raw: bytes) -> None:
    """An element ends where it says; as DER it is the same one; cut short it is none."""
    element, end = ber.parse(raw)
    assert 0 < end <= len(raw)
    again, used = ber.parse(raw[:end])
    assert used == end
    assert _is_same(element, again)
    der = _written(element)
    again, used = ber.parse(der)
    assert used == len(der) <= end
    assert _is_same(element, again)
    try:
        ber.parse(raw[: end - 1])
    except DecodeError:
        return
    raise AssertionError("an element that is cut short was read")


def _read(decode: Callable[[bytes], RsproPdu], raw: bytes) -> RsproPdu | DecodeError:
    try:
        return decode(raw)
    except DecodeError as refusal:
        return refusal


def pdus(raw: bytes) -> None:
    """Short cut, general decoder and the oracle agree; what was read can be written, and is the same then."""
    pdu, general = _read(decode_pdu, raw), _read(decode_general, raw)
    if isinstance(pdu, DecodeError) or isinstance(general, DecodeError):
        assert (type(pdu), str(pdu)) == (type(general), str(general))
        assert not isinstance(pdu, DecodeError) or pdu.tag is None or 0 <= pdu.tag <= rspro.MAX_OPERATION_TAG
        raise pdu if isinstance(pdu, DecodeError) else AssertionError(general)
    assert general == pdu
    if isinstance(pdu.msg, UnknownMessage):
        return
    der = encode_pdu(pdu)
    assert decode_pdu(der) == pdu
    assert len(der) <= len(raw)
    oracle = asn1.decode(raw)
    assert oracle is None or oracle == pdu


def _bankd_with_client(abilities: tuple[str, ...] | None) -> LinkEngine:
    bankd = engines.engine(ComponentType.REMSIM_BANKD, None)
    client = engines.identity(ComponentType.REMSIM_CLIENT).with_abilities(abilities)
    engines.receive(bankd, engines.frame(ConnectClientReq(client, CLIENT)))
    bankd.send(ConnectClientRes(bankd.identity, ResultCode.OK), now=0.0, reply_to=0)
    bankd.connected()
    bankd.data_to_send()
    return bankd


def _server(abilities: tuple[str, ...] | None) -> LinkEngine:
    """A server's end whose peer has said nothing yet."""
    return engines.engine(ComponentType.REMSIM_SERVER, None, abilities=abilities or ())


def _server_of_bankd(abilities: tuple[str, ...] | None) -> LinkEngine:
    return engines.server_with_bankd(abilities=abilities)


def _client(abilities: tuple[str, ...] | None) -> LinkEngine:
    return engines.client_at_bankd(abilities=abilities)


_ENDS: Final = (_server, _server_of_bankd, _client, _bankd_with_client)


def _end(number: int) -> LinkEngine:
    """One end of a link, of a peer with our abilities or of a classic one."""
    return _ENDS[number // 2](ABILITIES if number % 2 else None)


def _told(connection: LinkEngine, pieces: list[bytes]) -> tuple[list[str], bytes, float | None]:
    """What it reports, writes and waits for. Events are compared by their text: errors in them are never equal."""
    found = engines.receive(connection, *pieces, now=_NOW)
    assert not any(isinstance(event, LinkFailed) for event in found[:-1]), "something follows the end of the link"
    return [repr(event) for event in found], connection.data_to_send(), connection.next_deadline()


def links(raw: bytes) -> None:
    """An end of a link raises nothing, and does the same however the stream is cut; what it writes are frames."""
    if not raw:
        return
    kind, pieces = raw[0] % (2 * len(_ENDS)), cut(raw[1:])
    found = _told(_end(kind), [b"".join(pieces)])
    assert found == _told(_end(kind), pieces)
    reader = ipa.FrameReader()
    reader.receive_data(found[1])
    while (frame := reader.next_frame()) is not None:
        if frame[0]:
            decode_pdu(frame[1])
    assert not reader.buffer


@dataclass(slots=True)
class _Bankd:
    """The bankd's end of a session, with or without a fast codec. Every command is answered at once."""

    connection: LinkEngine
    written: bytes = b""

    def take(self, frame: bytes) -> list[str]:
        """What it reports of one frame."""
        found = self.connection.receive_tpdu(frame)
        if found is not None:
            tag, data = found
            self._write(self.connection.answer_tpdu(tag, _ANSWER))
            return [repr(Received(TpduModemToCard(CLIENT, BANK, NO_FLAGS, data), tag))]
        told = [self._report(event) for event in engines.receive(self.connection, frame, now=_NOW)]
        self._write(self.connection.data_to_send())
        return told

    def _report(self, event: Event) -> str:
        if isinstance(event, Received) and isinstance(event.message, TpduModemToCard):
            command, tag = event.message, event.tag
            # No time passes here; with a session, it is told all the same.
            us = 0 if TIMES in self.connection.common_abilities else None
            answer = TpduCardToModem(BANK, CLIENT, NO_FLAGS, _ANSWER, us)
            self.connection.send(answer, now=_NOW, reply_to=tag)
            # The fast codec knows its flags by heart and does not repeat them.
            event = Received(replace(command, flags=NO_FLAGS), tag)
        return repr(event)

    def _write(self, raw: bytes) -> None:
        self.written += raw


def sessions(raw: bytes) -> None:
    """With the fast codec, a bankd reports and answers exactly what it does without."""
    fast, plain = _Bankd(_bankd_with_client(ABILITIES)), _Bankd(_bankd_with_client(ABILITIES))
    fast.connection.attach_session(CLIENT, BANK)
    for frame in portions(raw):
        assert fast.take(frame) == plain.take(frame)
        assert fast.written == plain.written


def fast_codec(raw: bytes) -> None:
    """What the fast codec reads is what the codec reads, and that of the other end writes the same bytes."""
    for is_bank in (True, False):
        found = SessionCodec(CLIENT, BANK, is_bank=is_bank).decode(raw)
        if found is None:
            continue
        tag, data = found
        command, response = TpduModemToCard(CLIENT, BANK, NO_FLAGS, data), TpduCardToModem(BANK, CLIENT, NO_FLAGS, data)
        assert decode_pdu(raw[4:]) == RsproPdu(tag, command if is_bank else response)
        assert SessionCodec(CLIENT, BANK, is_bank=not is_bank).encode(tag, data) == raw


def list_parts(raw: bytes) -> None:
    """A list comes out whole, of the length that its parts named, or not at all."""
    parts, since = ListParts(), b""
    for portion in portions(raw):
        total, offset = int.from_bytes(portion[:2]), int.from_bytes(portion[2:4])
        part = RevocationListInd(total, offset, portion[4:])
        since = part.raw if part.offset == 0 else since + part.raw
        whole = parts.add(part)
        if whole is not None:
            assert len(whole) == total
            assert since.endswith(whole)
