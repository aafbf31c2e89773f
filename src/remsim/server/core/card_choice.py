# SPDX-License-Identifier: Apache-2.0
"""How a request names a card: by its slot, ICCID, IMSI, or a label; and in which slots such a card is. Without I/O."""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Final, Self

from remsim.card.iccid import is_iccid
from remsim.core.errors import IdRangeError, RemsimError
from remsim.core.ids import BankSlot
from remsim.core.values import dataclass
from remsim.redaction import shorten_iccid, shorten_imsi
from remsim.server.core.inventory import Inventory
from remsim.server.core.labels import ICCID, LabelError, Labels, check_label

LABEL: Final = "label:"
IMSI: Final = "imsi:"
#: 3GPP TS 23.003, clause 2.2: 15 digits at most, of which five or six name the network.
_IMSI_DIGITS: Final = re.compile(r"[0-9]{6,15}", re.ASCII)


#: The order of slots; quicker than to compare slots.
_IN_ORDER: Final = attrgetter("bank_id", "slot_nr")
#: Slots with labels: all of them are looked at again with each lease.
_MOST_SLOTS: Final = 4096


class CardChoiceError(RemsimError, ValueError):
    """A text that names no card."""

    exit_status = 2


class CardChoiceKind(Enum):
    """By what a card is named."""

    SLOT = "slot"
    ICCID = "iccid"
    IMSI = "imsi"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class CardChoice:
    """``B1:3``, ``iccid:8949…``, ``imsi:00101…`` or ``label:roaming``; ``value`` is without the prefix."""

    kind: CardChoiceKind
    value: str

    @property
    def is_one_card(self) -> bool:
        """Whether it names a single card by its number, so that two cards that fit are one too many."""
        return self.kind in (CardChoiceKind.ICCID, CardChoiceKind.IMSI)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises CardChoiceError."""
        if text.startswith(ICCID):
            number = text.removeprefix(ICCID).upper()
            if not is_iccid(number):
                raise CardChoiceError("that is no ICCID", hint="write its digits (0 to 9, A to E), 20 at most")
            return cls(CardChoiceKind.ICCID, number)
        if text.startswith(IMSI):
            number = text.removeprefix(IMSI)
            if _IMSI_DIGITS.fullmatch(number) is None:
                raise CardChoiceError("that is no IMSI", hint="write its digits, 6 to 15 of them")
            return cls(CardChoiceKind.IMSI, number)
        try:
            if text.startswith(LABEL):
                return cls(CardChoiceKind.LABEL, check_label(text.removeprefix(LABEL)))
            return cls(CardChoiceKind.SLOT, str(BankSlot.parse(text)))
        except LabelError as error:
            raise CardChoiceError(str(error), hint=error.hint) from None
        except IdRangeError:
            hint = "write a bank slot (B1:3), iccid:NUMBER, imsi:NUMBER or label:NAME"
            raise CardChoiceError("that names no card", hint=hint) from None

    def __str__(self) -> str:
        """For people: the number of a card is shortened."""
        match self.kind:
            case CardChoiceKind.SLOT:
                return self.value
            case CardChoiceKind.ICCID:
                return ICCID + shorten_iccid(self.value)
            case CardChoiceKind.IMSI:
                return IMSI + shorten_imsi(self.value)
            case CardChoiceKind.LABEL:
                return LABEL + self.value

    def slots(self, inventory: Inventory, labels: Labels) -> list[BankSlot]:
        """Where such cards are, in order. A slot is taken at its word, whether anything is known of it or not.

        A label counts for the slot that has it, and for the card that has it, wherever that is; a card that was
        reported gone counts for nothing.
        """
        if self.kind is CardChoiceKind.SLOT:
            return [BankSlot.parse(self.value)]
        there = {slot: iccid for slot in inventory.all_numbers() if (iccid := inventory.number(slot)) is not None}
        if self.kind is CardChoiceKind.ICCID:
            return [slot for slot, iccid in there.items() if iccid == self.value]
        if self.kind is CardChoiceKind.IMSI:
            return [slot for slot in there if inventory.imsi(slot) == self.value]
        found = {slot for slot, iccid in there.items() if self.value in labels.of_card(iccid)}
        for subject, names in labels.all().items():
            if subject.startswith("B") and self.value in names:
                found.add(_slot(subject))
        return sorted(found, key=_IN_ORDER)


@lru_cache(maxsize=_MOST_SLOTS)
def _slot(text: str) -> BankSlot:
    return BankSlot.parse(text)


def shown_pool(pool: str) -> str:
    """A choice that is stored as a text, for people: the number of a card is shortened."""
    return str(CardChoice.parse(pool))


#: What to do where several cards have one number.
AMBIGUITY_HINT: Final = "name one of them by its slot; two cards with one number are a mistake, or a copy"


def ambiguity(choice: CardChoice, found: Sequence[BankSlot]) -> str:
    """In words, that a number is that of several cards, and where they are."""
    return f"{choice} is the number of {len(found)} cards, in {', '.join(str(slot) for slot in found[:4])}"
