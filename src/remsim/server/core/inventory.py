# SPDX-License-Identifier: Apache-2.0
"""Which card is in which slot, as bankds tell: the numbers that rules may name. Without I/O.

The last number of a slot is kept when its card goes, and over a restart of the server. A mapping that exists is judged
by it, so that neither a card that is pulled for a moment nor a bankd that is absent ends it; for a new mapping a card
counts only where it was not reported gone. Another number replaces it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from remsim.card.iccid import is_iccid
from remsim.core.ids import BankSlot
from remsim.core.log_event import LogEvent
from remsim.core.text import escape
from remsim.core.values import dataclass
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import Action, AskPolicy, NoteCard
from remsim.server.core.log_events import ignored
from remsim.server.core.peers import Peer
from remsim.wire.link.abilities import CARDS
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import MAX_PROVIDER, InventoryInd

_IMSI: Final = re.compile(r"[0-9]{6,15}", re.ASCII)
_EID: Final = re.compile(r"[0-9]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CardContents:
    """What a card says of itself without a PIN; None: it says nothing of that, asks for a PIN, or it is not kept."""

    imsi: str | None = None
    service_provider: str | None = None
    eid: str | None = None


@dataclass(slots=True)
class _Card:
    iccid: str
    #: What it told besides, and when, in the time that coordinators are given; None: in an earlier run.
    contents: CardContents | None = None
    told_at: float | None = None
    #: Nobody has said that it is gone, or cannot be read any more.
    is_there: bool = True
    #: Its bankd has said that it is there, since it connected last.
    is_told: bool = False
    #: When that was said, in the time that coordinators are given; None: in an earlier run.
    heard_at: float | None = None


class Inventory:
    """The cards of all banks. ``stored`` are the numbers that earlier runs have heard of, ``contents`` what cards told.

    ``keeps_imsi``: IMSIs are kept; else they are dropped when they come, and those of earlier runs are not shown.
    """

    def __init__(
        self,
        stored: Mapping[BankSlot, str],
        contents: Mapping[BankSlot, CardContents] | None = None,
        *,
        keeps_imsi: bool = False,
    ) -> None:
        self._keeps_imsi = keeps_imsi
        self._banks: dict[int, dict[int, _Card]] = {}
        # Where each number was heard of last.
        self._places: dict[str, set[BankSlot]] = {}
        for slot, iccid in stored.items():
            self._enter(slot, _Card(iccid))
        for slot, told in (contents or {}).items():
            card = self._cards(slot.bank_id).get(slot.slot_nr)
            if card is not None:
                card.contents = told if keeps_imsi else replace(told, imsi=None)

    def number(self, slot: BankSlot) -> str | None:
        """The number of the card there; None if none is known, or the card is gone."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return card.iccid if card is not None and card.is_there else None

    def last_number(self, slot: BankSlot) -> str | None:
        """The last number that was heard of, even if that card is gone."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None else card.iccid

    def places(self, iccid: str) -> list[BankSlot]:
        """Where a card with this number is, as bankds have told since they connected last, in order."""
        found = (slot for slot in self._places.get(iccid, ()) if self._cards(slot.bank_id)[slot.slot_nr].is_told)
        return sorted(slot for slot in found if self.number(slot) == iccid)

    def twins(self) -> dict[str, list[BankSlot]]:
        """Numbers that several slots have a card with, as far as bankds have told, and these slots."""
        several = (iccid for iccid, slots in self._places.items() if len(slots) > 1)
        return {iccid: places for iccid in several if len(places := self.places(iccid)) > 1}

    def heard_at(self, slot: BankSlot) -> float | None:
        """Since when ``last_number`` is known to be there, or gone; None: since an earlier run."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None else card.heard_at

    def contents(self, slot: BankSlot) -> tuple[CardContents, float | None] | None:
        """What the card that was heard of last told besides, and when (None: in an earlier run); None: nothing."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None or card.contents is None else (card.contents, card.told_at)

    @property
    def keeps_imsi(self) -> bool:
        """Whether IMSIs that bankds tell are kept."""
        return self._keeps_imsi

    def imsi(self, slot: BankSlot) -> str | None:
        """The IMSI of the card that was heard of last in a slot, where it is known."""
        card = self._cards(slot.bank_id).get(slot.slot_nr)
        return None if card is None or card.contents is None else card.contents.imsi

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
            card.is_there, card.is_told = card.is_there and tells, False
        lost = [nr for nr in cards if nr >= peer.number_of_slots]
        for nr in lost:
            self._leave(BankSlot(peer.bank, nr))
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
        if before is not None:
            before.is_told = iccid is not None
        if iccid is None:
            if before is not None and before.is_there:
                before.is_there, before.heard_at = False, now
                return [LogEvent("info", "card_gone", slot, fields={"iccid": shorten_iccid(before.iccid)})]
            return []
        if before is not None and before.iccid == iccid and before.is_there and before.heard_at is not None:
            return []
        if before is not None and before.iccid == iccid:
            before.is_there, before.heard_at = True, now
            return []
        self._enter(slot, _Card(iccid, is_told=True, heard_at=now))
        event = LogEvent("info", "card_number", slot, fields={"iccid": shorten_iccid(iccid)})
        return [NoteCard(slot, iccid), event, AskPolicy(slot)]

    def on_contents(self, peer: Peer, message: InventoryInd, now: float) -> list[Action]:
        """A bankd tells what the card said without a PIN whose number it told just before."""
        slot = message.bank_slot
        card = self._cards(slot.bank_id).get(slot.slot_nr) if slot.bank_id == peer.bank_id else None
        if card is None or not card.is_there or card.iccid != message.iccid:
            return [ignored(peer, "foreign_card_contents", slot)]
        contents = CardContents(
            message.imsi if self._keeps_imsi and message.imsi is not None and _IMSI.fullmatch(message.imsi) else None,
            _name(message.service_provider),
            message.eid if message.eid is not None and _EID.fullmatch(message.eid) else None,
        )
        card.told_at = now
        if contents == card.contents:
            return []
        card.contents = contents
        return [NoteCard(slot, card.iccid, contents.imsi, contents.service_provider, contents.eid)]

    def _enter(self, slot: BankSlot, card: _Card) -> None:
        self._leave(slot)
        self._cards(slot.bank_id)[slot.slot_nr] = card
        self._places.setdefault(card.iccid, set()).add(slot)

    def _leave(self, slot: BankSlot) -> None:
        card = self._cards(slot.bank_id).pop(slot.slot_nr, None)
        if card is not None:
            places = self._places[card.iccid]
            places.discard(slot)
            if not places:
                del self._places[card.iccid]

    def _cards(self, bank_id: int) -> dict[int, _Card]:
        return self._banks.setdefault(bank_id, {})


def _name(raw: bytes | None) -> str | None:
    """A name of a peer, to be kept and shown to anybody."""
    return None if raw is None else escape(raw.decode("utf-8", "replace"))[:MAX_PROVIDER]
