# SPDX-License-Identifier: Apache-2.0
"""Class A0."""

import pytest

from tests.doubles.terminal import Terminal, pin


@pytest.fixture
def terminal() -> Terminal:
    return Terminal.of()


def test_directory_header_is_that_of_gsm(terminal: Terminal) -> None:
    assert terminal.sw("A0A40000027F20") == "9F17"
    header = bytes.fromhex(terminal.raw("A0C0000017")[0])
    assert header[4:7].hex() == "7f2002"
    assert header[12] == 10
    assert header[13] & 0x80
    assert (header[14], header[15]) == (0, 17)
    assert header[18:22].hex() == "838a838a"
    assert bytes.fromhex(terminal.ok("A0A40000023F00"))[6] == 1


def test_shorter_get_response_is_answered(terminal: Terminal) -> None:
    terminal.sw("A0A40000027F20")
    assert terminal.raw("A0C0000018") == ("", "6717")
    data, sw = terminal.raw("A0C0000010")
    assert (len(data), sw) == (32, "9000")
    assert terminal.sw("A0C0000001") == "9804"


def test_file_header_is_that_of_gsm(terminal: Terminal) -> None:
    terminal.ok("A0A40000027F20")
    assert terminal.ok("A0A40000026F07") == "000000096F0704001" + "4FF44" + "01020000"
    assert terminal.ok("A0A40000026F39")[26:] == "0303"
    terminal.ok("A0A40000027F10")
    assert terminal.ok("A0A40000026F3A")[26:] == "011C"


def test_reading_and_its_faults(terminal: Terminal) -> None:
    assert terminal.sw("A0B0000001") == "9400"
    terminal.ok("A0A40000027F20")
    terminal.ok("A0A40000026F07")
    assert terminal.raw("A0B0000009") == ("080910100000000010", "9000")
    assert terminal.sw("A0B000000A") == "6709"
    assert terminal.sw("A0B0000901") == "9402"
    assert terminal.sw("A0B2010409") == "9408"
    assert terminal.sw("A0D6000001AA") == "9804"
    assert terminal.sw("A0A40000026FFF") == "9404"
    assert terminal.sw("A0A40000027FFF") == "9404"
    assert terminal.sw("A0A40100027F20") == "6B00"
    assert terminal.sw("A0A40000013F") == "6702"


def test_application_directory_is_out_of_reach(terminal: Terminal) -> None:
    terminal.select_usim()
    assert terminal.sw("A0A40000027FFF") == "9404"


def test_status_gives_as_much_as_is_asked_for(terminal: Terminal) -> None:
    data, sw = terminal.raw("A0F2000016")
    assert (len(data), sw) == (44, "9000")
    assert terminal.sw("A0F2000018") == "6717"
    assert terminal.sw("A0F2010016") == "6B00"


def test_records(terminal: Terminal) -> None:
    terminal.ok("A0A40000027F10")
    terminal.ok("A0A40000026F3A")
    assert terminal.sw("A0DC02041C" + "AB" * 28) == "9000"
    assert terminal.raw("A0B202041C") == ("AB" * 28, "9000")
    assert terminal.sw("A0B202041D") == "671C"
    assert terminal.sw("A0B265041C") == "9402"
    assert terminal.sw("A0B2020C1C") == "6B00"
    assert terminal.sw("A0DC020C1C" + "AB" * 28) == "6B00"


def test_seek_finds_by_the_beginning_of_a_record(terminal: Terminal) -> None:
    terminal.ok("A0A40000027F10")
    terminal.ok("A0A40000026F3A")
    terminal.sw("A0DC05041C" + "CAFE" * 14)
    terminal.sw("A0DC09041C" + "CAFE" * 14)
    assert terminal.sw("A0A2001002CAFE") == "9F01"
    assert terminal.raw("A0C0000001") == ("05", "9000")
    assert terminal.ok("A0B200041C") == "CAFE" * 14
    assert terminal.ok("A0A2001202CAFE") == "09"
    assert terminal.sw("A0A2000202CAFE") == "9404"
    assert terminal.sw("A0A2000302CAFE") == "9000"
    assert terminal.ok("A0A2001102CAFE") == "09"
    assert terminal.sw("A0A2000001FE") == "9404"
    assert terminal.sw("A0A2000401FE") == "6B00"
    assert terminal.sw("A0A2000000") == "6700"


def test_increase_and_newest_record(terminal: Terminal) -> None:
    terminal.ok("A0A40000027F20")
    terminal.ok("A0A40000026F39")
    assert terminal.ok("A032000003000007") == "000007000007"
    terminal.ok("A0A40000026F39")
    assert terminal.raw("A0B2000403") == ("000007", "9000")
    assert terminal.sw("A03200000407000000") == "6703"
    assert terminal.sw("A032010003000007") == "6B00"
    assert terminal.sw("A032000003FFFFFF") == "9850"


def test_chv_commands_and_their_faults(terminal: Terminal) -> None:
    right, wrong = pin("1234"), pin("0000")
    assert terminal.sw("A020000108" + right) == "9808"
    assert terminal.sw("A028000108" + wrong) == "9804"
    assert terminal.sw("A028000108" + right) == "9000"
    assert terminal.sw("A028000108" + right) == "9808"
    assert terminal.sw("A020000108" + right) == "9000"
    assert terminal.sw("A020000208" + pin("5678")) == "9000"
    assert terminal.sw("A024000110" + right + pin("4321")) == "9000"
    for _ in range(2):
        assert terminal.sw("A020000108" + wrong) == "9804"
    assert terminal.sw("A020000108" + wrong) == "9840"
    assert terminal.sw("A020000108" + pin("4321")) == "9840"
    assert terminal.sw("A02C000010" + pin("12345678") + right) == "9000"
    assert terminal.sw("A026000108" + right) == "9000"
    assert terminal.sw("A020000100") == "6708"
    assert terminal.sw("A020000308" + right) == "6B00"
    assert terminal.sw("A026000208" + right) == "6B00"


def test_invalidated_file(terminal: Terminal) -> None:
    terminal.sw("0020000A08" + pin("88888888"))
    terminal.ok("A0A40000027F20")
    terminal.ok("A0A40000026F7B")
    assert terminal.sw("A004000000") == "9000"
    assert terminal.sw("A0B000000C") == "9810"
    assert terminal.ok("A0A40000026F7B")[22:24] == "00"
    assert terminal.sw("A044000000") == "9000"
    assert terminal.raw("A0B000000C")[1] == "9000"


def test_sleep_and_toolkit(terminal: Terminal) -> None:
    assert terminal.sw("A0FA000000") == "9000"
    sw = terminal.sw("A010000001FF")
    assert sw.startswith("91")
    assert terminal.raw("A0120000" + sw[2:])[1] == "9000"
    assert terminal.sw("A01400000100") == "9000"
    assert terminal.sw("A0C200000100") == "9000"
