# SPDX-License-Identifier: Apache-2.0
"""Typed access to tables of a parsed TOML text: every fault is a ProfileError that names the place."""

from collections.abc import Mapping
from typing import Self

from remsim.uicc.errors import ProfileError

_MISSING: object = object()


class Fields:
    """One table; keys are taken out, and ``finish`` refuses what nobody asked for."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise ProfileError(f"{where} is not a table")
        self._values: dict[str, object] = {str(key): value for key, value in values.items()}
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def names(self) -> list[str]:
        """Keys not taken yet."""
        return list(self._values)

    def finish(self) -> None:
        """Refuse unknown keys."""
        if self._values:
            raise ProfileError(f"{self.where}: unknown key {min(self._values)!r}")

    def fault(self, message: str) -> ProfileError:
        """An error that names this table."""
        return ProfileError(f"{self.where}: {message}")

    def take(self, key: str, default: object = _MISSING) -> object:
        """The raw value of ``key``."""
        value = self._values.pop(key, default)
        if value is _MISSING:
            raise self.fault(f"{key!r} is missing")
        return value

    def text(self, key: str, default: object = _MISSING) -> str:
        """A string."""
        value = self.take(key, default)
        if not isinstance(value, str):
            raise self.fault(f"{key!r} is not a string")
        return value

    def number(self, key: str, default: object = _MISSING, *, low: int = 0, high: int = 0xFFFF) -> int:
        """An integer in ``low..high``."""
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fault(f"{key!r} is not a number in {low}..{high}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.fault(f"{key!r} is neither true nor false")
        return value

    def raw(self, key: str, default: object = _MISSING, *, length: int | None = None) -> bytes:
        """Bytes written as hexadecimal digits, blanks allowed."""
        value = self.text(key, default)
        raw = parse_bytes(value, f"{self.where}: {key!r}")
        if length is not None and len(raw) != length:
            raise self.fault(f"{key!r} has {len(raw)} bytes instead of {length}")
        return raw

    def table(self, key: str) -> Self:
        """A sub-table, empty if absent."""
        return type(self)(self.take(key, {}), f"{self.where}.{key}")

    def tables(self, key: str) -> list[Self]:
        """An array of tables, empty if absent."""
        value = self.items(key)
        return [type(self)(entry, f"{self.where}.{key}[{index}]") for index, entry in enumerate(value)]

    def items(self, key: str) -> list[object]:
        """An array of anything, empty if absent."""
        value = self.take(key, [])
        if not isinstance(value, list):
            raise self.fault(f"{key!r} is not an array")
        return value

    def texts(self, key: str) -> list[str]:
        """An array of strings, empty if absent."""
        texts: list[str] = []
        for value in self.items(key):
            if not isinstance(value, str):
                raise self.fault(f"{key!r} holds something other than strings")
            texts.append(value)
        return texts


def parse_bytes(text: str, where: str) -> bytes:
    """Hexadecimal digits to bytes. Raises ProfileError."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        # It may be a key, so it is not repeated.
        raise ProfileError(f"{where} is not hexadecimal") from error
