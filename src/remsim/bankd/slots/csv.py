# SPDX-License-Identifier: Apache-2.0
"""The classic slot file ``bankd_pcsc_slots.csv`` (rspro.md, section 13): bank, slot, extended POSIX expression.

Read as the C bankd does, except that numbers must be numbers, lines that begin with ``#`` are comments, and what is
dubious is warned about. Expressions are searched in reader names, not anchored. Reads text, no file.
"""

import csv
import re
from typing import Final

from remsim.bankd.slots.plan import SlotRule, beyond_text
from remsim.core.errors import ConfigError
from remsim.core.ids import MAX_ID
from remsim.core.values import dataclass

#: Where the C bankd looks for it: in the current folder.
CSV_NAME: Final = "bankd_pcsc_slots.csv"

_COLUMNS: Final = 3
_HINT: Final = 'each line is "BANK","SLOT","EXPRESSION", for example "1","0","ACS ACR33 ICC Reader 00 00"'

#: POSIX character classes (IEEE Std 1003.1, 9.3.5) as the inside of a Python set, ASCII as in the C locale.
_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
#: What a backslash makes of a letter in the expressions of the C library; elsewhere it only takes meaning away.
_ESCAPES: Final = {"w": r"\w", "W": r"\W", "s": r"\s", "S": r"\S", "b": r"\b", "B": r"\B", "<": r"\b(?=\w)"}
_END_OF_WORD: Final = r"\b(?<=\w)"


@dataclass(frozen=True, slots=True)
class CsvSlots:
    """The rules of one bank, and what an operator should look at."""

    rules: list[SlotRule]
    warnings: list[str]


def parse_slots_csv(text: str, *, bank_id: int, slots: int, origin: str) -> CsvSlots:
    """Read the file's text; ``origin`` is its name. Raises ConfigError with the number of the first bad line."""
    rules: dict[int, SlotRule] = {}
    warnings: list[str] = []
    others: set[int] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{origin} line {number}"
        columns = _columns(line, where)
        bank, slot_nr = _number(columns[0], "bank", where), _number(columns[1], "slot", where)
        if len(columns) > _COLUMNS:
            warnings.append(f"{where}: {len(columns)} columns; the last one is taken as the expression")
        pattern = _compile(columns[-1], where)
        if bank != bank_id:
            others.add(bank)
            continue
        if slot_nr >= slots:
            warnings.append(beyond_text(where, slot_nr, slots))
        elif slot_nr in rules:
            warnings.append(f"{where}: slot {slot_nr} was described before; the first line counts")
        else:
            rules[slot_nr] = SlotRule(slot_nr, columns[-1], where, pattern=pattern, is_anchored=False)
    if not rules:
        has = f"it has lines of bank {', '.join(map(str, sorted(others)))}" if others else "it has no line of any bank"
        warnings.append(
            f"{origin}: no line is about a slot of bank {bank_id}: no reader is used; {has} (see --bank-id)"
        )
    return CsvSlots([rules[nr] for nr in sorted(rules)], warnings)


def _columns(line: str, where: str) -> list[str]:
    try:
        (columns,) = csv.reader([line], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise ConfigError(f"{where}: {error}", hint=_HINT) from None
    if len(columns) < _COLUMNS:
        raise ConfigError(f"{where}: {len(columns)} columns instead of {_COLUMNS}", hint=_HINT)
    return columns


def _number(text: str, what: str, where: str) -> int:
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) is None:
        raise ConfigError(f"{where}: {text!r} is no {what} number", hint=_HINT)
    if int(text) > MAX_ID:
        raise ConfigError(f"{where}: {what} number {text} is outside 0..{MAX_ID}", hint=_HINT)
    return int(text)


def _compile(expression: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(translate_ere(expression), re.ASCII)
    except (re.error, ValueError, OverflowError) as error:
        message = f"{where}: {expression!r} is no extended POSIX expression: {error}"
        raise ConfigError(message, hint="put a backslash before [ ] ( ) in reader names") from None
    except RecursionError:
        raise ConfigError(f"{where}: the expression is nested too deeply", hint=_HINT) from None


def translate_ere(expression: str) -> str:
    """An extended POSIX expression as a Python one with the same matches. Raises ValueError if it is none."""
    parts: list[str] = []
    position = 0
    is_repeated = False
    while position < len(expression):
        character = expression[position]
        was_repeated, is_repeated = is_repeated, False
        if character == "[":
            translated, position = _bracket(expression, position + 1)
            parts.append(translated)
            continue
        if character == "\\":
            if position + 1 == len(expression):
                raise ValueError("it ends with a backslash")
            escaped = expression[position + 1]
            parts.append(_END_OF_WORD if escaped == ">" else _ESCAPES.get(escaped, re.escape(escaped)))
            position += 2
            continue
        if character in "*+?" or (character == "{" and _is_interval(expression, position)):
            # Python gives a second sign another meaning ("as few as possible"); POSIX gives it none.
            if was_repeated:
                raise ValueError(f"{character!r} repeats what is repeated already")
            if not parts or parts[-1] in ("(", "|"):
                raise ValueError(f"{character!r} repeats nothing")
            is_repeated = True
            end = expression.index("}", position) + 1 if character == "{" else position + 1
            parts.append(expression[position:end])
            position = end
            continue
        # Outside an interval braces are ordinary; so is whatever has no meaning in POSIX.
        parts.append(character if character in "().|^" else r"\Z" if character == "$" else re.escape(character))
        position += 1
    return "".join(parts)


def _is_interval(expression: str, position: int) -> bool:
    return re.compile(r"\{[0-9]+(,[0-9]*)?\}").match(expression, position) is not None


def _bracket(expression: str, position: int) -> tuple[str, int]:
    """Translate a bracket expression that begins before ``position``; return it and the position behind it."""
    out = "["
    if expression.startswith("^", position):
        out += "^"
        position += 1
    start = position
    while True:
        if position >= len(expression):
            raise ValueError("[ without ]")
        character = expression[position]
        if character == "]" and position > start:
            return out + "]", position + 1
        if character == "[" and expression[position + 1 : position + 2] == ":":
            end = expression.find(":]", position + 2)
            name = expression[position + 2 : end] if end > 0 else ""
            if name not in _CLASSES:
                raise ValueError(f"unknown character class {name!r}")
            out += _CLASSES[name]
            position = end + 2
        elif character == "[" and expression[position + 1 : position + 2] in (".", "="):
            raise ValueError("collating elements are not supported")
        else:
            # A backslash is an ordinary character here; a dash keeps its meaning.
            out += character if character == "-" else re.escape(character)
            position += 1
