# SPDX-License-Identifier: Apache-2.0
"""Calls of REST v2 as values: what is asked, and the model of the answer. ``Rest.do`` and ``AsyncRest.do`` make them.

Knows no connection. Slots are written ``B1:3`` and ``C7:0``; a card ``B1:3``, ``iccid:NUMBER``,
``imsi:NUMBER`` or ``label:NAME``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.rest import models

PREFIX: Final = "/api/v2"

M = TypeVar("M", bound=BaseModel)
M_co = TypeVar("M_co", bound=BaseModel, covariant=True)
Goal = Literal["active", "operational"]
Link = Literal["connected", "absent"]
Presence = Literal["present", "absent", "unknown"]


class Nothing(models.V2Model):
    """An answer without a body."""


@dataclass(frozen=True, slots=True)
class Call(Generic[M_co]):
    """One request, and the model of its answer."""

    method: str
    path: str
    model: type[M_co]
    query: Mapping[str, str] = field(default_factory=dict)
    body: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def behind(self, cursor: str) -> "Call[M_co]":
        """The same for the next page."""
        return replace(self, query={**self.query, "cursor": cursor})

    def only_if(self, tag: str) -> "Call[M_co]":
        """The same, done only if what it changes still has this ETag."""
        return replace(self, headers={**self.headers, "If-Match": tag})

    def only_if_new(self) -> "Call[M_co]":
        """The same, done only if there is nothing yet in its place."""
        return replace(self, headers={**self.headers, "If-None-Match": "*"})

    def once(self, key: str) -> "Call[M_co]":
        """The same, done only once for this key, however often it is repeated."""
        return replace(self, headers={**self.headers, "Idempotency-Key": key})


def _get(path: str, model: type[M], query: Mapping[str, str] | None = None) -> Call[M]:
    return Call("GET", path, model, query or {})


def list_banks(*, state: Link | None = None) -> Call[models.BankPage]:
    """All banks that are or were connected."""
    return _get("/banks", models.BankPage, _given(state=state))


def show_bank(bank_id: int) -> Call[models.BankModel]:
    """One bank."""
    return _get(f"/banks/{bank_id}", models.BankModel)


def list_bank_slots(
    bank_id: int, *, state: Presence | None = None, label: str | None = None
) -> Call[models.BankSlotPage]:
    """The slots of a bank."""
    return _get(f"/banks/{bank_id}/slots", models.BankSlotPage, _given(state=state, label=label))


def show_bank_slot(slot: str) -> Call[models.BankSlotModel]:
    """One slot. Raises IdRangeError."""
    where = BankSlot.parse(slot)
    return _get(f"/banks/{where.bank_id}/slots/{where.slot_nr}", models.BankSlotModel)


def lock_slot(slot: str, reason: str) -> Call[models.LockModel]:
    """Give a bank slot no new mapping. Raises IdRangeError, and ValidationError for what is no reason."""
    where, body = BankSlot.parse(slot), models.LockOrder(reason=reason)
    return Call("PUT", f"/banks/{where.bank_id}/slots/{where.slot_nr}/lock", models.LockModel, {}, body)


def unlock_slot(slot: str) -> Call[Nothing]:
    """It may be mapped again. Raises IdRangeError."""
    where = BankSlot.parse(slot)
    return Call("DELETE", f"/banks/{where.bank_id}/slots/{where.slot_nr}/lock", Nothing)


def reinsert_card(client: str) -> Call[models.MappingModel]:
    """Let a modem see its card removed and inserted again. Raises IdRangeError."""
    return Call("POST", f"/mappings/{ClientSlot.parse(client)}/reinsert", models.MappingModel)


def reset_bank(bank_id: int) -> Call[Nothing]:
    """Make a bankd drop its mappings and give it those that are desired."""
    return Call("POST", f"/banks/{bank_id}/reset", Nothing)


def show_latency(slot: str) -> Call[models.LatencyHistoryModel]:
    """How long the commands of a bank slot or client slot took in the last ten minutes. Raises IdRangeError."""
    where = ClientSlot.parse(slot) if slot.startswith("C") else BankSlot.parse(slot)
    return _get(f"/latency/{where}", models.LatencyHistoryModel)


def list_clients(*, state: Link | None = None, label: str | None = None) -> Call[models.ClientPage]:
    """All clients that are or were connected."""
    return _get("/clients", models.ClientPage, _given(state=state, label=label))


def show_client_slot(slot: str) -> Call[models.ClientSlotModel]:
    """One client slot. Raises IdRangeError."""
    where = ClientSlot.parse(slot)
    return _get(f"/clients/{where.client_id}/slots/{where.slot_nr}", models.ClientSlotModel)


def list_sessions() -> Call[models.SessionPage]:
    """All card sessions."""
    return _get("/sessions", models.SessionPage)


def list_cards(
    *,
    reveal: bool = False,
    state: Presence | None = None,
    label: str | None = None,
    bank: int | None = None,
    imsi: str | None = None,
) -> Call[models.CardPage]:
    """All cards whose numbers are known; ``reveal``: in full, for admins."""
    wanted = _given(state=state, label=label, bank=None if bank is None else str(bank), imsi=imsi)
    return _get("/cards", models.CardPage, {**wanted, "reveal": "true"} if reveal else wanted)


def show_card(iccid: str) -> Call[models.CardModel]:
    """One card."""
    return _get(f"/cards/{quote(iccid, safe='')}", models.CardModel)


def list_mappings(
    *,
    state: Literal["stored", "sent", "active", "refused", "waiting"] | None = None,
    label: str | None = None,
    bank: int | None = None,
) -> Call[models.MappingPage]:
    """All mappings; ``label`` is one of the bank slot, the client slot or the card."""
    wanted = _given(state=state, label=label, bank=None if bank is None else str(bank))
    return _get("/mappings", models.MappingPage, wanted)


def show_mapping(client: str, *, wait: Goal | None = None, timeout: str = "30s") -> Call[models.MappingModel]:
    """One mapping, now or when it has come as far as ``wait`` says. Raises IdRangeError."""
    return _get(f"/mappings/{ClientSlot.parse(client)}", models.MappingModel, _waiting(wait, timeout))


def put_mapping(
    client: str,
    card: str,
    *,
    follow: Literal["slot", "card"] | None = None,
    wait: Goal | None = None,
    timeout: str = "30s",
) -> Call[models.MappingModel]:
    """Give a client slot a card. Raises IdRangeError, and ValidationError for what names no card."""
    path, body = f"/mappings/{ClientSlot.parse(client)}", models.MappingOrder(card=card, follow=follow)
    return Call("PUT", path, models.MappingModel, _waiting(wait, timeout), body)


def delete_mapping(client: str) -> Call[Nothing]:
    """Take its card away from a client slot. Raises IdRangeError."""
    return Call("DELETE", f"/mappings/{ClientSlot.parse(client)}", Nothing)


def list_labels() -> Call[models.LabelsPage]:
    """Everything that has labels."""
    return _get("/labels", models.LabelsPage)


def show_labels(subject: str) -> Call[models.LabelsModel]:
    """The labels of a slot, client slot or card."""
    return _get(f"/labels/{quote(subject, safe=':')}", models.LabelsModel)


def put_labels(subject: str, labels: Sequence[str]) -> Call[models.LabelsModel]:
    """Give it these labels and no others. Raises ValidationError for what can be no label."""
    body = models.LabelsOrder(labels=list(labels))
    return Call("PUT", f"/labels/{quote(subject, safe=':')}", models.LabelsModel, {}, body)


def apply(fleet: models.FleetOrder, *, dry_run: bool = False) -> Call[models.ApplyModel]:
    """Make it so that exactly these mappings and labels are there, or only say what differs."""
    return Call("POST", "/apply", models.ApplyModel, {"dry_run": "true"} if dry_run else {}, fleet)


def list_tokens() -> Call[models.TokenPage]:
    """All access tokens; for admins."""
    return _get("/tokens", models.TokenPage)


def list_audit() -> Call[models.AuditPage]:
    """The audit log, oldest first; for admins."""
    return _get("/audit", models.AuditPage)


def list_events(cursor: str | None = None) -> Call[models.EventPage]:
    """What happened behind an event, or all that is kept."""
    return _get("/events", models.EventPage, {} if cursor is None else {"cursor": cursor})


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _waiting(wait: Goal | None, timeout: str) -> dict[str, str]:
    return {} if wait is None else {"wait": wait, "timeout": timeout}
