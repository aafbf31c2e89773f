# SPDX-License-Identifier: Apache-2.0
"""Which client may use which slot of this bank: the server's orders, kept in memory (rspro.md, 9.1).

One bank slot and one client slot occur in one mapping only, so a new mapping pushes out those that it contradicts.
Knows nothing of links, sessions or cards.
"""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.wire.messages.rspro import ResultCode


@dataclass(frozen=True, slots=True)
class SlotMapping:
    """This client may use this slot."""

    client: ClientSlot
    bank: BankSlot

    def __str__(self) -> str:
        return f"{self.bank} {self.client}"


@dataclass(frozen=True, slots=True)
class MappingChange:
    """What a request led to: the result for the server, mappings that are gone, and the one that is new."""

    result: ResultCode
    removed: tuple[SlotMapping, ...] = ()
    created: SlotMapping | None = None


class MappingTable:
    """The mappings of bank ``bank_id`` with slots 0..``slots``-1."""

    def __init__(self, bank_id: int, slots: int) -> None:
        self.bank_id = bank_id
        self.slots = slots
        self._by_slot_nr: dict[int, SlotMapping] = {}
        self._by_client: dict[ClientSlot, SlotMapping] = {}

    def __len__(self) -> int:
        return len(self._by_slot_nr)

    def of_client(self, client: ClientSlot) -> SlotMapping | None:
        """The mapping of a client slot."""
        return self._by_client.get(client)

    def of_slot(self, slot_nr: int) -> SlotMapping | None:
        """The mapping of one of our slots."""
        return self._by_slot_nr.get(slot_nr)

    def create(self, client: ClientSlot, bank: BankSlot) -> MappingChange:
        """createMappingReq: the checks in the order of rspro.md, 9.1. An identical mapping stays untouched."""
        illegal = self._illegal(bank)
        if illegal is not None:
            return MappingChange(illegal)
        mapping = SlotMapping(client, bank)
        if self._by_client.get(client) == mapping:
            return MappingChange(ResultCode.OK)
        in_the_way = (self._by_slot_nr.get(bank.slot_nr), self._by_client.get(client))
        removed = tuple(old for old in in_the_way if old is not None)
        for old in removed:
            self._drop(old)
        self._by_slot_nr[bank.slot_nr] = mapping
        self._by_client[client] = mapping
        return MappingChange(ResultCode.OK, removed, mapping)

    def remove(self, client: ClientSlot, bank: BankSlot) -> MappingChange:
        """removeMappingReq."""
        illegal = self._illegal(bank)
        if illegal is not None:
            return MappingChange(illegal)
        mapping = self._by_slot_nr.get(bank.slot_nr)
        if mapping is None or mapping.client != client:
            return MappingChange(ResultCode.UNKNOWN_SLOTMAP)
        self._drop(mapping)
        return MappingChange(ResultCode.OK, (mapping,))

    def clear(self) -> MappingChange:
        """resetStateReq: all are gone."""
        removed = tuple(self._by_slot_nr.values())
        self._by_slot_nr.clear()
        self._by_client.clear()
        return MappingChange(ResultCode.OK, removed)

    def _illegal(self, bank: BankSlot) -> ResultCode | None:
        if bank.bank_id != self.bank_id:
            return ResultCode.ILLEGAL_BANK_ID
        return ResultCode.ILLEGAL_SLOT_ID if bank.slot_nr >= self.slots else None

    def _drop(self, mapping: SlotMapping) -> None:
        del self._by_slot_nr[mapping.bank.slot_nr]
        del self._by_client[mapping.client]
