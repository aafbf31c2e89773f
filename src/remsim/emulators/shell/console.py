# SPDX-License-Identifier: Apache-2.0
"""The shell on a terminal: line editing, history, completion, helpers, and answers in words.

What happens meanwhile (card removed, link lost) is written above the prompt. Answers are shown as they are, to the
person who asked for them; lines that may hold a secret are kept in no history. Knows no links: their state comes in as
text.
"""

import asyncio
import contextlib
import os
import re
import stat
import textwrap
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import get_app_session
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer, NestedCompleter, WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.patch_stdout import patch_stdout

from remsim.card.apdu import ResponseApdu
from remsim.card.atr import mend_atr, parse_atr
from remsim.card.errors import AtrError
from remsim.card.filenames import FILE_NAMES, NAMED_PATHS
from remsim.card.instructions import describe_command
from remsim.card.status import SwKind, describe_sw, sw_kind
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.errors import RemsimError
from remsim.emulators.driven import CardChange, DrivenEmulator, NotSentError
from remsim.emulators.shell.card_talk import CardTalk, UsageError, parse_command, parse_response, path_text
from remsim.emulators.shell.input_lines import available
from remsim.emulators.shell.plain import parse_hex_line
from remsim.redaction import is_pin_command, may_be_secret

#: Fits a terminal of 80 columns.
_HELP: Final = """\
HEX                            a command, spaced as you like; a missing P3 or
                               surplus Le is put right
select NAME|PATH|AID           EF.IMSI, ADF.USIM, 7fff/6f07, 3f00/7f20/6f07,
                               a0000000871002; explains the file
read binary [LENGTH [OFFSET]]  the selected file, or a part of it
read record N|all [LENGTH]     one record, or every record of the selected file
reset [cold|warm]              reset the card; cold takes its power away
atr                            the card's answer to reset, explained
status                         links, slots and card
help, quit"""

_COLOURS: Final = {SwKind.OK: "ansigreen", SwKind.MORE: "ansigreen", SwKind.WARNING: "ansiyellow"}

#: How often the shell looks whether the reason why there is no card is another one.
REASON_INTERVAL_S: Final = 1.0

StatusLines = Callable[[], Sequence[tuple[str, str]]]


#: Some twenty thousand lines; of a longer history the newer half is kept.
MAX_HISTORY_BYTES: Final = 1 << 20
#: How an entry of the file begins: an empty line, and a comment with its time.
_ENTRY: Final = b"\n# "

#: First words of lines that hold no bytes of a card but names of files.
_WORDS: Final = ("select", "read", "reset", "atr", "status", "help", "?")
#: Of them, and of what ends the shell, those that ask nothing of a card.
_NOT_FOR_A_CARD: Final = frozenset({"atr", "status", "help", "?", "quit", "exit"})


def is_secret(line: str) -> bool:
    """Whether a line must not be kept: a command with data that may be a PIN, a challenge, a key, a file's content.

    A line that is not understood is one, too: it may be such a command with a digit too many.
    """
    # A line that was pasted may be several.
    return any(_is_secret(part) for part in line.splitlines())


def _is_secret(line: str) -> bool:
    words = line.split()
    if not words:
        return False
    if words[0].lower() in _WORDS:
        # No helper takes a command, but somebody may have typed one behind it.
        raw = parse_hex_line(" ".join(words[1:]))
        return raw is not None and len(raw) > HEADER_LENGTH and words[0].lower() != "select"
    raw = parse_hex_line(line)
    return raw is None or may_be_secret(raw)


class CarefulHistory(InMemoryHistory):
    """What was typed in this session, without what must not be kept: a suggestion would show it again."""

    def append_string(self, string: str) -> None:
        """Remember a line, unless it may hold a secret."""
        if not is_secret(string):
            super().append_string(string)


class ShellHistory(FileHistory):
    """A history file for its owner only, without what must not be kept."""

    def __init__(self, file: Path) -> None:
        """Create the file if need be, close it to others, shorten one that has grown too long. Raises OSError."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(file)
        if file.stat().st_size > MAX_HISTORY_BYTES:
            _shorten(file)
        super().__init__(str(file))

    def append_string(self, string: str) -> None:
        """Remember a line, unless it may hold a secret."""
        if not is_secret(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Write one line, unless it may hold a secret."""
        if not is_secret(string):
            with contextlib.suppress(OSError):
                super().store_string(string)


def _create(file: Path) -> None:
    """Create the file, or take from others what they may do with it; a device such as /dev/null is left as it is."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _shorten(file: Path) -> None:
    """Keep the newer half, from the beginning of an entry on."""
    raw = file.read_bytes()
    start = raw.find(_ENTRY, len(raw) // 2)
    file.write_bytes(raw[start:] if start >= 0 else b"")


def open_history(file: Path | None) -> History:
    """The history kept in ``file``, or one that is forgotten where that is impossible."""
    if file is not None:
        with contextlib.suppress(OSError):
            return ShellHistory(file)
    return CarefulHistory()


class Console:
    """Runs until ``quit`` or end of input. ``status`` gives pairs of name and text, ``title`` the prompt."""

    def __init__(
        self,
        emulator: DrivenEmulator,
        *,
        history: Path | None = None,
        status: StatusLines = tuple,
        title: Callable[[], str] = lambda: "remsim",
        why_no_card: Callable[[], str] = str,
    ) -> None:
        """``why_no_card`` says what a person should look at; empty where nobody knows."""
        self._emulator = emulator
        self._why_no_card = why_no_card
        self._reason = self._told_reason = ""
        self._timer: asyncio.TimerHandle | None = None
        # Which card the line that is being obeyed is for, and the card at the last prompt.
        self._meant_card = self._prompted_card = 0
        # Which card was there when the first letter of the line at the prompt was typed; None: nothing is typed yet.
        self._begun_card: int | None = None
        self._history = history
        self._status = status
        self._title = title
        self._talk = CardTalk(self._exchange, on_words=self._say_words)
        self._is_over = False
        self._helpers: dict[str, Callable[[list[str]], Awaitable[None]]] = {
            "select": self._select,
            "read": self._read,
            "reset": self._reset,
            "atr": self._show_atr,
            "status": self._show_status,
            "help": self._show_help,
            "?": self._show_help,
        }
        emulator.on_card = self._on_card

    async def run(self) -> int:
        """Prompt, obey, repeat. Return 0. Afterwards there is nobody to tell anything."""
        self._tick()
        try:
            return await self._run()
        finally:
            self._is_over = True
            if self._timer is not None:
                self._timer.cancel()

    def _tick(self) -> None:
        self.look_at_reason()
        self._timer = asyncio.get_running_loop().call_later(REASON_INTERVAL_S, self._tick)

    async def _run(self) -> int:
        session: PromptSession[str] = PromptSession(
            history=open_history(self._history),
            completer=NestedCompleter.from_nested_dict(_completions()),
            auto_suggest=AutoSuggestFromHistory(),
            complete_while_typing=False,
        )
        session.default_buffer.on_text_changed += lambda buffer: self._note_beginning(buffer.text)
        self.say("Type a command in hex, or help. Waiting for a card …")
        shown = ""
        while True:
            self._begun_card = self._emulator.card_number if shown else None
            try:
                with patch_stdout(raw=True):
                    self._drop_typed_ahead(session.input)
                    # SIGINT belongs to the process; Ctrl-C arrives as a key while the prompt is shown.
                    line = await session.prompt_async(lambda: f"{self._title()}> ", handle_sigint=False, default=shown)
            except KeyboardInterrupt:
                shown = ""
                continue
            except EOFError:
                return 0
            shown = line if self._is_for_another_card(line) else ""
            if shown:
                # The person may have had no time to read what was said above the line.
                self.say("not sent, the card has changed since you began this line; Enter sends it now", "ansiyellow")
            elif not await self._obey_all(line):
                return 0

    def _note_beginning(self, text: str) -> None:
        if text and self._begun_card is None:
            self._begun_card = self._emulator.card_number
        elif not text.strip():
            self._begun_card = None

    def _is_for_another_card(self, line: str) -> bool:
        """Whether a line for the card was begun when another one was there."""
        begun, words = self._begun_card, line.split()
        return bool(begun and words) and begun != self._emulator.card_number and words[0].lower() not in _NOT_FOR_A_CARD

    async def _obey_all(self, text: str) -> bool:
        """Obey what was typed, or pasted: several lines. False if the last one ends the shell."""
        card = self._prompted_card = self._emulator.card_number
        for line in text.splitlines():
            if line.strip().lower() in ("quit", "exit"):
                return False
            if self._emulator.card_number != card:
                self._say_dropped(line)
            else:
                await self.obey(line)
        return True

    def _drop_typed_ahead(self, source: Input) -> None:
        """If the card has changed since the last prompt, what was typed since then was meant for another one."""
        if self._emulator.card_number == self._prompted_card or not self._prompted_card:
            return
        self._prompted_card = self._emulator.card_number
        text = "".join(key.data for key in get_typeahead(source))
        text += (
            os.read(source.fileno(), size).decode("ascii", "replace") if (size := available(source.fileno())) else ""
        )
        for line in re.split(r"[\r\n]+", text):
            self._say_dropped(line)

    def _say_dropped(self, line: str) -> None:
        if line.strip():
            raw = parse_hex_line(line)
            shown = line.strip() if not is_secret(line) else "a line" if raw is None else _shown(raw)
            self.say(f"not sent, the card has changed: {shown}", "ansiyellow")

    async def obey(self, line: str) -> None:
        """Carry out one line and show what came of it."""
        words = line.split()
        if not words:
            return
        self._meant_card = self._emulator.card_number
        helper = self._helpers.get(words[0].lower())
        try:
            if helper is not None:
                await helper(words[1:])
                return
            raw = parse_hex_line(line)
            if raw is None:
                raise UsageError(f"{words[0]!r} is neither a command in hex nor a helper", hint="try help")
            await self._talk.send(parse_command(raw))
        except RemsimError as error:
            if isinstance(error, NotSentError) and error.hint and self._emulator.atr is None:
                # Why there is no card is said here, so ``look_at_reason`` has nothing to add.
                self._reason = self._told_reason = error.hint
            self.say(f"{error}{f' ({error.hint})' if error.hint else ''}", "ansired")

    def look_at_reason(self) -> None:
        """While there is no card, say why: once, and again when the reason is another one and has lasted a moment."""
        reason = "" if self._emulator.atr is not None else self._why_no_card()
        has_lasted, self._reason = reason == self._reason, reason
        if not reason:
            self._told_reason = ""
        elif has_lasted and reason != self._told_reason:
            self._told_reason = reason
            self.say(f"no card: {reason}", "ansiyellow")

    def _say_words(self, words: list[str]) -> None:
        for line in words:
            self.say(f"  {line}")

    def say(self, text: str, style: str = "") -> None:
        """Write a line, above the prompt if there is one; one that is too long for the terminal is folded."""
        if not self._is_over:
            columns = get_app_session().output.get_size().columns
            print_formatted_text(FormattedText([(style, fold(text, columns))]))

    async def _exchange(self, tpdu: bytes) -> ResponseApdu:
        if self._emulator.atr is None:
            raise NotSentError("no card", hint=self._why_no_card())
        self.say(f"→ {_shown(tpdu)}   {describe_command(tpdu)}", "ansibrightblack")
        started = time.perf_counter()
        response = parse_response(await self._emulator.exchange(tpdu, card_number=self._meant_card))
        duration_ms = (time.perf_counter() - started) * 1000
        for line in hex_dump(response.data):
            self.say(f"  {line}")
        kind = sw_kind(response.sw)
        text = f"← {response.sw:04X} {describe_sw(response.sw)}   {duration_ms:.1f} ms"
        self.say(text, _COLOURS.get(kind, "ansired"))
        return response

    def _on_card(self, change: CardChange) -> None:
        self._talk.forget()
        if change.atr is None:
            self.say("card removed", "ansiyellow")
        else:
            self.say(f"card inserted, ATR {change.atr.hex(' ').upper()}", "ansigreen")

    # Helpers

    async def _select(self, words: list[str]) -> None:
        await self._talk.select(" ".join(words))

    async def _read(self, words: list[str]) -> None:
        match [word.lower() for word in words]:
            case ["binary", *numbers] if len(numbers) <= 2:
                values = [_number(text) for text in numbers]
                await self._talk.read_binary(values[0] if values else None, values[1] if len(values) > 1 else 0)
            case ["record", "all"]:
                if self._talk.file is None or self._talk.file.records is None:
                    raise UsageError("the number of records is not known", hint="select the file first")
                for number in range(1, self._talk.file.records + 1):
                    await self._talk.read_record(number)
            case ["record", number]:
                await self._talk.read_record(_number(number))
            case ["record", number, length]:
                await self._talk.read_record(_number(number), _number(length))
            case _:
                raise UsageError("read what?", hint="read binary [LENGTH [OFFSET]], read record N|all [LENGTH]")

    async def _reset(self, words: list[str]) -> None:
        kind = words[0].lower() if words else "cold"
        if kind not in ("cold", "warm") or len(words) > 1:
            raise UsageError(f"there is no {' '.join(words)} reset", hint="reset cold, or reset warm")
        if self._emulator.atr is None:
            raise NotSentError("no card", hint=self._why_no_card())
        await (self._emulator.cold_reset() if kind == "cold" else self._emulator.warm_reset())
        self._talk.forget()
        self.say(f"{kind} reset sent")

    async def _show_atr(self, _words: list[str]) -> None:
        raw = self._emulator.atr
        if raw is None:
            raise NotSentError("no card", hint=self._why_no_card())
        self.say(raw.hex(" ").upper())
        try:
            mended = mend_atr(raw)
            atr = parse_atr(mended)
        except AtrError as error:
            raise UsageError(f"not a proper ATR: {error}") from None
        if mended != raw:
            # As some readers deliver it; modems are shown it mended where rules change it.
            self.say(f"  its end is wrong: it should be {mended.hex(' ').upper()}")
        speed = f"Fi {atr.fi}, Di {atr.di}"
        self.say(f"  {atr.convention} convention, {', '.join(f'T={number}' for number in atr.protocols)}, {speed}")
        self.say(f"  historical bytes {atr.historical.hex(' ').upper() or 'none'}")

    async def _show_status(self, _words: list[str]) -> None:
        for name, text in self._status():
            self.say(f"{name:<8} {text}")
        atr = self._emulator.atr
        self.say(f"{'card':<8} {'none' if atr is None else 'ATR ' + atr.hex(' ').upper()}")
        if atr is not None and self._talk.path is not None:
            about = "" if self._talk.file is None else f": {self._talk.file}"
            self.say(f"{'file':<8} {path_text(self._talk.path)}{about}")

    async def _show_help(self, _words: list[str]) -> None:
        self.say(_HELP)


def fold(text: str, columns: int) -> str:
    """The text with lines of at most so many characters, broken between words; what follows is indented.

    A terminal breaks them anywhere.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
        lines += textwrap.wrap(
            line,
            max(columns, len(indent) + 1),
            subsequent_indent=indent,
            expand_tabs=False,
            replace_whitespace=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def hex_dump(data: bytes) -> list[str]:
    """Sixteen bytes a line, in hex and as printable ASCII."""
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{part.hex(' ').upper():<47}  {text}")
    return lines


def _shown(tpdu: bytes) -> str:
    """A command in hex, its data hidden if they are a PIN: others may look at the screen."""
    if len(tpdu) > 5 and is_pin_command(tpdu):
        return f"{tpdu[:5].hex(' ').upper()} ({len(tpdu) - 5} bytes hidden)"
    return tpdu.hex(" ").upper()


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is no number", hint="decimal, or hex with 0x") from None


_Completions = dict[str, "Completer | dict[str, None] | None"]


def _completions() -> _Completions:
    identifiers = {f"{file_id:04x}": name for file_id, name in FILE_NAMES.items()}
    return {
        # Names have a point in them, so words end at blanks only.
        "select": WordCompleter([*NAMED_PATHS, *identifiers], ignore_case=True, WORD=True, meta_dict=identifiers),
        "read": {"binary": None, "record": None},
        "reset": {"cold": None, "warm": None},
        "atr": None,
        "status": None,
        "help": None,
        "quit": None,
    }
