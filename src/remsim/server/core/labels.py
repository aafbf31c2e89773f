# SPDX-License-Identifier: Apache-2.0
"""Labels of bank slots, client slots and cards: names that operators give, by which they find and choose. Without I/O.

A *subject* is what has labels: ``B1:3``, ``C7:0`` or ``iccid:8949…``. A label of a card goes with the card; one of a
slot stays there. Several subjects may share a label: they form a pool.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from remsim.card.iccid import is_iccid
from remsim.core.errors import IdRangeError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import StoreLabels

#: Begins the subject that is a card.
ICCID: Final = "iccid:"
MAX_LABEL: Final = 64
#: Labels of one subject.
MAX_LABELS: Final = 8
#: Subjects with labels: every slot of the largest installation, and its card, several times.
MAX_SUBJECTS: Final = 16_384


class LabelError(RemsimError, ValueError):
    """A label or subject that none can have. ``limit`` is the limit that was reached, if it was one."""

    exit_status = 2

    def __init__(self, message: str, *, hint: str = "", limit: LimitName | None = None) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


def parse_subject(text: str) -> str:
    """Read ``B1:3``, ``C7:0`` or ``iccid:8949…``; returns it in its one form. Raises LabelError."""
    if text.startswith(ICCID):
        number = text.removeprefix(ICCID).upper()
        if is_iccid(number):
            return ICCID + number
        raise LabelError("that is no ICCID", hint="write its digits (0 to 9, A to E), 20 at most")
    try:
        return str(ClientSlot.parse(text) if text.startswith("C") else BankSlot.parse(text))
    except IdRangeError as error:
        hint = "write a bank slot (B1:3), a client slot (C7:0) or a card (iccid:NUMBER)"
        raise LabelError(str(error), hint=hint) from None


def slots_of(subject: str) -> tuple[BankSlot | None, ClientSlot | None]:
    """The bank slot or client slot that a subject is; two times None for a card."""
    if subject.startswith(ICCID):
        return None, None
    return (None, ClientSlot.parse(subject)) if subject.startswith("C") else (BankSlot.parse(subject), None)


def shown_subject(subject: str) -> str:
    """The subject for people: the number of a card is shortened."""
    return ICCID + shorten_iccid(subject.removeprefix(ICCID)) if subject.startswith(ICCID) else subject


def check_label(text: str) -> str:
    """Returns the label. Raises LabelError for what can be none."""
    if not 1 <= len(text) <= MAX_LABEL or not text.isprintable() or text != text.strip():
        raise LabelError(
            f"a label has 1..{MAX_LABEL} printable characters, and no space at its ends", hint="for example roaming"
        )
    return text


class Labels:
    """All labels. ``stored`` are those of earlier runs, by subject."""

    def __init__(self, stored: Mapping[str, tuple[str, ...]]) -> None:
        self._by_subject = dict(stored)

    def of(self, subject: str) -> tuple[str, ...]:
        """The labels of a subject, in alphabetical order."""
        return self._by_subject.get(subject, ())

    def of_card(self, iccid: str | None) -> tuple[str, ...]:
        """The labels of a card."""
        return () if iccid is None else self.of(ICCID + iccid)

    def all(self) -> dict[str, tuple[str, ...]]:
        """Every subject that has labels, in alphabetical order."""
        return dict(sorted(self._by_subject.items()))

    def plan(self, subject: str, labels: Iterable[str]) -> StoreLabels:
        """What stores these labels of ``subject``, in its one form. Raises LabelError."""
        wanted = tuple(sorted({check_label(label) for label in labels}))
        if len(wanted) > MAX_LABELS:
            raise LabelError(f"at most {MAX_LABELS} labels", hint="take others away")
        if wanted and subject not in self._by_subject and len(self._by_subject) >= MAX_SUBJECTS:
            text = f"{MAX_SUBJECTS} slots and cards have labels already"
            raise LabelError(text, hint="take labels away from others", limit=LimitName.LABELS)
        return StoreLabels(subject, wanted)

    def on_stored(self, decision: StoreLabels) -> None:
        """They are committed."""
        if decision.labels:
            self._by_subject[decision.subject] = decision.labels
        else:
            self._by_subject.pop(decision.subject, None)
