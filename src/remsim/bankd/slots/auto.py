# SPDX-License-Identifier: Apache-2.0
"""Slots for readers that are found by themselves (``--auto``): each keeps the slot that it was first given.

A reader is known again by its name without the number that PC/SC gives in the order of plugging in. That name has its
model, its interface and its serial number, if it has one. Readers that have all of this in common are told apart by
where they are plugged in, and card positions of one device by their order. So one with a serial number keeps its slot
when it is moved; of several equal ones without, each socket has its slot. What is still not certain is reported, never
guessed: a wrong guess would give a modem the card of another.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final

from remsim.bankd.slots.plan import NOWHERE, ReaderAssignment, SlotProblem
from remsim.core.values import dataclass

#: pcsc-lite names a reader ``<model> [<interface>] (<serial>) XX YY``: XX counts the devices in the order in which
#: they were plugged in, so it says nothing about which device it is; YY is the slot within the device.
_PCSC_NAME: Final = re.compile(r"(?P<device>.+) (?P<plugged>[0-9A-F]{2}) (?P<position>[0-9A-F]{2})")
#: A serial number, as it stands at the end of the device's name.
_SERIAL: Final = re.compile(r".*\([^()]+\) \?\? [0-9A-F]{2}")


def reader_key(name: str) -> str:
    """What of a reader's name stays the same when it is plugged in again."""
    match = _PCSC_NAME.fullmatch(name)
    return name if match is None else f"{match['device']} ?? {match['position']}"


@dataclass(frozen=True, slots=True)
class KnownReader:
    """A reader as it is remembered: by the stable part of its name, and where it was plugged in ("": not known)."""

    key: str
    #: A USB path.
    place: str = ""
    #: Which of the readers with that key at that place: the interfaces of one device, in their order.
    index: int = 0

    @property
    def has_serial(self) -> bool:
        """Whether its name has a serial number, so that it is the same reader wherever it is plugged in."""
        return _SERIAL.fullmatch(self.key) is not None


@dataclass(slots=True)
class AutoPlan:
    """Readers are found by themselves and keep the slot that they were first given.

    ``known`` is kept on disk by the service, which looks at ``is_changed``.
    """

    slots: int
    known: dict[int, KnownReader] = field(default_factory=dict)
    is_changed: bool = False

    def assign(
        self, present: Sequence[str], current: Mapping[int, str], places: Mapping[str, str] = NOWHERE
    ) -> ReaderAssignment:
        """Known readers to their slots, new ones to the lowest free slots; twins are reported."""
        by_key: dict[str, list[str]] = {}
        for name in present:
            by_key.setdefault(reader_key(name), []).append(name)
        readers: dict[int, str] = {}
        problems: list[SlotProblem] = []
        for key, names in by_key.items():
            # The driver counts the interfaces of a device upwards as it finds them.
            found = self._found(key, sorted(names), places)
            unplaced = [name for name, reader in found.items() if not reader.place]
            if len(names) > 1 and unplaced:
                # One that was alone when it got its slot, and was never unplugged, is still known.
                known = (nr for nr, reader in self.known.items() if reader.key == key)
                readers |= {nr: current[nr] for nr in known if current.get(nr) in unplaced}
                problems.append(SlotProblem("readers_indistinguishable", None, (("readers", ", ".join(unplaced)),)))
                found = {name: reader for name, reader in found.items() if reader.place}
            for name, slot_nr in self._slots_of(found, current, taken=set(readers)).items():
                if slot_nr is None:
                    problems.append(SlotProblem("no_free_slot", None, (("reader", name), ("slots", str(self.slots)))))
                else:
                    readers[slot_nr] = name
        return ReaderAssignment(readers, tuple(problems))

    @staticmethod
    def _found(key: str, names: Sequence[str], places: Mapping[str, str]) -> dict[str, KnownReader]:
        at: dict[str, int] = {}
        found: dict[str, KnownReader] = {}
        for name in names:
            place = places.get(name, "")
            found[name] = KnownReader(key, place, at.get(place, 0) if place else 0)
            at[place] = at.get(place, 0) + 1
        return found

    def _slots_of(
        self, found: Mapping[str, KnownReader], current: Mapping[int, str], *, taken: set[int]
    ) -> dict[str, int | None]:
        """Slots for all readers of one key that can be told apart."""
        slots: dict[str, int | None] = {}
        for name, reader in found.items():
            numbers = [nr for nr in self._records(reader.key) if nr not in taken]
            # Which it was when it was plugged in says more than anything else.
            slot_nr = next((nr for nr in numbers if current.get(nr) == name), None)
            if slot_nr is None:
                slot_nr = next((nr for nr in numbers if reader.place and self.known[nr] == reader), None)
            if slot_nr is not None:
                slots[name] = self._remember(slot_nr, reader)
                taken.add(slot_nr)
        for name, reader in found.items():
            if name not in slots:
                slots[name] = self._slot_of_moved(reader, found, slots, taken)
        for name, reader in found.items():
            if slots[name] is None:
                slots[name] = self._new_slot(reader)
        return {name: nr if nr is not None and nr < self.slots else None for name, nr in slots.items()}

    def _slot_of_moved(
        self, reader: KnownReader, found: Mapping[str, KnownReader], slots: Mapping[str, int | None], taken: set[int]
    ) -> int | None:
        """The slot of a reader that is not where it was, if that can be only one."""
        records = self._records(reader.key)
        left = [nr for nr in records if nr not in taken]
        if len(found) == len(records) == 1:
            # There was never another one like it.
            return self._remember(records[0], reader)
        if not reader.has_serial:
            return None
        alike = [nr for nr in left if self.known[nr].index == reader.index]
        candidates = [name for name, other in found.items() if slots.get(name) is None and other.index == reader.index]
        if len(alike) != 1 or len(candidates) != 1:
            return None
        taken.add(alike[0])
        return self._remember(alike[0], reader)

    def _records(self, key: str) -> list[int]:
        return [nr for nr, reader in self.known.items() if reader.key == key]

    def _remember(self, slot_nr: int, reader: KnownReader) -> int:
        # A place that cannot be found out just now does not make us forget the one that is known.
        if reader.place and self.known[slot_nr] != reader:
            self.known[slot_nr] = reader
            self.is_changed = True
        return slot_nr

    def _new_slot(self, reader: KnownReader) -> int | None:
        slot_nr = next((nr for nr in range(self.slots) if nr not in self.known), None)
        if slot_nr is not None:
            self.known[slot_nr] = reader
            self.is_changed = True
        return slot_nr
