# SPDX-License-Identifier: Apache-2.0
"""Which reader serves which slot: rules from a file, readers found by themselves, or simply their order.

A plan is asked again whenever readers come or go. A slot keeps its reader as long as that reader stays plugged in.
What cannot be decided is reported as a ``SlotProblem``, never guessed. Reads no file; see ``service`` for that.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from remsim.config import BankdConfig

#: pcsc-lite names a reader ``<model> [<interface>] (<serial>) XX YY``: XX counts the devices in the order in which
#: they were plugged in, so it says nothing about which device it is; YY is the slot within the device.
_PCSC_NAME: Final = re.compile(r"(?P<device>.+) [0-9A-F]{2} (?P<position>[0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class SlotProblem:
    """Something that an operator must mend: ``event`` and ``fields`` of a log line; ``slot_nr`` if it is about one."""

    event: str
    slot_nr: int | None
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Reader names by slot number, and what is wrong."""

    readers: dict[int, str]
    problems: tuple[SlotProblem, ...] = ()


class SlotPlan(Protocol):
    """Decides which reader serves which slot."""

    def assign(self, present: Sequence[str], current: Mapping[int, str]) -> Assignment:
        """``present``: names of readers in the driver's order; ``current``: what is in force."""
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

    def assign(self, present: Sequence[str], current: Mapping[int, str]) -> Assignment:
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
        return Assignment(readers, tuple(problems))


@dataclass(slots=True)
class OrderPlan:
    """Slot n has the n-th reader: for sources that make as many readers as there are slots."""

    slots: int

    def assign(self, present: Sequence[str], current: Mapping[int, str]) -> Assignment:
        """Readers that are gone keep their slots; new ones take the free ones."""
        readers = dict(current)
        free = [nr for nr in range(self.slots) if nr not in readers]
        new = [name for name in present if name not in readers.values()]
        readers.update(zip(free, new, strict=False))
        return Assignment(readers)


def reader_key(name: str) -> str:
    """What of a reader's name stays the same when it is plugged in again."""
    match = _PCSC_NAME.fullmatch(name)
    return name if match is None else f"{match['device']} ?? {match['position']}"


@dataclass(slots=True)
class AutoPlan:
    """Readers are found by themselves and keep the slot that they were first given.

    ``known`` maps reader keys to slots; it is kept on disk by the service, which looks at ``is_changed``.
    """

    slots: int
    known: dict[str, int] = field(default_factory=dict)
    is_changed: bool = False

    def assign(self, present: Sequence[str], current: Mapping[int, str]) -> Assignment:
        """Known readers to their slots, new ones to the lowest free slots; twins are reported."""
        by_key: dict[str, list[str]] = {}
        for name in present:
            by_key.setdefault(reader_key(name), []).append(name)
        readers: dict[int, str] = {}
        problems: list[SlotProblem] = []
        for key, names in by_key.items():
            if len(names) > 1:
                # One that was alone when it got its slot, and was never unplugged, is still known.
                kept = [(nr, name) for nr, name in current.items() if name in names and self.known.get(key) == nr]
                readers.update(kept)
                twins = ", ".join(names)
                problems.append(SlotProblem("readers_indistinguishable", None, (("readers", twins),)))
            elif (slot_nr := self._slot_of(key)) is not None:
                readers[slot_nr] = names[0]
            else:
                problems.append(SlotProblem("no_free_slot", None, (("reader", names[0]), ("slots", str(self.slots)))))
        return Assignment(readers, tuple(problems))

    def _slot_of(self, key: str) -> int | None:
        slot_nr = self.known.get(key)
        if slot_nr is not None:
            return slot_nr if slot_nr < self.slots else None
        taken = set(self.known.values())
        slot_nr = next((nr for nr in range(self.slots) if nr not in taken), None)
        if slot_nr is not None:
            self.known[key] = slot_nr
            self.is_changed = True
        return slot_nr


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
    ]
