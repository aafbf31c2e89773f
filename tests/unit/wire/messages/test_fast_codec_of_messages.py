# SPDX-License-Identifier: Apache-2.0
"""The short cut for TPDUs; that it agrees with the general codec for all values is shown by property tests."""

from collections.abc import Iterator

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.errors import LocalProtocolError
from remsim.wire.messages import ber, fast_codec
from remsim.wire.messages.rspro import NO_FLAGS, RsproPdu, TpduCardToModem, TpduFlags, TpduModemToCard

CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 2)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes.fromhex("00a40004023f00"))
BYTES = "3031800102810107a229ac2730060201010201003006020101020102300c010100010100010100010100"
PDU = bytes.fromhex(BYTES + "040700a40004023f00")


@pytest.fixture(autouse=True)
def _fresh_tables() -> Iterator[None]:
    tables = (fast_codec._layouts, fast_codec._shapes, fast_codec._slots, fast_codec._prefixes)
    for table in tables:
        table.clear()
    yield
    for table in tables:
        table.clear()


@pytest.mark.parametrize("times", [1, 2])
def test_command_goes_both_ways_also_when_seen_before(times: int) -> None:
    for _ in range(times):
        assert fast_codec.encode(7, COMMAND) == PDU
        assert fast_codec.decode(PDU) == RsproPdu(7, COMMAND)


def test_response_has_the_bank_first() -> None:
    response = TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0")
    raw = fast_codec.encode(7, response)
    assert raw.hex() == ("302c800102810107a224ad2230060201010201023006020101020100300c01010001010001010001010004029000")
    assert fast_codec.decode(raw) == RsproPdu(7, response)


TIMED = "3030800102810107a228ad2630060201010201023006020101020100300c01010001010001010001010004029000"


def test_time_of_a_response_stands_behind_its_data() -> None:
    response = TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0", bank_us=300)
    assert fast_codec.encode(7, response).hex() == TIMED + "9602012c"
    assert fast_codec.decode(bytes.fromhex(TIMED + "9602012c")) == RsproPdu(7, response)


@pytest.mark.parametrize(
    "time",
    [
        pytest.param("9602002c", id="more bytes than the number needs"),
        pytest.param("9602812c", id="below zero"),
        pytest.param("9502012c", id="another element"),
        pytest.param("9601012c", id="a byte behind it"),
        pytest.param("9603012c", id="cut short"),
        pytest.param("96000500", id="no number"),
    ],
)
def test_anything_else_behind_the_data_is_left_to_the_general_decoder(time: str) -> None:
    assert fast_codec.decode(bytes.fromhex(TIMED + time)) is None


def test_no_time_is_taken_behind_a_command() -> None:
    assert fast_codec.decode(bytes.fromhex(TIMED.replace("ad", "ac") + "9602012c")) is None


def test_length_of_the_data_in_more_bytes_than_it_needs_is_left_to_the_general_decoder() -> None:
    raw = "3031800102810107a229ad2730060201010201023006020101020100300c0101000101000101000101000481029000" + "9602012c"
    assert fast_codec.decode(bytes.fromhex(raw)) is None


@pytest.mark.parametrize("bank_us", [-1, 2**31])
def test_time_out_of_range_is_not_sent(bank_us: int) -> None:
    with pytest.raises(LocalProtocolError, match="bankTime"):
        fast_codec.encode(7, TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0", bank_us))


@pytest.mark.parametrize("size", [0, 1, 70, 71, 72, 75, 76, 77, 127, 128, 190, 200, 210, 255, 256, 512])
@pytest.mark.parametrize("tag", [0, 127, 128, 2**15, 2**23, 2**31 - 1])
def test_every_form_of_the_lengths_is_taken(size: int, tag: int) -> None:
    message = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(size))
    assert fast_codec.decode(fast_codec.encode(tag, message)) == RsproPdu(tag, message)


def test_flags_are_kept() -> None:
    flags = TpduFlags(final_part=True)
    message = TpduModemToCard(CLIENT, BANK, flags, bytes(5))
    assert fast_codec.decode(fast_codec.encode(0, message)) == RsproPdu(0, message)
    # An equal object of all FALSE is as good as the constant.
    assert fast_codec.encode(7, TpduModemToCard(CLIENT, BANK, TpduFlags(), COMMAND.data)) == PDU


def test_decoded_flags_are_the_constant_if_none_is_set() -> None:
    decoded = fast_codec.decode(PDU)
    assert decoded is not None
    assert isinstance(decoded.msg, TpduModemToCard)
    assert decoded.msg.flags is NO_FLAGS


def change(at: int, raw: str) -> bytes:
    """The PDU with bytes overwritten."""
    new = bytes.fromhex(raw)
    return PDU[:at] + new + PDU[at + len(new) :]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        PDU[:34],
        bytes(35),
        bytes(fast_codec._LONGEST + 1),
        change(0, "31"),
        change(4, "03"),  # another version
        change(6, "00"),  # a tag without bytes
        change(6, "05"),  # a tag of too many
        change(7, "80"),  # a tag below zero
        change(10, "ab"),  # another alternative
        change(9, "2a"),
        change(11, "26"),
        change(13, "ff"),  # slots that reach beyond the end
        change(12, "31"),
        change(14, "04"),
        change(13, "05"),
        change(16, "ff"),  # a number below zero
        change(28, "31"),
        change(29, "0b"),
        change(32, "01"),  # TRUE that is not DER
        change(30, "02"),
        change(42, "05"),  # not the data
        change(43, "06"),
        change(43, "81"),
        change(43, "82"),
        change(43, "ff"),
        PDU + b"\0",
        PDU[:-1],
        # A number with a redundant byte, a third number, a third slot.
        bytes.fromhex("3032800102810107a22aac283007020200010201003006020101020102" + BYTES[72:] + "0407" + "00" * 7),
    ],
)
def test_anything_but_the_exact_der_is_left_to_the_general_decoder(raw: bytes) -> None:
    assert fast_codec.decode(raw) is None


def rebuilt(first: str, second: str, flags: str) -> bytes:
    """A well-formed TPDU message around these contents of its first three fields."""
    content = b"".join(ber.encode(0x30, bytes.fromhex(part)) for part in (first, second, flags))
    message = ber.encode(0xA2, ber.encode(0xAC, content + ber.encode(0x04, bytes(5))))
    return ber.encode(0x30, bytes.fromhex("800102810107") + message)


FLAGS = "010100" * 4


@pytest.mark.parametrize(
    ("first", "second", "flags"),
    [
        ("020101020100020100", "020101020102", FLAGS),
        ("020101", "020101020102", FLAGS),
        ("020101020100", "020101020102", "010100" * 2 + "0100" + "01020000"),
        ("020101020100", "020101020102", "010100" * 3 + "020100"),
        ("020101020100", "020101020102", "010a" + "00" * 10),
        ("0201010201ff", "020101020102", FLAGS),
        ("02020400020100", "020101020102", FLAGS),
        ("02020001020100", "020101020102", FLAGS),
        ("020101040100", "020101020102", FLAGS),
        ("0201012200", "020101020102", FLAGS),
    ],
)
def test_slots_that_encoding_would_not_give_are_left_to_the_general_decoder(
    first: str, second: str, flags: str
) -> None:
    assert fast_codec.decode(rebuilt(first, second, flags)) is None


def test_data_too_long_for_a_tpdu_is_encoded_without_being_remembered() -> None:
    message = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(513))
    raw = fast_codec.encode(7, message)
    assert raw[-513:] == bytes(513)
    assert not fast_codec._layouts


def test_no_size_of_a_pdu_without_der_is_learnt() -> None:
    # 130 bytes in all: 128 of content need two bytes of length, and then only 127 are left.
    for size in (130, 259):
        raw = b"\x30" + bytes(size - 1)
        for tag_at in (7, 8, 9):
            raw = raw[: tag_at - 1] + b"\x01" + raw[tag_at:]
        assert len(raw) == size
        assert fast_codec.decode(raw) is None
    assert not fast_codec._shapes


def test_tables_are_bounded_whatever_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_codec, "_MAX_SLOT_PAIRS", 4)
    for slot in range(20):
        message = TpduModemToCard(ClientSlot(1, slot), BANK, NO_FLAGS, bytes(5))
        assert fast_codec.decode(fast_codec.encode(slot, message)) == RsproPdu(slot, message)
        assert len(fast_codec._slots) <= 4
        assert len(fast_codec._prefixes) <= 4
    learnt = len(fast_codec._shapes)
    for byte in range(256):
        fast_codec.decode(change(6, f"{byte:02x}"))
    assert len(fast_codec._shapes) <= learnt + 4
