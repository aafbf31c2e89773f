# SPDX-License-Identifier: Apache-2.0
"""The classic shell's lines."""

import asyncio
import io
import os

import pytest

from remsim.emulators.driven import DrivenEmulator, NoCardError
from remsim.emulators.shell.plain import PlainShell, parse_hex_line
from tests.doubles.modem_side import ATR, CardAbove

ATR_LINE = f"SET_ATR: {ATR.hex(' ')} \n"


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("00A40004023F00", "00a40004023f00"),
        ("00 a4 00 04 02 3f 00", "00a40004023f00"),
        ("  00:a4:00:04:02 ", "00a4000402"),
        ("0x00, 0xA4, 0X00", "00a400"),
        ("0x00a400", "00a400"),
        ("RESET", None),
        ("0", None),
        ("00 a", None),
        ("٠٠", None),
        ("", None),
    ],
)
def test_hex_is_read_in_any_spacing(text: str, raw: str | None) -> None:
    parsed = parse_hex_line(text)
    assert (None if parsed is None else parsed.hex()) == raw


class Shell:
    """A plain shell between a string of input and a card."""

    def __init__(self, text: bytes, *, card_wait_s: float = 5.0, why: str = "", is_open: bool = False) -> None:
        self.emulator = DrivenEmulator()
        self.above = CardAbove(self.emulator, lambda tpdu: tpdu[:1] + b"\x90\x00")
        self.output, self.errors = io.StringIO(), io.StringIO()
        reader, self.writer = os.pipe()
        os.write(self.writer, text)
        if not is_open:
            os.close(self.writer)
        self._reader = reader
        self._shell = PlainShell(
            self.emulator, reader, self.output, self.errors, card_wait_s=card_wait_s, why_no_card=lambda: why
        )

    async def run(self, *, has_card: bool = True) -> int:
        await self.emulator.start(self.above)
        if has_card:
            self.above.insert()
        try:
            return await self._shell.run()
        finally:
            os.close(self._reader)


async def test_lines_come_out_as_the_classic_shell_writes_them() -> None:
    shell = Shell(b"00b0000002\r\n\r\n01 a4 00 04 02 3f 00\n")
    assert await shell.run() == 0
    assert shell.output.getvalue() == ATR_LINE + "R-APDU: 00 90 00 \nR-APDU: 01 90 00 \n"
    assert shell.errors.getvalue() == ""


@pytest.mark.parametrize("word", [b"RESET", b"reset", b" Reset "])
async def test_reset_is_a_cold_reset(word: bytes) -> None:
    shell = Shell(word + b"\n" + word)
    assert await shell.run() == 0
    assert [lines.vcc_present for lines in shell.above.lines] == [False, True] * 2


async def test_bad_line_is_told_with_its_number_and_the_rest_goes_on() -> None:
    shell = Shell(b"nonsense\n00b0000002\n" + b"00" * 3000 + b"\n")
    assert await shell.run() == 1
    assert shell.errors.getvalue() == (
        "line 1: neither a command in hex nor RESET\nline 3: neither a command in hex nor RESET\n"
    )
    assert "R-APDU: 00 90 00 \n" in shell.output.getvalue()


async def test_command_without_answer_is_told_and_the_rest_goes_on() -> None:
    shell = Shell(b"00b0000002\n01b0000002\n")
    answer = shell.above.card

    def fail_first(tpdu: bytes) -> bytes | None:
        if tpdu[0] == 0:
            shell.above.abort("link lost")
            return None
        return answer(tpdu)

    shell.above.card = fail_first
    assert await shell.run() == 1
    assert shell.errors.getvalue() == "line 1: no answer: link lost\n"
    assert shell.output.getvalue().endswith("R-APDU: 01 90 00 \n")


async def test_without_a_card_lines_wait_in_vain() -> None:
    with pytest.raises(NoCardError):
        await Shell(b"00b0000002\n", card_wait_s=0.01).run(has_card=False)
    with pytest.raises(NoCardError):
        await Shell(b"RESET\n", card_wait_s=0.01).run(has_card=False)


async def test_without_lines_no_card_is_needed() -> None:
    shell = Shell(b"")
    assert await shell.run(has_card=False) == 0
    shell.emulator.remove_card()
    assert shell.output.getvalue() == ""


VERIFY = b"002000010831323334ffffffff\n"


async def test_command_without_a_card_is_refused_and_not_kept_for_the_next_one() -> None:
    """A PIN that was typed meanwhile would be tried on the wrong card."""
    shell = Shell(b"00b0000002\n", why="not mapped", is_open=True)

    def then_remove(tpdu: bytes) -> None:
        shell.above.respond(tpdu[:1] + b"\x90\x00")
        shell.emulator.remove_card()
        os.write(shell.writer, VERIFY)
        os.write(shell.writer, b"RESET\n")
        os.close(shell.writer)

    shell.above.card = then_remove
    assert await shell.run() == 1
    assert shell.errors.getvalue() == "line 2: no card: not mapped\nline 3: no card: not mapped\n"
    assert len(shell.above.tpdus) == 1
    assert shell.above.lines == []


@pytest.mark.parametrize("other", [ATR, b"\x3b\x00"])
async def test_change_of_card_empties_the_queue_with_a_line_for_each(other: bytes) -> None:
    shell = Shell(b"00b0000002\n" + VERIFY + b"nonsense\n\nRESET\n", is_open=True)

    def swap(tpdu: bytes) -> None:
        shell.above.respond(tpdu[:1] + b"\x90\x00")
        shell.emulator.remove_card()
        shell.above.insert(other)
        shell.above.card = lambda tpdu: tpdu[:1] + b"\x90\x00"
        os.write(shell.writer, b"01b0000002\n")
        os.close(shell.writer)

    shell.above.card = swap
    assert await shell.run() == 1
    assert shell.errors.getvalue() == "".join(f"line {n}: not sent: the card has changed\n" for n in (2, 3, 5))
    assert [tpdu.hex() for tpdu in shell.above.tpdus] == ["00b0000002", "01b0000002"]
    assert shell.above.lines == []


async def test_lines_before_the_first_card_wait_for_it() -> None:
    shell = Shell(b"00b0000002\n")
    asyncio.get_running_loop().call_later(0.01, shell.above.insert)
    assert await shell.run(has_card=False) == 0
    assert shell.output.getvalue() == ATR_LINE + "R-APDU: 00 90 00 \n"


async def test_at_a_terminal_it_goes_on_although_no_card_comes() -> None:
    ours, theirs = os.openpty()
    emulator, errors = DrivenEmulator(), io.StringIO()
    above = CardAbove(emulator, lambda tpdu: tpdu[:1] + b"\x90\x00")
    await emulator.start(above)
    shell = PlainShell(emulator, theirs, io.StringIO(), errors, card_wait_s=0.01)
    os.write(ours, b"00b0000002\n\x04")
    assert await shell.run() == 1
    assert errors.getvalue() == "line 1: no card within 0.01 s\n"
    os.close(ours)
    os.close(theirs)
