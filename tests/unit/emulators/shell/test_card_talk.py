# SPDX-License-Identifier: Apache-2.0
"""The shell's words and the commands that they stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.apdu import ResponseApdu
from remsim.card.selection import AT_MF, Selected
from remsim.card.tlv import encode_tlv
from remsim.emulators.shell.card_talk import (
    CardTalk,
    FileInfo,
    UsageError,
    parse_command,
    parse_fcp,
    parse_response,
    select_commands,
)


def fcp(descriptor: str, size: int | None = None) -> bytes:
    inner = encode_tlv(0x82, bytes.fromhex(descriptor))
    if size is not None:
        inner += encode_tlv(0x80, size.to_bytes(2))
    return encode_tlv(0x62, inner)


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("3f00", "00a40004023f00"),
        ("6F07", "00a40004026f07"),
        ("3f00/ef.iccid", "00a40804022fe2"),
        ("EF.ICCID", "00a40804022fe2"),
        ("MF", "00a40004023f00"),
        ("DF.GSM / EF.IMSI", "00a40804047f206f07"),
        ("EF.SST", "00a40804047f206f38"),
        ("ADF.USIM", "00a4040407a0000000871002"),
        ("/3f00/7f20/6f07/", "00a40804047f206f07"),
        ("a0000000871002", "00a4040407a0000000871002"),
    ],
)
def test_select_takes_identifiers_paths_and_aids(target: str, command: str) -> None:
    assert [tpdu.hex() for tpdu in select_commands(target, AT_MF)] == [command]


@pytest.mark.parametrize("target", ["7fff/6f07", "EF.IMSI", "adf.usim/6f07", "current ADF/EF.IMSI"])
def test_select_takes_the_application_first_where_a_file_is_in_one(target: str) -> None:
    expected = ["00a4040407a0000000871002", "00a40804047fff6f07"]
    assert [tpdu.hex() for tpdu in select_commands(target, AT_MF)] == expected
    in_usim = Selected(("ADF.USIM",), application="ADF.USIM")
    assert [tpdu.hex() for tpdu in select_commands(target, in_usim)] == expected[1:]


def test_of_several_files_with_one_name_that_in_the_selected_directory_is_meant() -> None:
    in_gsm = Selected((0x3F00, 0x7F20))
    assert [tpdu.hex() for tpdu in select_commands("EF.KC", in_gsm)] == ["00a40804047f206f20"]
    assert select_commands("EF.KC", AT_MF)[-1].hex() == "00a40804067fff5f3b4f20"
    in_usim = Selected(("ADF.USIM",), application="ADF.USIM")
    assert [tpdu.hex() for tpdu in select_commands("EF.IST", in_usim)] == [
        "00a4040407a0000000871004",
        "00a40804047fff6f07",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "xyz",
        "3f0",
        "3f00/6f0",
        "3f00/6f",
        "a00000",
        "a0" * 17,
        "3f00/a0000000871002",
        "EF.NONE",
        "3f00/EF.NONE",
        "3f00/ADF.USIM",
    ],
)
def test_select_refuses_anything_else(target: str) -> None:
    with pytest.raises(UsageError):
        select_commands(target, AT_MF)


@pytest.mark.parametrize(
    ("raw", "tpdu"),
    [
        ("00a40004023f00", "00a40004023f00"),
        ("00a40004023f0000", "00a40004023f00"),
        ("00f20000", "00f2000000"),
        ("00b0000002", "00b0000002"),
        # Extended ones, whose P3 is 00: without data, and with it.
        ("80f20000000168", "80f2000000"),
        ("80f20000000016", "80f2000016"),
        ("00a40004000002" + "3f00" + "0000", "00a40004023f00"),
    ],
)
def test_apdus_of_all_cases_become_tpdus(raw: str, tpdu: str) -> None:
    assert parse_command(bytes.fromhex(raw)).hex() == tpdu


@pytest.mark.parametrize("raw", ["", "00", "00a40004033f00"])
def test_what_is_no_command_is_told(raw: str) -> None:
    with pytest.raises(UsageError, match="not a command"):
        parse_command(bytes.fromhex(raw))


def test_response_of_one_byte_is_told() -> None:
    with pytest.raises(UsageError):
        parse_response(b"\x90")


@pytest.mark.parametrize(
    ("data", "info", "words"),
    [
        (fcp("4121", 10), FileInfo("transparent EF", 10), "transparent EF, 10 bytes"),
        (
            fcp("42210020 05", 160),
            FileInfo("linear fixed EF", 160, 32, 5),
            "linear fixed EF, 5 records of 32 bytes, 160 bytes",
        ),
        (fcp("4621000303"), FileInfo("cyclic EF", None, 3, 3), "cyclic EF, 3 records of 3 bytes"),
        (fcp("4221000101"), FileInfo("linear fixed EF", None, 1, 1), "linear fixed EF, 1 record of 1 byte"),
        (fcp("7821"), FileInfo("DF or ADF"), "DF or ADF"),
        (fcp("3921"), FileInfo("BER-TLV EF"), "BER-TLV EF"),
        (fcp("4021"), FileInfo("EF"), "EF"),
    ],
)
def test_fcp_is_explained(data: bytes, info: FileInfo, words: str) -> None:
    assert parse_fcp(data) == info
    assert str(info) == words


@pytest.mark.parametrize("data", [b"", b"\x62", encode_tlv(0x6F, b"\x82\x01\x41"), encode_tlv(0x62, b"\x80\x01\x41")])
def test_what_is_no_fcp_says_nothing(data: bytes) -> None:
    assert parse_fcp(data) is None


@given(st.binary())
def test_any_bytes_are_an_fcp_or_none(data: bytes) -> None:
    parse_fcp(data)


class Card:
    """Answers from a list of pairs."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers = list(answers)

    async def exchange(self, tpdu: bytes) -> ResponseApdu:
        expected, answer = self.answers.pop(0)
        assert tpdu.hex() == expected.replace(" ", "")
        return ResponseApdu.from_bytes(bytes.fromhex(answer))


async def test_select_fetches_and_remembers_the_fcp() -> None:
    template = fcp("4121", 300)
    card = Card(("00a40004026f07", f"61{len(template):02x}"), (f"00c00000{len(template):02x}", template.hex() + "9000"))
    talk = CardTalk(card.exchange)
    assert (await talk.select("6f07")).sw == 0x9000
    assert talk.file == FileInfo("transparent EF", 300)
    card.answers = [("00b0000000", "11" * 256 + "9000"), ("00b001002c", "22" * 44 + "9000")]
    assert (await talk.read_binary()).data == b"\x11" * 256 + b"\x22" * 44
    card.answers = [("00b001002c", "22" * 44 + "9000")]
    assert len((await talk.read_binary(offset=256)).data) == 44


async def test_select_that_is_answered_with_a_warning_fetches_the_fcp_all_the_same() -> None:
    # Clause 7.3.1.1.4: the file is deactivated. The card says with 6Cxx how much there is.
    template = fcp("4121", 300).hex()
    length = f"{len(template) // 2:02x}"
    card = Card(("00a40004026f07", "6283"), ("00c0000000", f"6c{length}"), (f"00c00000{length}", template + "9000"))
    talk = CardTalk(card.exchange)
    assert await talk.select("6f07") == ResponseApdu(bytes.fromhex(template), 0x6283)
    assert talk.file == FileInfo("transparent EF", 300)
    assert card.answers == []


async def test_answer_that_comes_in_parts_is_fetched_whole() -> None:
    card = Card(("00a40004026f07", "6104"), ("00c0000004", "01020304 6102"), ("00c0000002", "0506 9000"))
    assert await CardTalk(card.exchange).select("6f07") == ResponseApdu(bytes.fromhex("010203040506"), 0x9000)


async def test_read_follows_6c_to_the_end_of_the_file() -> None:
    card = Card(("00b0000000", "6c05"), ("00b0000005", "1122334455 9000"))
    assert await CardTalk(card.exchange).read_binary() == ResponseApdu(bytes.fromhex("1122334455"), 0x9000)
    assert card.answers == []


async def test_read_stops_at_an_error() -> None:
    card = Card(("00b0000000", "33" * 256 + "9000"), ("00b0010001", "6b00"))
    assert (await CardTalk(card.exchange).read_binary(257)).sw == 0x6B00


async def test_read_record_uses_the_length_that_is_known() -> None:
    card = Card(("00b2020400", "6c03"), ("00b2020403", "aabbcc9000"), ("00b2020404", "6a83"), ("00b2010420", "9000"))
    talk = CardTalk(card.exchange)
    assert (await talk.read_record(2)).data == b"\xaa\xbb\xcc"
    assert (await talk.read_record(2, 4)).sw == 0x6A83
    talk.file = FileInfo("linear fixed EF", 64, 32, 2)
    assert (await talk.read_record(1)).sw == 0x9000


@pytest.mark.parametrize(("number", "length"), [(0, None), (255, None), (1, 0), (1, 257)])
async def test_impossible_records_are_refused(number: int, length: int | None) -> None:
    with pytest.raises(UsageError):
        await CardTalk(Card().exchange).read_record(number, length)


@pytest.mark.parametrize(("length", "offset"), [(1, 0x8000), (1, -1), (0, 0), (0x8001, 0)])
async def test_impossible_offsets_are_refused(length: int, offset: int) -> None:
    with pytest.raises(UsageError):
        await CardTalk(Card().exchange).read_binary(length, offset)
