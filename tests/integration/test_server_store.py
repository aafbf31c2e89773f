# SPDX-License-Identifier: Apache-2.0
"""The server's database: what is stored is there again, what cannot be stored is said, and nothing is half done."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from ipaddress import ip_address
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.config import ServerConfig
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import Logger, get_logger
from remsim.server.core.actions import (
    Decision,
    KeyedRequest,
    Note,
    NoteBank,
    NoteCard,
    NoteClient,
    NoteOutcome,
    NoteReleased,
    NoteRemoved,
    StoreClientId,
    StoreDeletion,
    StoredState,
    StoreMapping,
    StoreSent,
)
from remsim.server.core.event_feed import EventDraft
from remsim.server.core.tokens import StoredToken, TokenRole
from remsim.server.store import database, sql, tokens, writer
from remsim.server.store.audit import DONE, SERVER, Actor, Entry
from remsim.server.store.schema import METADATA
from remsim.server.store.tokens import create_token, revoke_token
from remsim.server.store.writer import Store, StoreError
from remsim.wire.messages.rspro import MAX_NAME, AddressKind, AdvertisedAddress, IpPort
from tests.doubles.databases import DatabasePlace, sqlite_at
from tests.doubles.noted_log import NotedLog
from tests.doubles.postgres import Postgres

LOG = get_logger("test")
ADDRESSES = (
    AdvertisedAddress(IpPort(ip_address("2001:db8::1"), 1), AddressKind.TLS),
    AdvertisedAddress(IpPort(ip_address("192.0.2.1"), 2), AddressKind.PLAINTEXT),
)


class Listener:
    """Notes what became of decisions."""

    def __init__(self) -> None:
        self.stored: list[Decision] = []
        self.failed: list[Decision] = []

    def to_tell(self, decisions: Sequence[tuple[Decision, float]]) -> list[tuple[EventDraft, ...]]:
        return [()] * len(decisions)

    def on_stored(
        self, decision: Decision, mapping_ids: tuple[int, ...], created_at: float, announcement: int | None
    ) -> None:
        assert announcement is None
        self.stored.append(decision)

    def on_store_failed(self, decision: Decision) -> None:
        self.failed.append(decision)


class OpenStore:
    """An open store with its writer at work."""

    def __init__(self, inner: Store, memory: StoredState, listener: Listener) -> None:
        self.inner = inner
        self.memory = memory
        self.listener = listener

    async def decide(self, decision: Decision) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.inner.submit(decision, done)
        return await done

    async def create(self, bank: str, client: str, *, is_sent: bool = True) -> int:
        return await self.decide(StoreMapping(BankSlot.parse(bank), ClientSlot.parse(client), is_sent))


@asynccontextmanager
async def opened(
    place: DatabasePlace, *, wall: Callable[[], float] = lambda: 1e9, log: Logger = LOG
) -> AsyncIterator[OpenStore]:
    inner = Store(database.open_engine(place.url), log=log, wall=wall)
    try:
        memory = await inner.open()
        listener = Listener()
        async with asyncio.TaskGroup() as group:
            group.create_task(inner.run(listener))
            try:
                yield OpenStore(inner, memory, listener)
            finally:
                inner.finish()
    finally:
        await inner.close()


async def memory_of(place: DatabasePlace, *, wall: float = 1e9) -> StoredState:
    async with opened(place, wall=lambda: wall) as again:
        return again.memory


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def modes_of(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.glob("*.sqlite*")}


async def test_database_is_for_its_user_only(tmp_path: Path) -> None:
    async with opened(sqlite_at(tmp_path)):
        modes = modes_of(tmp_path)
    assert set(modes) >= {"server.sqlite", "server.sqlite-wal"}
    assert set(modes.values()) == {0o600}


async def test_everything_is_there_again(place: DatabasePlace) -> None:
    async with opened(place) as first:
        assert first.memory == StoredState(restart_counter=1)
        one, two, three = [await first.create(f"1:{n}", f"7:{n}", is_sent=n > 0) for n in range(3)]
        await first.decide(StoreSent(1, (one,)))
        await first.decide(StoreDeletion((two, three), (two, three), (two,)))
        await first.decide(StoreClientId(("serial", "S1"), 900))
        first.inner.note(NoteOutcome(one, None))
        first.inner.note(NoteBank(1, "b", "s", "1", 4, ADDRESSES))
        first.inner.note(NoteClient(ClientSlot(7, 0), "c", "s", "1", None, "192.0.2.7"))
    memory = await memory_of(place)
    live, *removals = memory.mappings
    assert (live.id, live.is_live, live.is_sent, live.is_acknowledged, live.result) == (one, True, True, True, None)
    assert [(m.id, m.is_live) for m in removals] == [(two, False), (three, False)]
    assert memory.releases == ((two, ClientSlot(7, 1), BankSlot(1, 1)),)
    assert memory.bank_addresses == {1: ADDRESSES}
    assert memory.client_ids == {("serial", "S1"): 900}
    assert memory.restart_counter == 2


async def test_notes_take_pending_work_away_and_newer_ones_replace_older(place: DatabasePlace) -> None:
    async with opened(place) as first:
        number = await first.create("1:0", "7:0")
        first.inner.note(NoteOutcome(number, None))
        first.inner.note(NoteOutcome(number, 3))
        await first.decide(StoreDeletion((number,), (number,), (number,)))
    async with opened(place) as second:
        assert second.memory.mappings[0].result == 3
        second.inner.note(NoteRemoved(number))
        second.inner.note(NoteReleased(number))
    memory = await memory_of(place)
    assert (memory.mappings, memory.releases) == ((), ())


async def test_audit_log_is_read_with_all_that_was_handed_over_before(place: DatabasePlace) -> None:
    count = 2 * writer.DECISIONS_PER_COMMIT
    async with opened(place) as first:
        for number in range(count):
            first.inner.record(Entry(SERVER, "test", str(number)))
        entries = list(await first.inner.read_audit(after=0, limit=count))
        assert [stored.entry.target for stored in entries] == [str(number) for number in range(count)]
        # Nobody writes any more; what is there can still be read.
        first.inner.finish()
        assert list(await first.inner.read_audit(after=0, limit=count)) == entries


async def test_numbers_of_cards_are_there_again(place: DatabasePlace) -> None:
    slots = [BankSlot(1, nr) for nr in range(4)]
    async with opened(place) as first:
        for slot, iccid in zip(slots, ("8901", "8902", "8903", "8904"), strict=True):
            first.inner.note(NoteCard(slot, iccid))
        first.inner.note(NoteCard(slots[1], "8999"))
        first.inner.note(NoteCard(slots[2], None))
    async with opened(place) as second:
        assert second.memory.cards == {slots[0]: "8901", slots[1]: "8999", slots[3]: "8904"}
        second.inner.note(NoteCard(slots[0], None))
        second.inner.note(NoteCard(slots[3], "8905"))
    assert (await memory_of(place)).cards == {slots[1]: "8999", slots[3]: "8905"}


async def test_number_for_which_a_mapping_is_allowed_is_stored_with_it(place: DatabasePlace) -> None:
    slot = BankSlot(1, 0)
    async with opened(place) as first:
        first.inner.note(NoteCard(slot, "8901"))
        await first.decide(StoreMapping(slot, ClientSlot(7, 0), is_sent=True, iccid="8902"))
        assert await place.rows("select iccid from cards") == [("8902",)]


async def test_notes_are_written_by_themselves(place: DatabasePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "NOTE_DELAY_S", 0.0)
    monkeypatch.setattr(writer, "NOTES_PER_COMMIT", 2)
    written = asyncio.Event()
    write = sql.write_notes

    async def write_and_tell(connection: AsyncConnection, notes: Iterable[tuple[Note, float]]) -> None:
        rows = list(notes)
        await write(connection, rows)
        if any(isinstance(note, NoteClient) and note.client.slot_nr == 4 for note, _ in rows):
            written.set()

    monkeypatch.setattr(sql, "write_notes", write_and_tell)
    async with opened(place) as first:
        for slot_nr in range(5):
            first.inner.note(NoteClient(ClientSlot(7, slot_nr), "c", "s", "1", None, "192.0.2.7"))
        async with asyncio.timeout(10):
            await written.wait()
    assert await place.rows("select count(*) from clients") == [(5,)]


async def test_new_address_of_a_bank_is_written_at_once(place: DatabasePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "NOTE_DELAY_S", 3600.0)
    written = asyncio.Event()
    write = sql.write_notes

    async def write_and_tell(connection: AsyncConnection, notes: Iterable[tuple[Note, float]]) -> None:
        await write(connection, notes)
        written.set()

    monkeypatch.setattr(sql, "write_notes", write_and_tell)
    async with opened(place) as first:
        first.inner.note(NoteBank(1, "b", "s", "1", 8, ()))
        assert not written.is_set()
        first.inner.note(NoteBank(1, "b", "s", "1", 8, (), has_moved=True))
        async with asyncio.timeout(10):
            await written.wait()


async def test_second_mapping_of_a_slot_is_refused_by_the_database_itself(place: DatabasePlace) -> None:
    async with opened(place) as first:
        number = await first.create("1:0", "7:0")
        for bank, client in (("1:0", "8:0"), ("1:1", "7:0")):
            with pytest.raises(StoreError):
                await first.create(bank, client)
        assert not first.inner.is_healthy
        await first.decide(StoreDeletion((number,), (), ()))
        await first.create("1:0", "7:0")
        assert first.inner.is_healthy


async def test_one_bad_decision_does_not_spoil_those_that_share_its_commit(place: DatabasePlace) -> None:
    async with opened(place) as first:
        await first.create("1:0", "7:0")
        pairs = (("1:1", "8:0"), ("1:0", "9:0"), ("1:2", "10:0"))
        results = await asyncio.gather(*(first.create(*pair) for pair in pairs), return_exceptions=True)
        assert [type(result) for result in results] == [int, StoreError, int]
        assert len(first.listener.stored) == 3
        assert len(first.listener.failed) == 1


async def test_decision_without_anybody_waiting_is_stored_and_told(place: DatabasePlace) -> None:
    decision = StoreMapping(BankSlot(1, 0), ClientSlot(7, 0), is_sent=False)
    async with opened(place) as first:
        first.inner.submit(decision)
        first.inner.submit(decision)
        await first.create("2:0", "8:0")
        assert first.listener.stored[0] == decision
        assert first.listener.failed == [decision]


async def test_notes_that_cannot_be_written_are_reported(place: DatabasePlace) -> None:
    async with opened(place) as first:
        await place.rows("drop table clients")
        first.inner.note(NoteClient(ClientSlot(7, 0), "c", "s", "1", None, "192.0.2.7"))
    assert not first.inner.is_healthy


async def test_old_history_is_forgotten_but_not_what_somebody_waits_for(place: DatabasePlace) -> None:
    async with opened(place) as first:
        numbers = [await first.create(f"1:{n}", f"7:{n}") for n in range(3)]
        await first.decide(StoreDeletion(tuple(numbers), (numbers[0],), (numbers[1],)))
    await memory_of(place, wall=1e9 + sql.HISTORY_S + 1)
    assert await place.rows("select id from mappings order by id") == [(numbers[0],), (numbers[1],)]


async def test_old_entries_are_forgotten_while_the_server_runs(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FORGET_INTERVAL_S", 0.01)
    now = 1e9
    async with opened(place, wall=lambda: now) as running:
        for target in ("first", "second"):
            running.inner.record(Entry(SERVER, "policy.reload", target))
            (kept,) = await running.inner.read_audit(after=0, limit=9)
            assert kept.entry.target == target
            now += sql.HISTORY_S + 1
            while await running.inner.read_audit(after=0, limit=9):
                pass


async def test_old_entries_that_cannot_be_dropped_are_left_for_the_next_time(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FORGET_INTERVAL_S", 0.01)
    log = NotedLog()
    async with opened(place, log=log.logger) as running:
        await place.rows("alter table audit rename to hidden")
        await log.next("not_forgotten")
        await place.rows("alter table hidden rename to audit")
        running.inner.record(Entry(SERVER, "policy.reload"))
        assert len(list(await running.inner.read_audit(after=0, limit=9))) == 1


async def test_migrations_lead_to_the_tables_of_the_schema(place: DatabasePlace) -> None:
    engine = database.open_engine(place.url)
    connection = await database.connect(engine)

    def differences(sync: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), METADATA))

    try:
        assert await connection.run_sync(differences) == []
        if place.kind == "sqlite":
            mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
            keys = (await connection.exec_driver_sql("PRAGMA foreign_keys")).scalar()
            assert (mode, keys) == ("wal", 1)
    finally:
        await connection.close()
        await engine.dispose()


async def test_new_database_is_what_all_migrations_make(tmp_path: Path) -> None:
    """Parts of each CREATE statement, constraints and indexes included, in any order."""

    async def tables(name: str) -> dict[str, list[str]]:
        engine = database.open_engine(f"sqlite+aiosqlite:///{tmp_path}/{name}")
        connection = await database.connect(engine)
        rows = (await connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")).all()
        await connection.close()
        await engine.dispose()
        # The first migration says the prefix of the checks' names twice.
        whole = {
            name: " ".join(str(text).split()).replace("ck_mappings_ck_", "ck_").replace(" )", ")")
            for name, text in map(tuple, rows)
        }
        return {name: sorted(part.strip() for part in text.split(",")) for name, text in whole.items()}

    with sqlite3.connect(tmp_path / "old") as raw:
        raw.execute(
            "create table alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    raw.close()
    new, old = await tables("new"), await tables("old")
    differing = {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    assert "mappings" in new
    assert differing == set()


def test_new_database_is_committed_once(tmp_path: Path) -> None:
    """A commit for each table and index would be two dozen, each of which waits for the disk."""
    database._make_file(tmp_path / "server.sqlite")
    # The file change counter (SQLite, Database File Format, 1.3.6).
    assert int.from_bytes((tmp_path / "server.sqlite").read_bytes()[24:28]) == 1


def test_forms_of_the_database_are_those_that_alembic_knows() -> None:
    with resources.as_file(resources.files("remsim.server.store") / "migrations") as folder:
        script = ScriptDirectory(str(folder))
        known = [revision.revision for revision in script.walk_revisions()]
    assert database.revisions() == sorted(known)
    assert database.revisions()[-1] == script.get_current_head()


async def _bring_to(place: DatabasePlace, revision: str) -> None:
    """Make what an older version has made."""

    def upgrade(connection: Connection) -> None:
        with resources.as_file(resources.files("remsim.server.store") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    engine = database.open_engine(place.url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


#: With PostgreSQL the oldest, from which all changes are made, and those ahead of a change with words of its own.
OLD_FORMS = [("sqlite", old) for old in database.revisions()[:-1]]
OLD_FORMS += [("postgresql", old) for old in ("0001", "0004", "0009")]


@pytest.mark.parametrize(("place", "revision"), OLD_FORMS, indirect=["place"])
async def test_database_of_an_older_version_is_brought_to_the_newest_form(place: DatabasePlace, revision: str) -> None:
    await _bring_to(place, revision)
    await place.rows(
        "insert into mappings (bank_id, bank_slot_nr, client_id, client_slot_nr, created_at, is_sent, is_acknowledged) "
        "values (1, 0, 7, 0, 1e9, true, false)"
    )
    async with opened(place) as first:
        assert [(found.bank, found.is_sent) for found in first.memory.mappings] == [(BankSlot(1, 0), True)]
        with pytest.raises(StoreError):
            await first.create("1:0", "8:0")
        assert await first.create("1:1", "8:0") > 1
    assert await place.rows("select version_num from alembic_version") == [(database.revisions()[-1],)]


async def test_tables_of_postgresql_are_the_same_however_they_were_made(postgres: Postgres) -> None:
    """Columns, constraints and indexes, as the database itself writes them."""

    async def description(place: DatabasePlace) -> set[tuple[object, ...]]:
        columns = await place.rows(
            "select table_name, column_name, data_type, is_nullable, character_maximum_length, column_default "
            "from information_schema.columns where table_schema = 'public'"
        )
        indexes = await place.rows("select indexname, indexdef from pg_indexes where schemaname = 'public'")
        rules = await place.rows(
            "select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace"
        )
        # The first migration says the prefix of the checks' names twice.
        return {tuple(str(part).replace("ck_mappings_ck_", "ck_") for part in row) for row in columns + indexes + rules}

    found = []
    for revision in (None, database.revisions()[0]):
        with postgres.database() as name:
            place = DatabasePlace("postgresql", postgres.url(name))
            if revision is not None:
                await _bring_to(place, revision)
            await memory_of(place)
            found.append(await description(place))
    new, old = found
    assert any("ix_mappings_live_bank_slot" in str(row) and "deleted_at IS NULL" in str(row) for row in new)
    assert new ^ old == set()


async def test_longest_texts_and_odd_characters_of_peers_are_stored(place: DatabasePlace) -> None:
    slot = BankSlot(1023, 1023)
    name = "\0" + "n" * (MAX_NAME - 1)
    async with opened(place) as first:
        first.inner.note(NoteBank(1023, name, name, name, 1024, ADDRESSES))
        address = "1111:2222:3333:4444:5555:6666:192.168.100.228"
        first.inner.note(NoteClient(ClientSlot(1023, 1023), name, name, name, name, address))
        first.inner.note(NoteCard(slot, "8" * 20, "2" * 15, "é" * 64, "8" * 32))
        await first.decide(StoreClientId(("serial", name * 3), 900))
        first.inner.record(Entry(Actor("w" * 500, "s" * 500), "a" * 32, "\0" * 500, DONE, "\0" * 900))
        assert len(list(await first.inner.read_audit(after=0, limit=9))) == 1
        # More than the numbers of any column.
        assert list(await first.inner.read_audit(after=(1 << 63) - 1, limit=9)) == []
    assert first.inner.is_healthy
    memory = await memory_of(place)
    assert memory.cards == {slot: "8" * 20}
    assert [client.client for client, _ in memory.clients] == [ClientSlot(1023, 1023)]


async def test_change_of_tables_that_fails_leaves_nothing_half_done(place: DatabasePlace) -> None:
    await place.rows("create table counters (mine integer)")
    await place.rows("create table alembic_version (version_num varchar(32))")
    with pytest.raises(StartError, match=r'counters"? already exists'):
        await memory_of(place)
    assert await place.tables() == {"alembic_version", "counters"}


async def test_database_of_a_newer_version_is_left_alone(place: DatabasePlace) -> None:
    await memory_of(place)
    await place.rows("update alembic_version set version_num = '9999'")
    with pytest.raises(StartError, match="newer version of remsim") as caught:
        await memory_of(place)
    assert caught.value.hint


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server.sqlite").write_text("this is no database, but it is long enough to look like one\n" * 50)
    with pytest.raises(StartError, match=r"cannot be used: .*not a database"):
        await memory_of(sqlite_at(tmp_path))


@pytest.mark.parametrize("when", ["_create", "sync_directory"])
async def test_first_start_that_dies_while_it_makes_the_database_is_made_up_for(tmp_path: Path, when: str) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'server.sqlite'}"
    script = f"""
import asyncio, os
from remsim.server.store import database
database.{when} = lambda _: os._exit(9)
asyncio.run(database.connect(database.open_engine({url!r})))
"""
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await died.wait() == 9
    left = names_in(tmp_path)
    assert left
    assert ("server.sqlite" in left) is (when == "sync_directory")
    assert (await memory_of(sqlite_at(tmp_path))).restart_counter == 1
    assert (await memory_of(sqlite_at(tmp_path))).restart_counter == 2
    assert modes_of(tmp_path)["server.sqlite"] == 0o600
    assert not any(name.startswith(".") for name in names_in(tmp_path))


async def test_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="unable to open database file"):
        await memory_of(sqlite_at(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no url at all", "no URL of a known database"),
        ("nothing+nobody://x/y", "no URL of a known database"),
        ("sqlite:///x", "no URL of a known database"),
        ("mysql+aiomysql://user:secret@127.0.0.1/remsim", "no URL of a known database"),
        ("postgresql+psycopg://user:secret@127.0.0.1/remsim", "no URL of a known database"),
        ("postgresql+asyncpg://user:secret@127.0.0.1/remsim", "needs the Python package asyncpg"),
    ],
)
def test_url_that_cannot_be_used_is_refused_without_repeating_it(
    text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StartError, match=reason) as caught:
        database.open_engine(text)
    assert "secret" not in str(caught.value) + caught.value.hint


async def test_database_can_be_read_while_the_server_runs(place: DatabasePlace) -> None:
    async with opened(place) as first:
        await first.create("1:0", "7:0")
        assert await place.rows("select count(*) from mappings") == [(1,)]


async def test_token_is_read_again_only_after_a_commit_and_then_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, looks, find = ServerConfig(state_dir=tmp_path), 0, tokens.find_token

    async def counted(connection: AsyncConnection, token_id: str) -> StoredToken | None:
        nonlocal looks
        looks += 1
        return await find(connection, token_id)

    _, record = await asyncio.to_thread(create_token, config, name="n", role=TokenRole.VIEWER)
    async with opened(sqlite_at(tmp_path)) as store:
        monkeypatch.setattr(tokens, "find_token", counted)
        assert [await store.inner.find_token(record.token_id) for _ in range(3)] == [record] * 3
        assert looks == 1
        # Our own writer, and then another program.
        await store.create("B1:0", "C7:0")
        assert await store.inner.find_token(record.token_id) == record
        assert looks == 2
        await asyncio.to_thread(revoke_token, config, record.token_id)
        looks = 0
        found = await store.inner.find_token(record.token_id)
        assert found is not None
        assert found.revoked_at is not None
        assert (looks, await store.inner.find_token("0" * 12)) == (1, None)


async def test_requests_with_a_key_are_there_again_for_a_day(place: DatabasePlace) -> None:
    now = 1e9
    async with opened(place, wall=lambda: now) as store:
        for key in "ab":
            actor = Actor("token", "test", request=KeyedRequest(("0123", "/path", key), b"digest", "{}"))
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            store.inner.record(Entry(actor, "mapping.change", key), done)
            await done
            now += 80_000.0
    now = 1e9 + 86_401.0
    async with opened(place, wall=lambda: now) as store:
        (found,) = store.memory.requests
        assert (found.number, found.request.name, found.request.digest) == (2, ("0123", "/path", "b"), b"digest")
        assert (found.request.answer, found.done_at, found.made) == ("{}", 1e9 + 80_000.0, None)
    assert await place.rows("select id from requests") == [(2,)]
