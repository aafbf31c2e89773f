# SPDX-License-Identifier: Apache-2.0
"""How decisions and notes are written as SQL, and how the memory is read back. Knows no connection's life."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import (
    ClientKey,
    Decision,
    Note,
    NoteBank,
    NoteCard,
    NoteClient,
    NoteOutcome,
    NoteReleased,
    NoteRemoved,
    ParkedMapping,
    StoreChange,
    StoreClientId,
    StoreDeletion,
    StoreDeliveries,
    StoredMapping,
    StoredState,
    StoreFollow,
    StoreGrant,
    StoreLabels,
    StoreLease,
    StoreLeaseEnd,
    StoreLock,
    StoreMapping,
    StoreRenewal,
    StoreSent,
    StoreWebhook,
    StoreWebhookEnd,
)
from remsim.server.core.known import MAX_CLIENTS
from remsim.server.store import announcements, leases, requests, slot_locks, webhooks
from remsim.server.store.schema import (
    BANKS,
    CARDS,
    CLIENT_NUMBERS,
    CLIENTS,
    COUNTERS,
    LABELS,
    LEASES,
    MAPPINGS,
    PARKED,
    PENDING_RELEASES,
    PENDING_REMOVALS,
)
from remsim.wire.messages.rspro import AddressKind, AdvertisedAddress, IpPort

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

#: Behind an address at which TLS is spoken.
_TLS_MARK: Final = " tls"
_RESTARTS: Final = "restarts"
#: Mappings that were deleted longer ago than this are forgotten.
HISTORY_S: Final = 400 * 86400.0

N = TypeVar("N", bound=Note)
Values = dict[str, object]

_SET_OUTCOME: Final = (
    update(MAPPINGS)
    .where(MAPPINGS.c.id == bindparam("of"))
    .values(is_acknowledged=bindparam("acknowledged"), result=bindparam("code"))
)
_SET_SENT: Final = update(MAPPINGS).where(MAPPINGS.c.id == bindparam("of")).values(is_sent=True)
_SET_DELETED: Final = update(MAPPINGS).where(MAPPINGS.c.id == bindparam("of")).values(deleted_at=bindparam("at"))
_DROP_REMOVAL: Final = delete(PENDING_REMOVALS).where(PENDING_REMOVALS.c.mapping_id == bindparam("of"))
_DROP_CARD: Final = delete(CARDS).where(CARDS.c.bank_id == bindparam("of"), CARDS.c.slot_nr == bindparam("nr"))
_DROP_RELEASE: Final = delete(PENDING_RELEASES).where(PENDING_RELEASES.c.mapping_id == bindparam("of"))
#: Where a note of this kind replaces a row.
_TABLES: Final[dict[type[Note], Table]] = {NoteBank: BANKS, NoteClient: CLIENTS, NoteCard: CARDS}


# Reading


async def load_memory(connection: AsyncConnection, wall: float) -> StoredState:
    """Everything that earlier runs have left; ``wall`` is now."""
    client_ids: dict[ClientKey, int] = {
        (row.kind, row.value): row.client_id for row in await connection.execute(select(CLIENT_NUMBERS))
    }
    banks = [(_bank(row), row.last_seen_at) for row in await connection.execute(select(BANKS))]
    clients = await connection.execute(select(CLIENTS).order_by(CLIENTS.c.last_seen_at.desc()).limit(MAX_CLIENTS))
    labels: dict[str, tuple[str, ...]] = {}
    for row in await connection.execute(select(LABELS).order_by(LABELS.c.subject, LABELS.c.label)):
        labels[row.subject] = (*labels.get(row.subject, ()), row.label)
    live = await connection.execute(select(MAPPINGS).where(MAPPINGS.c.deleted_at.is_(None)).order_by(MAPPINGS.c.id))
    removed = await connection.execute(select(MAPPINGS).join(PENDING_REMOVALS).order_by(MAPPINGS.c.id))
    released = await connection.execute(select(MAPPINGS).join(PENDING_RELEASES).order_by(MAPPINGS.c.id))
    parked = await connection.execute(select(MAPPINGS, PARKED.c.since).join(PARKED).order_by(PARKED.c.since))
    rows = await connection.execute(select(CARDS))
    cards = {BankSlot(row.bank_id, row.slot_nr): row for row in rows}
    return StoredState(
        mappings=(*(_mapping(row) for row in live), *(_mapping(row) for row in removed)),
        releases=tuple(
            (row.id, ClientSlot(row.client_id, row.client_slot_nr), BankSlot(row.bank_id, row.bank_slot_nr))
            for row in released
        ),
        bank_addresses={bank.bank_id: bank.addresses for bank, _ in banks},
        client_ids=client_ids,
        restart_counter=await read_starts(connection),
        cards={slot: row.iccid for slot, row in cards.items()},
        contents={slot: (row.imsi, row.service_provider, row.eid) for slot, row in cards.items() if _has_contents(row)},
        banks=tuple(banks),
        clients=tuple((_client(row), row.last_seen_at) for row in clients),
        labels=labels,
        leases=await leases.read_leases(connection),
        last_lease=await leases.read_last_id(connection),
        lent_at=await leases.read_lent_at(connection),
        read_at=wall,
        webhooks=await webhooks.read_webhooks(connection),
        locks=await slot_locks.read_locks(connection),
        deliveries=await webhooks.read_deliveries(connection),
        announcements=await announcements.read_announcements(connection),
        parked=tuple(_parked(row) for row in parked),
        requests=await requests.read_requests(connection, wall),
    )


def _bank(row: Row[tuple[object, ...]]) -> NoteBank:
    addresses = _parse_addresses(row.addresses)
    return NoteBank(row.bank_id, row.name, row.software, row.sw_version, row.number_of_slots, addresses)


def _client(row: Row[tuple[object, ...]]) -> NoteClient:
    slot = ClientSlot(row.client_id, row.slot_nr)
    return NoteClient(slot, row.name, row.software, row.sw_version, row.hw_serial_nr, row.address)


def _mapping(row: Row[tuple[object, ...]]) -> StoredMapping:
    return StoredMapping(
        row.id,
        BankSlot(row.bank_id, row.bank_slot_nr),
        ClientSlot(row.client_id, row.client_slot_nr),
        row.created_at,
        is_live=row.deleted_at is None,
        is_sent=row.is_sent,
        is_acknowledged=row.is_acknowledged,
        result=row.result,
        follows=row.follows,
    )


def _parked(row: Row[tuple[object, ...]]) -> ParkedMapping:
    mapping = _mapping(row)
    return ParkedMapping(mapping.id, mapping.bank, mapping.client, mapping.follows or "", mapping.created_at, row.since)


async def read_starts(connection: AsyncConnection) -> int:
    """How often a server was started with this database. Raises SQLAlchemyError."""
    return await connection.scalar(select(COUNTERS.c.value).where(COUNTERS.c.name == _RESTARTS)) or 0


async def touch(connection: AsyncConnection) -> None:
    """Write what changes nothing: does the database take anything? Raises SQLAlchemyError."""
    await connection.execute(update(COUNTERS).where(COUNTERS.c.name == _RESTARTS).values(value=COUNTERS.c.value))


async def count_start(connection: AsyncConnection) -> None:
    """Count one more start of the server."""
    done = await connection.execute(
        update(COUNTERS).where(COUNTERS.c.name == _RESTARTS).values(value=COUNTERS.c.value + 1)
    )
    if done.rowcount == 0:
        await connection.execute(insert(COUNTERS).values(name=_RESTARTS, value=1))


async def forget_history(connection: AsyncConnection, wall: float) -> None:
    """Drop mappings that were deleted long ago and that nobody waits for, and leases that ended as long ago."""
    await leases.forget_leases(connection, wall - HISTORY_S)
    await connection.execute(
        delete(MAPPINGS).where(
            MAPPINGS.c.deleted_at < wall - HISTORY_S,
            MAPPINGS.c.id.not_in(select(PENDING_REMOVALS.c.mapping_id)),
            MAPPINGS.c.id.not_in(select(PENDING_RELEASES.c.mapping_id)),
            MAPPINGS.c.id.not_in(select(PARKED.c.mapping_id)),
            MAPPINGS.c.id.not_in(select(LEASES.c.mapping_id).where(LEASES.c.mapping_id.is_not(None))),
        )
    )


# Writing


async def write_decision(connection: AsyncConnection, decision: Decision, wall: float) -> tuple[int, ...]:
    """Write one decision; return the ids of new mappings, in their order. Raises SQLAlchemyError."""
    match decision:
        case StoreMapping():
            if decision.iccid is not None:
                await _upsert(connection, CARDS, [_card_values(decision.bank, decision.iccid, wall)])
            return (await _insert_mapping(connection, decision, wall),)
        case StoreChange():
            if decision.deletion is not None:
                await write_decision(connection, decision.deletion, wall)
            await _write_parked(connection, decision, wall)
            created = [await write_decision(connection, each, wall) for each in decision.creations]
            further: tuple[Decision, ...] = (*decision.labels, *decision.follow_changes)
            for each in further:
                await write_decision(connection, each, wall)
            return tuple(number for numbers in created for number in numbers)
        case StoreLease(order, creation):
            made = () if creation is None else await write_decision(connection, creation, wall)
            await leases.write_lease(connection, order, made[0] if made else None, wall)
            return made
        case StoreGrant(lease_id, creation):
            made = await write_decision(connection, creation, wall)
            await leases.write_grant(connection, lease_id, made[0], wall)
            return made
        case StoreWebhook(hook):
            await webhooks.write_webhook(connection, hook)
        case StoreWebhookEnd(number):
            await webhooks.delete_webhook(connection, number)
        case StoreDeliveries():
            await webhooks.write_deliveries(connection, decision)
        case StoreRenewal():
            await leases.write_renewal(connection, decision, wall)
        case StoreLeaseEnd():
            await leases.write_end(connection, decision, wall)
        case StoreLabels():
            await connection.execute(delete(LABELS).where(LABELS.c.subject == decision.subject))
            rows = [{"subject": decision.subject, "label": label, "given_at": wall} for label in decision.labels]
            if rows:
                await connection.execute(insert(LABELS), rows)
        case StoreLock():
            await slot_locks.write_lock(connection, decision, wall)
        case StoreDeletion():
            await connection.execute(_SET_DELETED, [{"of": number, "at": wall} for number in decision.mappings])
            await _insert_ids(connection, PENDING_REMOVALS, decision.removals)
            await _insert_ids(connection, PENDING_RELEASES, decision.releases)
            await leases.end_with_mappings(connection, decision.mappings, decision.lease_end, wall)
        case StoreSent():
            await connection.execute(_SET_SENT, [{"of": number} for number in decision.mappings])
        case StoreFollow(mapping_id, follows):
            changed = update(MAPPINGS).where(MAPPINGS.c.id == mapping_id).values(follows=follows)
            await connection.execute(changed)
        case StoreClientId():
            kind, value = decision.key
            await connection.execute(
                insert(CLIENT_NUMBERS).values(kind=kind, value=value, client_id=decision.client_id, given_at=wall)
            )
    return ()


async def _insert_mapping(connection: AsyncConnection, decision: StoreMapping, wall: float) -> int:
    done = await connection.execute(
        insert(MAPPINGS).values(
            bank_id=decision.bank.bank_id,
            bank_slot_nr=decision.bank.slot_nr,
            client_id=decision.client.client_id,
            client_slot_nr=decision.client.slot_nr,
            created_at=wall,
            is_sent=decision.is_sent,
            is_acknowledged=False,
            follows=decision.follows,
        )
    )
    (number,) = done.inserted_primary_key or (0,)
    return int(number)


async def _write_parked(connection: AsyncConnection, decision: StoreChange, wall: float) -> None:
    if decision.unparked:
        await connection.execute(delete(PARKED).where(PARKED.c.mapping_id.in_(decision.unparked)))
    if decision.parked:
        rows = [{"mapping_id": each.id, "since": wall} for each in decision.parked]
        await connection.execute(insert(PARKED), rows)


async def _insert_ids(connection: AsyncConnection, table: Table, numbers: Sequence[int]) -> None:
    if numbers:
        await connection.execute(insert(table), [{"mapping_id": number} for number in numbers])


async def write_notes(connection: AsyncConnection, notes: Iterable[tuple[Note, float]]) -> None:
    """Write notes, each with the time at which it was made. Raises SQLAlchemyError."""
    batches: dict[type[Note], list[Values]] = {}
    drops: list[Values] = []
    for note, at in notes:
        if isinstance(note, NoteCard) and note.iccid is None:
            drops.append({"of": note.bank.bank_id, "nr": note.bank.slot_nr})
        else:
            batches.setdefault(type(note), []).append(_values(note, at))
    if drops:
        await connection.execute(_DROP_CARD, drops)
    for kind, rows in batches.items():
        if kind is NoteOutcome:
            await connection.execute(_SET_OUTCOME, rows)
        elif kind is NoteRemoved:
            await connection.execute(_DROP_REMOVAL, rows)
        elif kind is NoteReleased:
            await connection.execute(_DROP_RELEASE, rows)
        else:
            await _upsert(connection, _TABLES[kind], rows)


def _has_contents(row: Row[tuple[object, ...]]) -> bool:
    return row.imsi is not None or row.service_provider is not None or row.eid is not None


def _card_values(bank: BankSlot, iccid: str | None, at: float) -> Values:
    return {"bank_id": bank.bank_id, "slot_nr": bank.slot_nr, "iccid": iccid, "seen_at": at}


def _values(note: Note, at: float) -> Values:
    match note:
        case NoteOutcome():
            return {"of": note.mapping_id, "acknowledged": note.result is None, "code": note.result}
        case NoteRemoved() | NoteReleased():
            return {"of": note.mapping_id}
        case NoteCard():
            contents: Values = {"imsi": note.imsi, "service_provider": note.service_provider, "eid": note.eid}
            return _card_values(note.bank, note.iccid, at) | contents
        case NoteBank() | NoteClient():
            names: Values = {"name": note.name, "software": note.software, "sw_version": note.sw_version}
            return names | _own_values(note) | {"last_seen_at": at}


def _own_values(note: NoteBank | NoteClient) -> Values:
    if isinstance(note, NoteBank):
        addresses = ",".join(_write_address(place) for place in note.addresses)
        return {"bank_id": note.bank_id, "number_of_slots": note.number_of_slots, "addresses": addresses}
    own: Values = {"client_id": note.client.client_id, "slot_nr": note.client.slot_nr}
    return own | {"hw_serial_nr": note.hw_serial_nr, "address": note.address}


async def _upsert(connection: AsyncConnection, table: Table, rows: list[Values]) -> None:
    statement = _insert_of(connection)(table)
    keys = [column.name for column in table.primary_key]
    # What the rows do not say stays as it is.
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def _insert_of(connection: AsyncConnection) -> "Callable[[Table], postgresql.Insert | sqlite.Insert]":
    if connection.dialect.name != "postgresql":
        return sqlite.insert
    # Not at the top: it takes a tenth of the server's start. A connection of this dialect has it loaded already.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def _write_address(place: AdvertisedAddress) -> str:
    kind = _TLS_MARK if place.kind is AddressKind.TLS else ""
    return f"{place.address.ip} {place.address.port}{kind}"


def _parse_addresses(text: str) -> tuple[AdvertisedAddress, ...]:
    found = []
    for entry in text.split(","):
        if entry:
            kind = AddressKind.TLS if entry.endswith(_TLS_MARK) else AddressKind.PLAINTEXT
            ip, port = entry.removesuffix(_TLS_MARK).split(" ")
            found.append(AdvertisedAddress(IpPort(ip_address(ip), int(port)), kind))
    return tuple(found)
