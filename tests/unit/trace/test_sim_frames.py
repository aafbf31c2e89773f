# SPDX-License-Identifier: Apache-2.0
"""GSMTAP of SIMs in the three forms in which programs write it: the commands are the same."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from remsim.card.apdu_case import PreviousCommand
from remsim.trace.gsmtap import TpduMark, TpduRecord, encode_gsmtap
from remsim.trace.packets import Datagram
from remsim.trace.sim_frames import LeftOut, SeenCommand, SeenData, SeenReset, SimFrames, SimStep, SubType
from tests.reference import reference

#: Command, data to the card, data from it, status word.
TALK = (
    ("00a4000402", "2fe2", "", "6118"),
    ("00c0000018", "", "62" * 24, "9000"),
    ("00b000000a", "", "98" * 10, "9000"),
    ("00a4000402", "6f07", "", "6a82"),
    ("00b000000a", "", "", "6cff"),
    ("00d6000002", "aabb", "", "9000"),
    ("8012000000", "", "d0" * 256, "9000"),
)
TPDUS = [bytes.fromhex(header + to_card) for header, to_card, _, _ in TALK]


def frame(sub_type: int, body: bytes, *, sender: str = "") -> Datagram:
    return Datagram(bytes((2, 4, 4, 0)) + bytes(8) + bytes((sub_type,)) + bytes(3) + body, sender)


def joined() -> list[Datagram]:
    return [frame(SubType.APDU, bytes.fromhex("".join(parts))) for parts in TALK]


def in_pairs() -> list[Datagram]:
    pairs = [(header + to_card, from_card + sw) for header, to_card, from_card, sw in TALK]
    return [frame(SubType.APDU, bytes.fromhex(half)) for pair in pairs for half in pair]


def in_parts() -> list[Datagram]:
    kinds = (SubType.HEADER, SubType.TO_CARD, SubType.FROM_CARD, SubType.STATUS)
    return [frame(kind, bytes.fromhex(part)) for parts in TALK for kind, part in zip(kinds, parts, strict=True) if part]


def read(datagrams: list[Datagram]) -> tuple[list[SimStep], SimFrames]:
    reader = SimFrames()
    steps = [step for place, one in enumerate(datagrams, start=1) for step in reader.on_datagram(place, one)]
    return [*steps, *reader.finish()], reader


def tpdus(steps: list[SimStep]) -> list[bytes]:
    found, previous = [], dict[str, PreviousCommand]()
    for step in steps:
        if isinstance(step, SeenCommand):
            tpdu, previous[step.sender] = step.tpdu(previous.get(step.sender))
            found.append(tpdu)
    return found


@pytest.mark.parametrize("form", [joined, in_pairs, in_parts])
def test_commands_are_the_same_in_each_form(form: Callable[[], list[Datagram]]) -> None:
    steps, reader = read(form())
    assert tpdus(steps) == TPDUS
    assert [step.sw for step in steps if isinstance(step, SeenCommand)] == [int(sw, 16) for *_, sw in TALK]
    assert not reader.left_out


def test_file_identifier_that_looks_like_a_status_word_is_none() -> None:
    """``00a40004026f07`` alone is a command where answers have frames of their own."""
    steps, _ = read(in_pairs()[6:8])
    assert tpdus(steps) == [bytes.fromhex("00a40004026f07")]


def test_form_is_found_out_late_or_at_the_end() -> None:
    many = [frame(SubType.APDU, bytes.fromhex("00b0000001aa9000"))] * 200
    assert tpdus(read(many)[0]) == [bytes.fromhex("00b0000001")] * 200
    assert tpdus(read(many[:3])[0]) == [bytes.fromhex("00b0000001")] * 3


def test_atr_is_a_reset_and_does_not_change_the_form() -> None:
    atr = frame(SubType.ATR, b"\x3b\x00")
    steps, _ = read([atr, *in_pairs(), atr, *in_pairs()])
    assert tpdus(steps) == TPDUS * 2
    assert [index for index, step in enumerate(steps) if isinstance(step, SeenReset)] == [0, len(TALK) + 1]


def test_senders_are_told_apart() -> None:
    one = [Datagram(datagram.payload, "a") for datagram in in_pairs()]
    other = [Datagram(datagram.payload, "b") for datagram in joined()]
    mixed = [datagram for pair in zip(one, other, strict=False) for datagram in pair] + one[len(other) :]
    steps, _ = read(mixed)
    for sender in "ab":
        assert tpdus([step for step in steps if step.sender == sender]) == TPDUS


def test_command_without_an_answer_is_seen_as_such() -> None:
    lost = [*in_pairs()[:2], *in_pairs()[2:3], *in_pairs()[4:]]
    steps, _ = read(lost)
    assert [step.sw for step in steps if isinstance(step, SeenCommand)][:3] == [0x6118, None, 0x9000]
    half = [frame(SubType.HEADER, bytes.fromhex("00b0000001"))]
    ((only,), _) = read(half)
    assert isinstance(only, SeenCommand)
    assert (only.sw, only.seen) == (None, SeenData.UNDECIDED)


def test_length_of_the_answer_behind_the_data_is_no_part_of_the_command() -> None:
    steps, _ = read([frame(SubType.APDU, bytes.fromhex(one)) for one in ("00a40004023f0000", "6135")])
    assert tpdus(steps) == [bytes.fromhex("00a40004023f00")]
    steps, _ = read([frame(SubType.APDU, bytes.fromhex(one)) for one in ("80f20000", "6110")])
    assert tpdus(steps) == [bytes.fromhex("80f2000000")]


def test_what_is_of_no_use_is_counted() -> None:
    good = joined()[0]
    others = [
        None,
        Datagram(b"\x03" + good.payload[1:]),
        Datagram(good.payload[:2] + b"\x01" + good.payload[3:]),
        Datagram(good.payload[:10]),
    ]
    broken = [
        Datagram(good.payload[:1] + b"\x40" + good.payload[2:]),
        frame(SubType.APDU, b""),
        frame(SubType.APDU, bytes(600)),
        frame(2, b"\xff\x10"),
        frame(SubType.STATUS, b"\x90\x00"),
        frame(SubType.HEADER, b"\x00"),
    ]
    reader = SimFrames()
    assert not [step for place, one in enumerate([*others, *broken]) for step in reader.on_datagram(place, one)]
    reader.on_cut()
    assert not list(reader.finish())
    assert reader.left_out == {LeftOut.OTHER_PACKETS: 4, LeftOut.NO_COMMANDS: 6, LeftOut.CUT: 1}


def test_what_our_own_programs_mark_is_no_command_of_the_modem() -> None:
    record = TpduRecord(0, bytes.fromhex("00b0000001"), bytes.fromhex("aa9000"))
    marked = [Datagram(encode_gsmtap(replace(record, mark=mark))) for mark in TpduMark]
    steps, reader = read([*marked, *joined()])
    assert tpdus(steps) == [record.tpdu, *TPDUS]
    assert reader.left_out == {LeftOut.GUESSES: len(TpduMark) - 1}


def test_recorded_datagrams_of_the_c_bankd() -> None:
    document = json.loads(reference("vectors", "gsmtap", "bankd.json").read_text(encoding="utf-8"))
    steps, reader = read([Datagram(bytes.fromhex(one["hex"])) for one in document["datagrams"]])
    assert [type(step) for step in steps] == [SeenReset, SeenCommand, SeenCommand, SeenCommand, SeenReset]
    assert [tpdu[:5].hex() for tpdu in tpdus(steps)] == ["a0a4000002", "00b0000010", "00d60000ff"]
    assert [len(tpdu) for tpdu in tpdus(steps)] == [7, 5, 260]
    assert not reader.left_out
