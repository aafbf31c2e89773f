# SPDX-License-Identifier: Apache-2.0
"""Reading rule files: typed fields of TOML tables, number ranges, slots, and errors that say where it is wrong."""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from remsim.core.errors import RemsimError
from remsim.core.ids import MAX_ID, check_id
from remsim.core.values import dataclass

#: Rules of a large installation are some hundred kilobytes.
MAX_TEXT: Final = 1 << 20

_RANGE: Final = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)
_SLOTS: Final = re.compile(r"([0-9*-]{1,9}):([0-9*-]{1,9})", re.ASCII)

T = TypeVar("T")


class PolicyError(RemsimError, ValueError):
    """A rule file that cannot be used. The message names file, rule and key."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class NumberRanges:
    """A range of ids, both ends included."""

    first: int
    last: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __str__(self) -> str:
        if (self.first, self.last) == (0, MAX_ID):
            return "*"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


EVERY: Final = NumberRanges(0, MAX_ID)


@dataclass(frozen=True, slots=True)
class Slots:
    """Slots of one or more banks or clients."""

    ids: NumberRanges
    slots: NumberRanges

    def has(self, number: int, slot_nr: int) -> bool:
        """Whether this slot is among them."""
        return number in self.ids and slot_nr in self.slots

    def __str__(self) -> str:
        return str(self.ids) if self.slots == EVERY else f"{self.ids}:{self.slots}"


def parse_numbers(text: str) -> NumberRanges:
    """Read ``7``, ``20-29`` or ``*``. Raises PolicyError, or IdRangeError outside 0..1023."""
    if text == "*":
        return EVERY
    match = _RANGE.fullmatch(text)
    if match is None:
        raise PolicyError(f"{text!r} is neither a number nor a range", hint='write "7", "20-29" or "*"')
    first, last = check_id(int(match[1]), "id"), check_id(int(match[2] or match[1]), "id")
    if last < first:
        raise PolicyError(f"the range {text} runs backwards")
    return NumberRanges(first, last)


def parse_slots(text: str) -> Slots:
    """Read ``7``, ``20-29``, ``*`` (all slots of these) or ``7:0``, ``7:0-3``. Raises PolicyError or IdRangeError."""
    match = _SLOTS.fullmatch(text)
    if match is None:
        return Slots(parse_numbers(text), EVERY)
    return Slots(parse_numbers(match[1]), parse_numbers(match[2]))


class Table:
    """One TOML table whose keys are taken one by one; what is left in the end is unknown."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values = values
        self._where = where
        self._known: list[str] = []

    @classmethod
    def of_text(cls, text: str, origin: str) -> "Table":
        """The whole of a file's text; ``origin`` is its name. Raises PolicyError."""
        if len(text) > MAX_TEXT:
            raise PolicyError(f"{origin} has more than {MAX_TEXT} characters", hint="is this the right file?")
        try:
            return cls(tomllib.loads(text), origin)
        except ValueError as error:
            # TOMLDecodeError, or a number that Python does not convert for its length.
            raise PolicyError(f"{origin}: {error}", hint="strings are quoted in TOML") from None
        except RecursionError:
            raise PolicyError(f"{origin}: nested too deeply", hint="is this the right file?") from None

    def error(self, message: str, hint: str = "") -> PolicyError:
        """An error about this table."""
        return PolicyError(f"{self._where}: {message}", hint=hint)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """A string. Without ``default`` it must be there."""
        value = self._take(key, default)
        if not isinstance(value, str) or not value.isprintable():
            raise self.error(f"{key} must be a string of printable characters")
        return value

    def word(self, key: str, words: Collection[str], default: str | None = None) -> str:
        """One of ``words``."""
        value = self.text(key, default)
        if value not in words:
            raise self.error(f"{key} {value!r} is not one of {', '.join(words)}")
        return value

    def each(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """A string or number, or a list of such, each read by ``parse``; empty if the key is not there."""
        value = self._take(key, [])
        found: list[T] = []
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | int) or isinstance(item, bool):
                raise self.error(f"{key} must be a string, or a list of strings")
            try:
                found.append(parse(str(item)))
            except RemsimError as error:
                raise self.error(f"{key}: {error}", error.hint) from None
        return tuple(found)

    def tables(self, key: str) -> "list[Table]":
        """The tables of ``[[key]]``."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(f"{key} must be written as [[{key}]]")
        return [Table(item, f"{self._where}: {key} {number}") for number, item in enumerate(value, start=1)]

    def table(self, key: str) -> "Table":
        """The table ``[key]``, empty if it is not there."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} must be written as [{key}]")
        return Table(value, f"{self._where}: {key}")

    def keys(self) -> list[str]:
        """All keys that are there."""
        return list(self._values)

    def finish(self) -> None:
        """Raises PolicyError if there is a key that nobody took: it is misspelt."""
        for key in self._values:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(self._known))}"
                raise self.error(f"unknown key {key!r}", hint)

    def _take(self, key: str, default: object) -> object:
        self._known.append(key)
        value = self._values.get(key, default)
        if value is None:
            raise self.error(f"{key} is missing")
        return value
