# SPDX-License-Identifier: Apache-2.0
"""The interactive shell."""

import asyncio
import re
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent, NestedCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.input.base import PipeInput
from prompt_toolkit.input.defaults import create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.shell import console as console_module
from remsim.emulators.shell.console import (
    CarefulHistory,
    Console,
    ShellHistory,
    _completions,
    fold,
    hex_dump,
    is_secret,
    open_history,
)
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from tests.doubles.modem_side import ATR, CardAbove

#: What colours and moves the cursor.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

FCP = bytes.fromhex("620782054221000303")


def card(tpdu: bytes) -> bytes:
    match tpdu[1]:
        case 0xA4:
            return b"\x61\x09"
        case 0xC0:
            return FCP + b"\x90\x00"
        case 0xB0:
            return b"\x08\x09A" + b"\x90\x00"
        case 0xB2:
            return bytes([tpdu[2]] * 3) + b"\x90\x00"
    return b"\x6d\x00"


class Shown(Console):
    """A console whose words are kept."""

    def __init__(self, *, history: Path | None = None) -> None:
        self.emulator = DrivenEmulator()
        self.above = CardAbove(self.emulator, card)
        self.words: list[str] = []
        self.why = "nobody is mapped"
        super().__init__(
            self.emulator, history=history, status=lambda: [("server", "CONNECTED")], why_no_card=lambda: self.why
        )

    def say(self, text: str, style: str = "") -> None:
        self.words.append(text)

    async def typed(self, line: str) -> list[str]:
        self.words.clear()
        await self.obey(line)
        return self.words


@pytest.fixture
async def shell() -> Shown:
    shell = Shown()
    await shell.emulator.start(shell.above)
    shell.above.insert()
    return shell


async def test_hex_is_sent_and_the_answer_explained(shell: Shown) -> None:
    sent, data, answer = await shell.typed("00 b0 0000 03")
    assert sent == "→ 00 B0 00 00 03   READ BINARY, 3 bytes"
    assert data.split() == ["08", "09", "41", "..A"]
    assert answer.startswith("← 9000 ok   ")
    assert (await shell.typed("00f20000"))[-1].startswith("← 6D00 instruction not supported")


async def test_select_fetches_and_explains(shell: Shown) -> None:
    words = await shell.typed("SELECT 3f00 / 6f3a")
    assert [tpdu.hex() for tpdu in shell.above.tpdus] == ["00a40804026f3a", "00c0000009"]
    assert words[-1] == "  linear fixed EF, 3 records of 3 bytes"


async def test_records_are_read_one_by_one_or_all(shell: Shown) -> None:
    assert (await shell.typed("read record all"))[-1].startswith("the number of records is not known")
    await shell.typed("select 6f3a")
    words = await shell.typed("read record all")
    assert [line.split()[:3] for line in words if line.startswith("  ")] == [["01"] * 3, ["02"] * 3, ["03"] * 3]
    await shell.typed("read record 0x02")
    await shell.typed("read record 2 4")
    assert [tpdu.hex() for tpdu in shell.above.tpdus[-2:]] == ["00b2020403", "00b2020404"]


async def test_binary_is_read_whole_or_in_part(shell: Shown) -> None:
    await shell.typed("read binary 3 0x100")
    assert shell.above.tpdus[-1].hex() == "00b0010003"
    await shell.typed("read binary 3")
    await shell.typed("read binary")
    assert [tpdu.hex() for tpdu in shell.above.tpdus[-2:]] == ["00b0000003", "00b0000000"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "'nonsense' is neither a command in hex nor a helper (try help)"),
        ("00", "not a command: "),
        ("select ef", "'ef' is no path"),
        ("read", "read what? "),
        ("read record x", "'x' is no number"),
        ("reset hot", "there is no hot reset"),
        ("reset cold now", "there is no cold now reset"),
    ],
)
async def test_what_is_not_understood_is_told_in_one_line(shell: Shown, line: str, words: str) -> None:
    (said,) = await shell.typed(line)
    assert said.startswith(words)


async def test_empty_line_does_nothing(shell: Shown) -> None:
    assert await shell.typed("   ") == []


async def test_resets(shell: Shown) -> None:
    assert await shell.typed("reset") == ["cold reset sent"]
    assert await shell.typed("reset warm") == ["warm reset sent"]
    assert [lines.vcc_present for lines in shell.above.lines] == [False, True, True, True]


async def test_atr_is_explained(shell: Shown) -> None:
    words = await shell.typed("atr")
    assert words[0] == ATR.hex(" ").upper()
    assert words[1] == "  direct convention, T=0, Fi 512, Di 32"
    # Some readers deliver a wrong check byte, or more bytes than are announced.
    shell.emulator.set_atr(bytes.fromhex("3b800182ff"))
    words = await shell.typed("atr")
    assert words[-3:-1] == ["  its end is wrong: it should be 3B 80 01 81", "  direct convention, T=1, Fi 372, Di 1"]
    shell.emulator.set_atr(b"\x3b")
    assert (await shell.typed("atr"))[-1].startswith("not a proper ATR: ")


async def test_status_and_help(shell: Shown) -> None:
    assert await shell.typed("status") == ["server   CONNECTED", f"card     ATR {ATR.hex(' ').upper()}", "file     MF"]
    await shell.typed("select 6f3a")
    assert (await shell.typed("status"))[-1] == "file     MF/EF.ADN: linear fixed EF, 3 records of 3 bytes"
    (text,) = await shell.typed("help")
    assert "select NAME|PATH|AID" in text
    assert max(map(len, text.splitlines())) < 80


async def test_without_a_card_helpers_say_so(shell: Shown) -> None:
    shell.words.clear()
    shell.emulator.remove_card()
    assert shell.words == ["card removed"]
    assert await shell.typed("atr") == ["no card (nobody is mapped)"]
    assert await shell.typed("reset") == ["no card (nobody is mapped)"]
    assert (await shell.typed("status"))[-1] == "card     none"
    for line in ("00b0000001", "select 3f00", "read binary", "read record 1"):
        assert await shell.typed(line) == ["no card (nobody is mapped)"]
    assert shell.above.tpdus == []


def test_lines_are_folded_between_words() -> None:
    sentence = "no card: bank 1 is not connected (see remsim ctl mappings on the host of the server-side programs)"
    assert fold(sentence, 40).split("\n") == [
        "no card: bank 1 is not connected (see",
        "  remsim ctl mappings on the host of the",
        "  server-side programs)",
    ]
    assert fold("  one two three\n\nfour", 11) == "  one two\n    three\n\nfour"
    # What fits is left as it is, blanks in it, too.
    (dumped,) = hex_dump(bytes(range(0x30, 0x40)))
    assert fold(f"  {dumped}", 80) == f"  {dumped}"
    assert fold(f"{'link':<8} up", 80) == "link     up"
    # A word that is too long for any line is broken all the same, and however narrow it is, there is an end.
    assert fold("x" * 10, 4) == "xxxx\n  xx\n  xx\n  xx"
    assert fold("  ab", 1).replace("\n", "").replace(" ", "") == "ab"


async def test_lines_are_as_long_as_the_terminal_is_wide(shell: Shown) -> None:
    written = StringIO()
    size = Size(rows=24, columns=40)
    with create_app_session(output=Vt100_Output(written, lambda: size)):
        Console.say(shell, "neither a path, an AID nor the name of a file: for example select EF.IMSI")
    lines = written.getvalue().splitlines()
    assert max(len(_ESCAPES.sub("", line)) for line in lines) <= 40
    assert "name of a file" in " ".join(" ".join(_ESCAPES.sub("", line) for line in lines).split())


def test_bytes_are_shown_in_hex_and_as_text() -> None:
    assert hex_dump(b"") == []
    first, second = hex_dump(b"0123456789abcdef\x00")
    assert first.endswith("36 37 38 39 61 62 63 64 65 66  0123456789abcdef")
    assert second.split() == ["00", "."]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0020000108 31323334ffffffff", True),
        ("0x00 0x20 0x00 0x01 0x04 0x31 0x32 0x33 0x34", True),
        ("0020000108 31323334fffffff", True),
        ("0020 0001 31323334ffffffff", True),
        ("verify 1234", True),
        ("00d6000002 0711", True),
        ("0020000100", False),
        ("00b0000001", False),
        ("select 3f00", False),
        ("READ binary 3", False),
        ("  ", False),
    ],
)
def test_lines_that_may_hold_a_secret_are_recognised(line: str, expected: bool) -> None:
    assert is_secret(line) is expected


async def test_pin_is_not_shown(shell: Shown) -> None:
    words = await shell.typed("0020000108 31323334ffffffff")
    assert words[0] == "→ 00 20 00 01 08 (8 bytes hidden)   VERIFY PIN 01"


def test_history_is_for_its_owner_only_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "state" / "history"
    history = open_history(file)
    assert isinstance(history, ShellHistory)
    for line in ("select 3f00", "002000010831323334ffffffff", "select 6f08", "00d600000207ff", "read binary"):
        history.append_string(line)
    history.store_string("002000010831323334ffffffff")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    kept = ["read binary", "select 6f08", "select 3f00"]
    assert list(open_history(file).load_history_strings()) == kept
    assert history._loaded_strings == kept


def test_history_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "history"
    file.touch()
    file.chmod(0o644)
    assert isinstance(open_history(file), ShellHistory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_history_that_goes_into_a_device_leaves_that_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "history").symlink_to("/dev/null")
    before = Path("/dev/null").stat().st_mode
    assert isinstance(open_history(tmp_path / "history"), ShellHistory)
    assert Path("/dev/null").stat().st_mode == before


def test_history_that_cannot_be_kept_is_forgotten_and_offers_no_secrets_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for history in (open_history(tmp_path / "file" / "history"), open_history(None)):
        assert isinstance(history, CarefulHistory)
        history.append_string("atr")
        history.append_string("002000010831323334ffffffff")
        assert history.get_strings() == ["atr"]


def test_history_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "MAX_HISTORY_BYTES", 400)
    file = tmp_path / "history"
    for number in range(40):
        open_history(file).append_string(f"read record {number}")
    assert file.stat().st_size < 500
    strings = list(open_history(file).load_history_strings())
    assert strings[0] == "read record 39"
    assert len(strings) < 20
    assert all(line.startswith("read record ") for line in strings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


@pytest.mark.parametrize("ending", ["quit\r", "EXIT\r", "\x04"])
async def test_prompt_obeys_until_told_to_end(keyboard: PipeInput, shell: Shown, ending: str) -> None:
    keyboard.send_text("half a line\x03" + "reset\r" + ending)
    assert await shell.run() == 0
    assert shell.words[-1] == "cold reset sent"


async def test_words_go_to_the_terminal(keyboard: PipeInput) -> None:
    console = Console(DrivenEmulator())
    keyboard.send_text("quit\r")
    assert await console.run() == 0
    console.say("nobody reads this any more")


# A card with files


@pytest.fixture
async def sim() -> Shown:
    """A console with a software card."""
    shell = Shown()
    uicc = Uicc(load_profile("default"))
    uicc.cold_reset()
    shell.above.card = uicc.transmit
    await shell.emulator.start(shell.above)
    shell.above.insert()
    return shell


async def test_every_path_of_the_help_works_from_a_fresh_card(sim: Shown) -> None:
    text = " ".join((await sim.typed("help"))[0].split())
    examples = text.partition("select NAME|PATH|AID")[2].partition(";")[0].split(",")
    assert len(examples) == 5
    for example in examples:
        sim.emulator.remove_card()
        sim.above.insert()
        words = await sim.typed(f"select {example}")
        assert any(word.startswith("← 9000") for word in words), (example, words)


async def test_names_are_accepted_where_they_are_printed(sim: Shown) -> None:
    for name in ("EF.ICCID", "EF.DIR", "EF.IMSI", "EF.UST", "EF.SPN", "ADF.USIM", "EF.FPLMN", "MF"):
        words = await sim.typed(f"select {name}")
        assert any(word.startswith("→") and name in word for word in words), words
        assert any(word.startswith("← 9000") for word in words), words
        assert (await sim.typed("status"))[-1].split()[1].rstrip(":").endswith(name)


async def test_contents_of_well_known_files_are_read_in_words(sim: Shown) -> None:
    async def read(name: str) -> list[str]:
        await sim.typed(f"select {name}")
        words = await sim.typed("read binary")
        end = max(index for index, word in enumerate(words) if word.startswith("←"))
        return words[end + 1 :]

    (iccid,) = await read("EF.ICCID")
    assert re.fullmatch(r"  ICCID 89\d{16,18}", iccid)
    (imsi,) = await read("EF.IMSI")
    assert re.fullmatch(r"  IMSI \d{15}", imsi)
    assert (await read("EF.SPN"))[0].startswith("  service provider name '")
    assert "  service  27 GSM access" in await read("EF.UST")
    assert re.fullmatch(r"  .*, MNC of [23] digits", (await read("EF.AD"))[0])
    await sim.typed("select EF.DIR")
    assert any(word.startswith("  ADF.USIM, AID A0000000871002") for word in await sim.typed("read record 1"))


async def test_status_follows_a_select_in_hex(sim: Shown) -> None:
    await sim.typed("00a40004022fe2")
    (length,) = re.findall("← 6C(..)", "".join(await sim.typed("00c0000000")))
    await sim.typed(f"00c00000{length}")
    assert (await sim.typed("status"))[-1].startswith("file     MF/EF.ICCID: transparent EF, 10 bytes")
    (words,) = [word for word in await sim.typed("00b000000a") if "ICCID" in word]
    assert words.startswith("  ICCID 89")
    await sim.typed("reset")
    assert (await sim.typed("status"))[-1] == "file     MF"


async def test_old_class_is_followed_too(shell: Shown) -> None:
    gsm = bytes.fromhex("0000000a2fe2040000 ff550102 0000")
    shell.above.card = lambda tpdu: b"\x9f\x0f" if tpdu[1] == 0xA4 else gsm + b"\x90\x00"
    await shell.typed("a0a40000022fe2")
    assert (await shell.typed("a0c000000f"))[-1] == "  transparent EF, 10 bytes"


def completions(text: str) -> dict[str, str]:
    completer = NestedCompleter.from_nested_dict(_completions())
    found = completer.get_completions(Document(text), CompleteEvent())
    return {completion.text: completion.display_meta_text for completion in found}


def test_completion_knows_names_and_shows_what_numbers_mean() -> None:
    assert "EF.IMSI" in completions("select EF.IM")
    assert completions("select 6f07") == {"6f07": "EF.IMSI"}
    assert "record" in completions("read r")


# Another card


async def test_reason_is_told_once_and_when_it_changes(shell: Shown) -> None:
    def looked(times: int) -> list[str]:
        shell.words.clear()
        for _ in range(times):
            shell.look_at_reason()
        return shell.words

    assert looked(3) == []
    shell.emulator.remove_card()
    assert looked(1) == []
    assert looked(5) == ["no card: nobody is mapped"]
    shell.why = "the bankd is away"
    assert looked(5) == ["no card: the bankd is away"]
    shell.above.insert()
    assert looked(2) == []
    shell.emulator.remove_card()
    assert looked(2) == ["no card: the bankd is away"]


async def test_reason_that_a_refused_command_was_told_is_not_said_again(shell: Shown) -> None:
    shell.emulator.remove_card()
    assert (await shell.typed("00a40004023f00"))[-1] == "no card (nobody is mapped)"
    shell.words.clear()
    for _ in range(5):
        shell.look_at_reason()
    assert shell.words == []
    shell.why = "the bankd is away"
    for _ in range(5):
        shell.look_at_reason()
    assert shell.words == ["no card: the bankd is away"]


async def test_reason_is_told_at_the_prompt(keyboard: PipeInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "REASON_INTERVAL_S", 0.0)

    class Told(Shown):
        def say(self, text: str, style: str = "") -> None:
            super().say(text, style)
            if text.startswith("no card"):
                keyboard.send_text("quit\r")

    shell = Told()
    assert await shell.run() == 0
    assert shell.words[-1] == "no card: nobody is mapped"


async def test_helper_of_several_commands_ends_with_its_card(shell: Shown) -> None:
    await shell.typed("select 6f3a")
    answer = shell.above.card

    def swap(tpdu: bytes) -> bytes | None:
        shell.above.respond(card(tpdu))
        shell.emulator.remove_card()
        shell.above.insert()
        shell.above.card = answer
        return None

    shell.above.card, before = swap, len(shell.above.tpdus)
    words = await shell.typed("read record all")
    assert words[-1] == "not sent: the card has changed"
    assert len(shell.above.tpdus) == before + 1


async def test_lines_typed_ahead_or_pasted_do_not_reach_the_next_card(keyboard: PipeInput, shell: Shown) -> None:
    def swap(tpdu: bytes) -> bytes:
        shell.above.respond(b"\x90\x00")
        shell.emulator.remove_card()
        shell.above.insert()
        shell.above.card = card
        # Read together with the line before, in the terminal, and after the change.
        keyboard.send_text("002000010831323334ffffffff\rread binary 2\r")
        return b""

    shell.above.card = swap
    pasted = "\x1b[200~00b0000001\n00200001083132333435363738\x1b[201~\r"
    keyboard.send_text(pasted + "read binary 1\r")
    shell.above.tpdus.clear()

    said = shell.words

    def until_dropped() -> None:
        if sum(word.startswith("not sent") for word in said) >= 4:
            keyboard.send_text("quit\r")
        else:
            asyncio.get_running_loop().call_later(0.01, until_dropped)

    until_dropped()
    assert await shell.run() == 0
    assert [tpdu.hex() for tpdu in shell.above.tpdus] == ["00b0000001"]
    assert [word for word in said if word.startswith("not sent")] == [
        "not sent, the card has changed: 00 20 00 01 08 (8 bytes hidden)",
        "not sent, the card has changed: read binary 1",
        "not sent, the card has changed: 00 20 00 01 08 (8 bytes hidden)",
        "not sent, the card has changed: read binary 2",
    ]


async def test_line_begun_at_one_card_needs_a_second_enter_at_the_next(keyboard: PipeInput, shell: Shown) -> None:
    """The card may be exchanged between two letters of a PIN."""
    loop, warning = (
        asyncio.get_running_loop(),
        "not sent, the card has changed since you began this line; Enter sends it now",
    )
    shell.above.tpdus.clear()

    def when_begun() -> None:
        if shell._begun_card is None:
            loop.call_later(0.01, when_begun)
            return
        shell.emulator.remove_card()
        shell.above.insert()
        keyboard.send_text("0001\r")
        when_warned()

    def when_warned() -> None:
        if warning not in shell.words:
            loop.call_later(0.01, when_warned)
            return
        assert shell.above.tpdus == []
        # What was typed is still there. A line of the card that is there now is sent at once.
        keyboard.send_text("\r00b0000002\rquit\r")

    keyboard.send_text("00b000")
    when_begun()
    assert await shell.run() == 0
    assert [tpdu.hex() for tpdu in shell.above.tpdus] == ["00b0000001", "00b0000002"]
    assert shell.words.count(warning) == 1


async def test_line_that_asks_nothing_of_a_card_is_obeyed_whatever_card_is_there(
    keyboard: PipeInput, shell: Shown
) -> None:
    loop = asyncio.get_running_loop()

    def when_begun() -> None:
        if shell._begun_card is None:
            loop.call_later(0.01, when_begun)
            return
        shell.emulator.remove_card()
        shell.above.insert()
        keyboard.send_text("us\rquit\r")

    keyboard.send_text("stat")
    when_begun()
    assert await shell.run() == 0
    assert "server   CONNECTED" in shell.words


@pytest.mark.parametrize(
    "text", ["select 3f00\n002000010831323334ffffffff", "read 002000010831323334ffffffff", "help\nverify 1234"]
)
def test_secret_behind_a_helper_is_one(text: str) -> None:
    assert is_secret(text)
    assert not is_secret("select 3f00\nread binary 4")
    assert not is_secret("select a0000000871002ff")
