# SPDX-License-Identifier: Apache-2.0
"""Which reader serves which slot: rules from a file, readers found by themselves, or simply their order.

A plan is asked again whenever readers come or go. A slot keeps its reader as long as that reader stays plugged in.
What cannot be decided is reported as a ``SlotProblem``, never guessed. Reads no file; see ``store`` for that.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from remsim.config import BankdConfig
from remsim.core.values import dataclass

#: pcsc-lite names a reader ``<model> [<interface>] (<serial>) XX YY``: XX counts the devices in the order in which
#: they were plugged in, so it says nothing about which device it is; YY is the slot within the device.
_PCSC_NAME: Final = re.compile(r"(?P<device>.+) [0-9A-F]{2} (?P<position>[0-9A-F]{2})")


#: No reader's place is known.
NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SlotProblem:
    """Something that an operator must mend: ``event`` and ``fields`` of a log line; ``slot_nr`` if it is about one."""

    event: str
    slot_nr: int | None
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReaderAssignment:
    """Reader names by slot number, and what is wrong."""

    readers: dict[int, str]
    problems: tuple[SlotProblem, ...] = ()


class SlotPlan(Protocol):
    """Decides which reader serves which slot."""

    def assign(
        self, present: Sequence[str], current: Mapping[int, str], places: Mapping[str, str] = NOWHERE
    ) -> ReaderAssignment:
        """``present``: names of readers in the driver's order; ``current``: what is in force.

        ``places``: where readers are plugged in, by name, as far as that is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class SlotRule:
    """Slot ``slot_nr`` is served by the reader of this exact name, or by one that ``pattern`` is found in."""

    slot_nr: int
    #: What the operator wrote, for messages.
    text: str
    #: Where it was written, for messages.
    origin: str
    name: str | None = None
    pattern: re.Pattern[str] | None = None
    #: The pattern must match the whole name; the classic file only searches.
    is_anchored: bool = True
    is_shared: bool | None = None

    def matches(self, reader: str) -> bool:
        """Whether this reader may serve the slot."""
        if self.pattern is None:
            return reader == self.name
        found = self.pattern.fullmatch(reader) if self.is_anchored else self.pattern.search(reader)
        return found is not None


@dataclass(slots=True)
class RulePlan:
    """Slots as written down by the operator."""

    rules: Sequence[SlotRule]

    def assign(
        self, present: Sequence[str], current: Mapping[int, str], places: Mapping[str, str] = NOWHERE
    ) -> ReaderAssignment:
        """The first matching reader in the driver's order, unless the slot has one that still matches."""
        readers: dict[int, str] = {}
        problems: list[SlotProblem] = []
        for rule in self.rules:
            hits = [name for name in present if rule.matches(name)]
            where = (("wanted", rule.text), ("see", rule.origin))
            if not hits:
                problems.append(SlotProblem("no_such_reader", rule.slot_nr, where))
                continue
            kept = current.get(rule.slot_nr)
            chosen = kept if kept in hits and kept is not None else hits[0]
            if len(hits) > 1:
                others = ", ".join(name for name in hits if name != chosen)
                fields = (*where, ("chosen", chosen), ("others", others))
                problems.append(SlotProblem("several_readers_match", rule.slot_nr, fields))
            if chosen in readers.values():
                other = next(nr for nr, name in readers.items() if name == chosen)
                fields = (*where, ("reader", chosen), ("other_slot", str(other)))
                problems.append(SlotProblem("reader_of_two_slots", rule.slot_nr, fields))
            readers[rule.slot_nr] = chosen
        return ReaderAssignment(readers, tuple(problems))


@dataclass(slots=True)
class OrderPlan:
    """Slot n has the n-th reader: for sources that make as many readers as there are slots."""

    slots: int

    def assign(
        self, present: Sequence[str], current: Mapping[int, str], places: Mapping[str, str] = NOWHERE
    ) -> ReaderAssignment:
        """Readers that are gone keep their slots; new ones take the free ones."""
        readers = dict(current)
        free = [nr for nr in range(self.slots) if nr not in readers]
        new = [name for name in present if name not in readers.values()]
        readers.update(zip(free, new, strict=False))
        return ReaderAssignment(readers)


def table_rules(config: BankdConfig) -> list[SlotRule]:
    """The rules of the configuration's ``[[slot]]`` tables."""
    return [
        SlotRule(
            entry.slot,
            text=entry.reader or (entry.pattern.pattern if entry.pattern is not None else ""),
            origin=f"[[slot]] number {index}",
            name=entry.reader,
            pattern=entry.pattern,
            is_shared=entry.shared,
        )
        for index, entry in enumerate(config.slot, start=1)
        if entry.slot < config.slots
    ]


def beyond_text(where: str, slot_nr: int, slots: int) -> str:
    """The warning about a line or table for a slot that the bank does not have."""
    return f"{where}: slot {slot_nr} does not exist in a bank of {slots} slots; it is passed over (see --slots)"


def table_warnings(config: BankdConfig) -> list[str]:
    """What an operator should look at in the ``[[slot]]`` tables."""
    numbered = enumerate((entry.slot for entry in config.slot), start=1)
    beyond = [(index, slot_nr) for index, slot_nr in numbered if slot_nr >= config.slots]
    warnings = [beyond_text(f"[[slot]] number {index}", slot_nr, config.slots) for index, slot_nr in beyond]
    if beyond and len(beyond) == len(config.slot):
        warnings.append("no [[slot]] table is about a slot of this bank: no reader is used")
    return warnings
