# SPDX-License-Identifier: Apache-2.0
"""Which card is in which slot, as bankds tell: the numbers that rules may name. Without I/O.

The last number of a slot is kept when its card goes, and over a restart of the server. A mapping that exists is judged
by it, so that neither a card that is pulled for a moment nor a bankd that is absent ends it; for a new mapping a card
counts only where it was not reported gone. Another number replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from remsim.card.iccid import is_iccid
from remsim.core.ids import BankSlot
from remsim.core.log_event import LogEvent
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import Action, AskPolicy, NoteCard
from remsim.server.core.log_events import ignored
from remsim.server.core.peers import Peer
from remsim.wire.link.abilities import CARDS
from remsim.wire.messages.extensions import CardInd


@dataclass(slots=True)
class _Card:
    iccid: str
    #: Nobody has said that it is gone, or cannot be read any more.
    is_there: bool = True
    #: When that was said, in the time that coordinators are given; None: in an earlier run.
    heard_at: float | None = None


class Inventory:
    """One for the server. ``stored`` are the numbers that earlier runs have heard of."""

    def __init__(self, stored: Mapping[BankSlot, str]) -> None:
        self._banks: dict[int, dict[int, _Card]] = {}
        for slot, iccid in stored.items():
            self._cards(slot.bank_id)[slot.slot_nr] = _Card(iccid)

    def number(self, slot: BankSlot) -> str | None:
        """The number of the card there; None if none is known, or the card is gone."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return card.iccid if card is not None and card.is_there else None

    def last_number(self, slot: BankSlot) -> str | None:
        """The last number that was heard of, even if that card is gone."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None else card.iccid

    def heard_at(self, slot: BankSlot) -> float | None:
        """Since when ``last_number`` is known to be there, or gone; None: since an earlier run."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None else card.heard_at

    def all_numbers(self) -> dict[BankSlot, str]:
        """The last number of every slot, gone or not, in the order of slots."""
        found = {BankSlot(bank, nr): card.iccid for bank, cards in self._banks.items() for nr, card in cards.items()}
        return dict(sorted(found.items()))

    def numbers_of_bank(self, bank_id: int) -> dict[int, str]:
        """The numbers of the cards that are there, by slot number, ascending."""
        return {nr: card.iccid for nr, card in sorted(self._cards(bank_id).items()) if card.is_there}

    def on_bankd(self, peer: Peer) -> list[Action]:
        """A bankd was accepted. What is known of slots that it does not have is forgotten."""
        cards = self._cards(peer.bank)
        tells = peer.identity is not None and CARDS in (peer.identity.abilities or ())
        for card in cards.values():
            # One that does not tell may have any card in there.
            card.is_there = card.is_there and tells
        lost = [nr for nr in cards if nr >= peer.number_of_slots]
        for nr in lost:
            del cards[nr]
        return [NoteCard(BankSlot(peer.bank, nr), None) for nr in lost]

    def on_card(self, peer: Peer, message: CardInd, now: float) -> list[Action]:
        """A bankd tells the number of a card, or that there is none."""
        slot, iccid = message.bank_slot, message.iccid
        if slot.bank_id != peer.bank_id or slot.slot_nr >= peer.number_of_slots:
            return [ignored(peer, "foreign_card", slot)]
        if iccid is not None and not is_iccid(iccid):
            return [ignored(peer, "bad_card_number", slot)]
        cards = self._cards(slot.bank_id)
        before = cards.get(slot.slot_nr)
        if iccid is None:
            if before is not None and before.is_there:
                before.is_there, before.heard_at = False, now
                return [LogEvent("info", "card_gone", slot, fields={"iccid": shorten_iccid(before.iccid)})]
            return []
        if before is not None and before.iccid == iccid and before.is_there and before.heard_at is not None:
            return []
        cards[slot.slot_nr] = _Card(iccid, heard_at=now)
        if before is not None and before.iccid == iccid:
            return []
        event = LogEvent("info", "card_number", slot, fields={"iccid": shorten_iccid(iccid)})
        return [NoteCard(slot, iccid), event, AskPolicy(slot)]

    def _cards(self, bank_id: int) -> dict[int, _Card]:
        return self._banks.setdefault(bank_id, {})
