# SPDX-License-Identifier: Apache-2.0
"""The mask over records that leave a program as GSMTAP."""

from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord
from remsim.trace.mask import TraceMask

SELECT_MF = bytes.fromhex("00a40004023f00")


def test_trace_hides_pins_and_authentication() -> None:
    mask = TraceMask()
    verify = TpduRecord(0, bytes.fromhex("0020000108") + b"1234\xff\xff\xff\xff", b"\x90\x00")
    assert mask(verify) == TpduRecord(0, bytes.fromhex("0020000108") + b"\xff" * 8, b"\x90\x00")
    authenticate = TpduRecord(0, bytes.fromhex("0088008110") + bytes(16), bytes(4) + b"\x90\x00")
    assert mask(authenticate) == TpduRecord(0, bytes.fromhex("0088008110") + b"\xff" * 16, b"\xff" * 4 + b"\x90\x00")
    plain = TpduRecord(0, SELECT_MF, b"\x61\x20")
    assert mask(plain) == plain
    assert mask(AtrRecord(0, b"\x3b\x00")) == AtrRecord(0, b"\x3b\x00")


def test_trace_follows_each_card_and_its_resets() -> None:
    mask = TraceMask()
    select = [bytes.fromhex("00a40004023f00"), bytes.fromhex("00a40004022fe2")]
    read = bytes.fromhex("00b000000a")
    number = bytes.fromhex("98100101000000000019") + b"\x90\x00"
    for command in select:
        mask(TpduRecord(0, command, b"\x61\x20"))
    shown = mask(TpduRecord(0, read, number))
    assert isinstance(shown, TpduRecord)
    assert shown.response == bytes.fromhex("981001ffffffffff0019") + b"\x90\x00"
    mask.on_reset(0)
    again = mask(TpduRecord(0, read, number))
    assert isinstance(again, TpduRecord)
    # The MF is selected, of which nothing is secret.
    assert again.response == number


def test_of_a_card_in_use_nothing_is_shown_until_a_file_is_selected() -> None:
    mask = TraceMask()
    mask.on_unknown_card(0)
    read = TpduRecord(0, bytes.fromhex("00b0850004"), bytes(4) + b"\x90\x00")
    hidden = mask(read)
    assert isinstance(hidden, TpduRecord)
    assert hidden.response == b"\xff" * 4 + b"\x90\x00"
    mask.on_reset(0)
    assert mask(read) == read


def test_trace_knows_what_guesses_have_selected_and_what_the_modem_believes() -> None:
    """The card is ahead of the modem: each is hidden by what is selected where it was run, or is believed to be."""
    mask = TraceMask()
    select = {name: bytes.fromhex(f"00a4000402{name}") for name in ("3f00", "2fe2", "2f00")}
    read, content = bytes.fromhex("00b000000a"), bytes(range(0x10, 0x1A)) + b"\x90\x00"

    def shown(tpdu: bytes, response: bytes, mark: TpduMark = TpduMark.MODEM, *, was_run: bool = True) -> bytes:
        record = mask(TpduRecord(0, tpdu, response, mark, was_run=was_run))
        assert isinstance(record, TpduRecord)
        assert record.mark is mark
        return record.response

    ok = b"\x61\x20"
    shown(select["3f00"], ok)
    shown(select["2f00"], ok)
    # The guess selects the card's number; the modem still has another file.
    shown(select["2fe2"], ok, TpduMark.GUESS)
    assert shown(read, content, TpduMark.GUESS) != content
    assert shown(read, content, was_run=False) == content
    # It is brought back, and the modem's own commands are followed, too.
    shown(select["2f00"], ok, TpduMark.RESTORE)
    assert shown(read, content, TpduMark.GUESS) == content
    shown(select["2fe2"], ok)
    assert shown(read, content, TpduMark.GUESS) != content
    mask.on_reset(0)
    assert shown(read, content, TpduMark.GUESS) == content
