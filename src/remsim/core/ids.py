# SPDX-License-Identifier: Apache-2.0
"""Who is who: bank slots and client slots as range-checked values.

A bank slot and a client slot are both a pair of small numbers and are easily confused, so they are distinct types.
Their text forms, ``B1:3`` and ``C7:0``, are those of logs, REST and the command line.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from remsim.core.errors import IdRangeError

#: RSPRO: BankId, ClientId and SlotNumber are INTEGER (0..1023).
MAX_ID: Final = 1023

_PAIR: Final = re.compile(r"[BC]?([0-9]{1,5}):([0-9]{1,5})", re.ASCII)


def check_id(value: int, what: str) -> int:
    """Return ``value`` if it is a valid bank, client or slot number.

    Raises IdRangeError, naming ``what``, outside 0..1023.
    """
    if not 0 <= value <= MAX_ID:
        raise IdRangeError(f"{what} {value} is outside 0..{MAX_ID}")
    return value


def _parse_pair(text: str, letter: str, what: str) -> tuple[int, int]:
    match = _PAIR.fullmatch(text.strip())
    if match is None or (text.strip()[0].isalpha() and text.strip()[0] != letter):
        raise IdRangeError(f"{text!r} is no {what}", hint=f"write it as NUMBER:SLOT, for example {letter}1:0 or 1:0")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, order=True)
class BankSlot:
    """One card position: slot ``slot_nr`` of bank ``bank_id``. Raises IdRangeError when built out of range."""

    bank_id: int
    slot_nr: int

    def __post_init__(self) -> None:
        check_id(self.bank_id, "bank id")
        check_id(self.slot_nr, "bank slot number")

    def __str__(self) -> str:
        return f"B{self.bank_id}:{self.slot_nr}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``B1:3`` or ``1:3``. Raises IdRangeError."""
        return cls(*_parse_pair(text, "B", "bank slot"))


@dataclass(frozen=True, slots=True, order=True)
class ClientSlot:
    """One modem position: slot ``slot_nr`` of client ``client_id``. Raises IdRangeError when built out of range."""

    client_id: int
    slot_nr: int

    def __post_init__(self) -> None:
        check_id(self.client_id, "client id")
        check_id(self.slot_nr, "client slot number")

    def __str__(self) -> str:
        return f"C{self.client_id}:{self.slot_nr}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``C7:0`` or ``7:0``. Raises IdRangeError."""
        return cls(*_parse_pair(text, "C", "client slot"))
