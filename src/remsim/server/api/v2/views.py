# SPDX-License-Identifier: Apache-2.0
"""Fills the models of v2 with what the server knows, as far as the caller may see it."""

import hashlib
import json
import time
from collections.abc import Sequence

from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import shorten_eid, shorten_iccid, shorten_imsi
from remsim.rest import models
from remsim.server.api.v1.views import MaySee, time_text
from remsim.server.api.v2.health_views import HealthViews
from remsim.server.core.actions import StoredLock
from remsim.server.core.slotmap import MappingState
from remsim.server.query import CardInfo, MappingInfo, PeerInfo, ServerQuery, SlotInfo
from remsim.server.waiting_query import ParkedInfo

STATE_NAMES = {
    MappingState.NEW: "stored",
    MappingState.UNACKNOWLEDGED: "sent",
    MappingState.ACTIVE: "active",
    MappingState.REFUSED: "refused",
}


class Views:
    """For one request: what ``query`` knows, as far as ``may_see`` allows."""

    def __init__(self, query: ServerQuery, may_see: MaySee) -> None:
        self._query = query
        self._may_see = may_see
        #: How slots stand.
        self.health = HealthViews(query.health, may_see, self._times)

    def _times(self, heard_at: float | None) -> dict[str, object]:
        """``since`` and ``age_s`` of a moment in the server's own time."""
        if heard_at is None:
            return {}
        return {"since": time_text(self._query.moment(heard_at)), "age_s": round(self._query.age_s(heard_at), 3)}

    def mapping(self, info: MappingInfo) -> models.MappingModel:
        """A mapping."""
        source = "database" if info.changed_at is None else "server"
        if info.state in (MappingState.ACTIVE, MappingState.REFUSED) and info.changed_at is not None:
            source = f"B{info.bank.bank_id}"
        missing, usability = info.missing, info.usability
        iccid = self._query.last_number(info.bank)
        return models.MappingModel(
            client=str(info.client),
            bank=str(info.bank),
            state=models.MappingObserved.model_validate(
                {"state": STATE_NAMES[info.state], "source": source, **self._times(info.changed_at)}
            ),
            operational=not missing,
            usability=_usability(usability.since, usability.source, is_operational=usability.is_operational),
            missing=missing,
            iccid=None if iccid is None else shorten_iccid(iccid),
            follow="slot" if info.follows is None else "card",
            created_at=time_text(info.created_at),
        )

    def waiting(self, info: ParkedInfo) -> models.MappingModel:
        """A mapping that waits for the card that it follows."""
        source = "server" if info.since >= self._query.started_at else "database"
        return models.MappingModel(
            client=str(info.client),
            state=models.MappingObserved(
                state="waiting", since=time_text(info.since), age_s=round(info.age_s, 3), source=source
            ),
            operational=False,
            usability=_usability(info.since, source, is_operational=False),
            missing=[info.missing(self._may_see)],
            iccid=shorten_iccid(info.iccid),
            follow="card",
            created_at=time_text(info.created_at),
        )

    def seen_mapping(self, info: MappingInfo | None) -> models.MappingModel | None:
        """The same, if the caller may see it."""
        return None if info is None or not self._may_see(info.bank, info.client) else self.mapping(info)

    def _hides(self, info: MappingInfo | ParkedInfo | None) -> bool | None:
        """True if there is one that the caller may not see, else None: it is left out."""
        if info is None:
            return None
        place = info.left if isinstance(info, ParkedInfo) else info.bank
        return None if self._may_see(place, info.client) else True

    def _unmapped_since(self, slot: BankSlot | ClientSlot) -> str | None:
        freed = self._query.freed(slot)
        if freed is None or not self._may_see(*_ends(slot, freed.other)):
            return None
        return time_text(freed.at)

    def bank(self, bank_id: int) -> models.BankModel:
        """A bank, connected or not."""
        info, seen = self._query.bank(bank_id), self._query.seen_bank(bank_id)
        slots = self._query.slots_of_bank(bank_id)
        mappings = [slot.mapping for slot in slots if slot.mapping is not None]
        return models.BankModel(
            bank=bank_id,
            link=self._link(info, None if seen is None or not seen.is_fresh else seen.at),
            last_seen_at=None if seen is None else time_text(seen.at),
            name=None if seen is None else seen.note.name,
            software=None if seen is None else seen.note.software,
            version=None if seen is None else seen.note.sw_version,
            address=None if info is None else str(info.address),
            clients_go_to=[] if info is None else [f"{place.ip}:{place.port}" for place in info.addresses],
            slots=len(slots) if info is None else info.number_of_slots,
            mappings=sum(1 for mapping in mappings if self._may_see(mapping.bank, mapping.client)),
            known_cards=0 if info is None else len(info.cards),
        )

    def bank_slot(self, bank_id: int, slot: SlotInfo, *, is_whole: bool = False) -> models.BankSlotModel:
        """A slot of a bank; ``is_whole``: with all that is known."""
        where = BankSlot(bank_id, slot.slot_nr)
        reader_name, atr = self.health.reader(where) if is_whole else (None, None)
        return models.BankSlotModel(
            slot=str(where),
            labels=list(self._query.labels(str(where))),
            card=self.presence(bank_id, slot),
            reader=None if slot.reader is None else slot.reader.state.name.lower(),
            iccid=None if slot.iccid is None else shorten_iccid(slot.iccid),
            lock=lock_model(self._query.lock(where)),
            mapping=self.seen_mapping(slot.mapping),
            hidden_mapping=self._hides(slot.mapping),
            unmapped_since=self._unmapped_since(where),
            session=self.health.session(where),
            health=self.health.slot(where, is_whole=is_whole),
            inventory=self.contents(where) if is_whole else None,
            reader_name=reader_name,
            atr=atr,
        )

    def presence(self, bank_id: int, slot: SlotInfo) -> models.PresenceObserved:
        """Whether there is a card in a slot."""
        if slot.is_present is None:
            return models.PresenceObserved(state="unknown", source="server")
        state = "present" if slot.is_present else "absent"
        times = self._times(slot.present_since)
        return models.PresenceObserved.model_validate({"state": state, "source": f"B{bank_id}", **times})

    def client_slot(self, slot: ClientSlot, *, is_whole: bool = False) -> models.ClientSlotModel:
        """A client slot, connected or not; ``is_whole``: with all that is known."""
        info, seen = self._query.client(slot), self._query.seen_client(slot)
        mapping = self._query.mapping_of_client(slot)
        return models.ClientSlotModel.model_validate(
            {
                "slot": str(slot),
                "labels": list(self._query.labels(str(slot))),
                "link": self._link(info, None if seen is None or not seen.is_fresh else seen.at),
                "last_seen_at": None if seen is None else time_text(seen.at),
                "name": None if seen is None else seen.note.name,
                "software": None if seen is None else seen.note.software,
                "version": None if seen is None else seen.note.sw_version,
                "address": None if info is None else str(info.address),
                "mapping": self.seen_mapping(mapping),
                "hidden_mapping": self._hides(mapping or self._query.waiting.of_client(slot)),
                "unmapped_since": self._unmapped_since(slot),
                **self.health.client(slot, is_whole=is_whole),
            }
        )

    def client(self, slots: Sequence[ClientSlot]) -> models.ClientModel:
        """A client with these slots."""
        return models.ClientModel(client=slots[0].client_id, slots=[self.client_slot(slot) for slot in slots])

    def card(self, info: CardInfo, *, reveal: bool = False) -> models.CardModel:
        """A card."""
        bank = self._query.bank(info.bank.bank_id)
        if bank is None or not bank.tells_cards:
            # Nobody who could know is there.
            presence = models.PresenceObserved(state="unknown", source="database" if bank is None else "server")
        else:
            state = "present" if info.is_there else "absent"
            presence = models.PresenceObserved.model_validate(
                {"state": state, "source": f"B{info.bank.bank_id}", **self._times(info.heard_at)}
            )
        return models.CardModel(
            iccid=info.iccid if reveal else shorten_iccid(info.iccid),
            slot=str(info.bank),
            presence=presence,
            labels=list(info.labels),
            mapping=self.seen_mapping(info.mapping),
            hidden_mapping=self._hides(info.mapping),
            inventory=self.contents(info.bank, reveal=reveal),
        )

    def contents(self, slot: BankSlot, *, reveal: bool = False) -> models.InventoryModel | None:
        """What the card of a slot says without a PIN."""
        found = self._query.card_contents(slot)
        if found is None:
            return None
        contents, told_at = found
        imsi, eid = contents.imsi, contents.eid
        return models.InventoryModel.model_validate(
            {
                "imsi": imsi if reveal or imsi is None else shorten_imsi(imsi),
                "service_provider": contents.service_provider,
                "eid": eid if reveal or eid is None else shorten_eid(eid),
                "source": "database" if told_at is None else f"B{slot.bank_id}",
                **self._times(told_at),
            }
        )

    def _link(self, info: PeerInfo | None, left_at: float | None) -> models.LinkObserved:
        if info is not None:
            times = self._times(info.up_since)
            return models.LinkObserved.model_validate({"state": "connected", "source": "server", **times})
        # Nobody came since the start; what was before is the database's knowledge.
        since, source = (self._query.started_at, "database") if left_at is None else (left_at, "server")
        age_s = round(max(0.0, time.time() - since), 3)
        return models.LinkObserved(state="absent", since=time_text(since), age_s=age_s, source=source)


def _usability(since: float | None, source: str, *, is_operational: bool) -> models.UsabilityObserved:
    return models.UsabilityObserved(
        state="operational" if is_operational else "hindered",
        since=None if since is None else time_text(since),
        age_s=None if since is None else round(max(0.0, time.time() - since), 3),
        source=source,
    )


def _ends(one: BankSlot | ClientSlot, other: BankSlot | ClientSlot) -> tuple[BankSlot | None, ClientSlot | None]:
    bank = next((end for end in (one, other) if isinstance(end, BankSlot)), None)
    return bank, next((end for end in (one, other) if isinstance(end, ClientSlot)), None)


def lock_model(lock: StoredLock | None) -> models.LockModel | None:
    """A lock."""
    if lock is None:
        return None
    age_s = round(max(0.0, time.time() - lock.locked_at), 3)
    return models.LockModel(reason=lock.reason, since=time_text(lock.locked_at), age_s=age_s)


def mapping_tag(info: MappingInfo | ParkedInfo | None) -> str | None:
    """The ETag of a mapping: it changes when the mapping is replaced or begins to wait, not when its state does."""
    if info is None:
        return None
    return f'"w{info.id}"' if isinstance(info, ParkedInfo) else f'"m{info.id}"'


def labels_tag(labels: Sequence[str]) -> str:
    """The ETag of labels."""
    return f'"{hashlib.blake2b(json.dumps(list(labels)).encode(), digest_size=8).hexdigest()}"'
