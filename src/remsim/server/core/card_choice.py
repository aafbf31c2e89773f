# SPDX-License-Identifier: Apache-2.0
"""How a request names a card: by its slot, its ICCID, or a label; and in which slots such a card is. Without I/O."""

from enum import Enum
from typing import Final, Self

from remsim.card.iccid import is_iccid
from remsim.core.errors import IdRangeError, RemsimError
from remsim.core.ids import BankSlot
from remsim.core.values import dataclass
from remsim.redaction import shorten_iccid
from remsim.server.core.inventory import Inventory
from remsim.server.core.labels import ICCID, LabelError, Labels, check_label

LABEL: Final = "label:"


class CardChoiceError(RemsimError, ValueError):
    """A text that names no card."""

    exit_status = 2


class CardChoiceKind(Enum):
    """By what a card is named."""

    SLOT = "slot"
    ICCID = "iccid"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class CardChoice:
    """``B1:3``, ``iccid:8949…`` or ``label:roaming``; ``value`` is without the prefix."""

    kind: CardChoiceKind
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises CardChoiceError."""
        if text.startswith(ICCID):
            number = text.removeprefix(ICCID).upper()
            if not is_iccid(number):
                raise CardChoiceError("that is no ICCID", hint="write its digits (0 to 9, A to E), 20 at most")
            return cls(CardChoiceKind.ICCID, number)
        try:
            if text.startswith(LABEL):
                return cls(CardChoiceKind.LABEL, check_label(text.removeprefix(LABEL)))
            return cls(CardChoiceKind.SLOT, str(BankSlot.parse(text)))
        except LabelError as error:
            raise CardChoiceError(str(error), hint=error.hint) from None
        except IdRangeError:
            hint = "write a bank slot (B1:3), iccid:NUMBER or label:NAME"
            raise CardChoiceError("that names no card", hint=hint) from None

    def __str__(self) -> str:
        """For people: the number of a card is shortened."""
        match self.kind:
            case CardChoiceKind.SLOT:
                return self.value
            case CardChoiceKind.ICCID:
                return ICCID + shorten_iccid(self.value)
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
        found = {slot for slot, iccid in there.items() if self.value in labels.of_card(iccid)}
        for subject, names in labels.all().items():
            if subject.startswith("B") and self.value in names:
                found.add(BankSlot.parse(subject))
        return sorted(found)
