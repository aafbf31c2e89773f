# SPDX-License-Identifier: Apache-2.0
"""A database server that is away, comes back, loses the answer to a commit, or serves two: what becomes of changes."""

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.config import ServerConfig
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import get_logger
from remsim.server.core.actions import SERVER, StoreMapping
from remsim.server.core.tokens import TokenRole
from remsim.server.store import audit, postgresql, session, writer
from remsim.server.store.database import open_engine
from remsim.server.store.session import DatabaseAwayError, ServerReader, TakenOverError
from remsim.server.store.tokens import create_token
from remsim.server.store.writer import Store, StoreError
from tests.doubles.databases import DatabasePlace
from tests.doubles.postgres import OwnPostgres, Postgres, own_postgres
from tests.doubles.postgres_link import PostgresLink
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import V1, connect_bank, mapping, rest_client, running_server
from tests.integration.test_server_store import Listener

LOG = get_logger("test")


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    """A PostgreSQL that these tests may stop."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def away(own: OwnPostgres) -> Iterator[DatabasePlace]:
    """An empty database of it. Behind the test it runs, whatever the test did."""
    with own.database() as name:
        try:
            yield DatabasePlace("postgresql", own.url(name))
        finally:
            own.start()


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[DatabasePlace]:
    """An empty database of the PostgreSQL of all tests."""
    with postgres.database() as name:
        yield DatabasePlace("postgresql", postgres.url(name))


@pytest.fixture
async def link(postgres: Postgres, shared: DatabasePlace) -> AsyncIterator[tuple[PostgresLink, str]]:
    """A link to that, and the URL of the database through it."""
    with tempfile.TemporaryDirectory() as folder:
        async with PostgresLink(Path(folder), postgres.folder) as made:
            yield made, shared.url.replace(str(postgres.folder), folder)


async def test_restart_of_the_database_is_survived(own: OwnPostgres, away: DatabasePlace, tmp_path: Path) -> None:
    config = ServerConfig(state_dir=tmp_path, database=away.url)
    token, _ = await asyncio.to_thread(create_token, config, name="a", role=TokenRole.ADMIN)
    async with (
        running_server(tmp_path, rest_open=False, database=away.url) as service,
        rest_client(service, over_socket=False, token=token) as rest,
    ):
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
        own.end()
        own.start()
        # Both connections have ended with it: to read, for the token, and to write.
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 1), (7, 1)))).status_code == 201
        assert (await rest.get("/ready")).status_code == 200
    found = await away.rows("select bank_slot_nr from mappings order by id")
    assert found == [(0,), (1,)]


async def test_while_the_database_is_away_changes_are_refused_and_what_is_known_is_kept_for_it(
    own: OwnPostgres, away: DatabasePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.2)
    monkeypatch.setattr(writer, "NOTE_DELAY_S", 0.01)
    async with (
        running_server(tmp_path, database=away.url) as service,
        rest_client(service, over_socket=True) as rest,
    ):
        own.end()
        answer = await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert (await rest.get(f"{V1}/slotmaps")).status_code == 200
        assert (await rest.get("/ready")).status_code == 503
        async with await connect_bank(service, 5):
            own.start()
            async with asyncio.timeout(20):
                # By itself: nobody changes anything meanwhile.
                while (await rest.get("/ready")).status_code != 200 or not await away.rows("select 1 from banks"):
                    pass
        assert await away.rows("select bank_id from banks") == [(5,)]
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201


async def test_changes_that_wait_for_a_database_that_stands_still_are_refused_together(
    own: OwnPostgres, away: DatabasePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WRITE_DEADLINE_S", 0.5)
    monkeypatch.setattr(session, "READ_DEADLINE_S", 0.2)
    config = ServerConfig(state_dir=tmp_path, database=away.url)
    token, _ = await asyncio.to_thread(create_token, config, name="a", role=TokenRole.OPERATOR)
    async with (
        running_server(tmp_path, rest_open=False, database=away.url) as service,
        rest_client(service, over_socket=False, token=token) as rest,
    ):
        assert (await rest.get(f"{V1}/slotmaps")).status_code == 200
        runtime = service.runtime
        assert runtime is not None
        own.stand_still()
        began = time.monotonic()
        answers = await asyncio.gather(
            *(runtime.create_mapping(BankSlot(1, slot), ClientSlot(7, slot), SERVER) for slot in range(150)),
            return_exceptions=True,
        )
        assert time.monotonic() - began < 0.5 * 4
        assert {type(answer) for answer in answers} == {StoreError}
        looks = await asyncio.gather(*(rest.get(f"{V1}/slotmaps") for _ in range(20)))
        assert {answer.status_code for answer in looks} == {200}
        own.go_on()
        await runtime.create_mapping(BankSlot(1, 0), ClientSlot(7, 0), SERVER)


def test_server_ends_soon_while_its_database_stands_still(
    own: OwnPostgres, away: DatabasePlace, tmp_path: Path
) -> None:
    options = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--database", away.url]
    with Program(remsim("server", "--state", str(tmp_path), *options)) as program, ExitStack() as stack:
        port = int(program.wait_for(r"listening rspro=\S+ rest=127\.0\.0\.1:(\d+)")[1])
        program.wait_for("server started")
        own.stand_still()
        for slot in range(20):
            body = json.dumps(mapping((1, slot), (7, slot))).encode()
            head = f"POST {V1}/slotmaps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert program.stop(timeout_s=5.0) == 0


async def test_table_that_another_program_holds_is_waited_for_a_while(
    shared: DatabasePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql._SETTINGS, "lock_timeout", "200")
    engine = open_engine(shared.url)
    async with (
        running_server(tmp_path, database=shared.url) as service,
        rest_client(service, over_socket=False) as rest,
    ):
        async with engine.connect() as other:
            await other.exec_driver_sql("LOCK TABLE mappings IN ACCESS EXCLUSIVE MODE")
            answer = await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))
            assert answer.status_code == 503
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
    await engine.dispose()


@pytest.mark.parametrize(("cut", "status"), [("ahead", 503), ("behind", 201)])
async def test_commit_whose_answer_is_lost_is_looked_up(
    link: tuple[PostgresLink, str], tmp_path: Path, cut: str, status: int
) -> None:
    between, url = link
    async with running_server(tmp_path, database=url) as service, rest_client(service, over_socket=False) as rest:
        between.cuts_commit = cut
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == status
        found = (await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]
        assert len(found) == (1 if status == 201 else 0)
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 1), (7, 1)))).status_code == 201


@pytest.mark.parametrize(("cut", "count"), [("ahead", 0), ("behind", 1)])
async def test_commit_in_doubt_is_settled_when_the_database_is_back(
    link: tuple[PostgresLink, str],
    shared: DatabasePlace,
    tmp_path: Path,
    cut: str,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.1)
    between, url = link
    async with running_server(tmp_path, database=url) as service, rest_client(service, over_socket=True) as rest:
        between.cuts_commit, between.closes = cut, True
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 503
        # The slot stays reserved as long as nobody knows.
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (8, 0)))).status_code == 409
        await between.listen()
        async with asyncio.timeout(20):
            while (await rest.get("/ready")).status_code != 200:
                pass
        assert len((await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]) == count
        assert len(await shared.rows("select 1 from mappings where deleted_at is null")) == count
        other = await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (8, 0)))
        assert other.status_code == (409 if count else 201)


async def test_session_that_the_database_believes_to_be_ours_still_is_ended(
    link: tuple[PostgresLink, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WRITE_DEADLINE_S", 0.5)
    between, url = link
    async with running_server(tmp_path, database=url) as service, rest_client(service, over_socket=False) as rest:
        between.freeze()
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 503
        # The lock of the one server is held by the session behind the frozen connection.
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store.at(url, log=LOG)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def test_server_that_has_just_ended_is_waited_for(shared: DatabasePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, refusals = postgresql.claim, [None, None]

    async def claim_late(
        connection: AsyncConnection, before: postgresql.Backend | None = None
    ) -> postgresql.Backend | None:
        return refusals.pop() if refusals else await claim(connection, before)

    monkeypatch.setattr(postgresql, "claim", claim_late)
    async with opened(shared.url):
        assert not refusals


async def test_second_server_is_refused(shared: DatabasePlace) -> None:
    async with opened(shared.url):
        with pytest.raises(StartError, match="in use by another server") as caught:
            async with opened(shared.url):
                pass
        assert caught.value.hint
    async with opened(shared.url):
        pass


async def test_server_ends_if_another_one_has_used_its_database_meanwhile(link: tuple[PostgresLink, str]) -> None:
    between, url = link
    listener = Listener()
    async with opened(url) as first:
        between.freeze()
        between.stop_listening()
        direct = url.replace(str(between.folder), str(between.beyond))
        # As a database does that has noticed that our host is gone.
        engine = open_engine(direct)
        async with engine.begin() as connection:
            await connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await engine.dispose()
        async with opened(direct):
            pass
        await between.listen()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        first.submit(StoreMapping(BankSlot(1, 0), ClientSlot(7, 0), is_sent=False), done)
        with pytest.raises(TakenOverError, match="another server has used"):
            await first.run(listener)
        assert isinstance(done.exception(), StoreError)


@pytest.mark.parametrize(
    ("options", "reason"),
    [("ENCODING 'SQL_ASCII' TEMPLATE template0", "has the encoding SQL_ASCII"), ("", "belongs to another program")],
)
async def test_database_that_cannot_serve_is_left_alone(postgres: Postgres, options: str, reason: str) -> None:
    with postgres.database(options) as name:
        postgres.sql("CREATE TABLE mine (a integer)", name=name)
        with pytest.raises(StartError, match=reason):
            async with opened(postgres.url(name)):
                pass
        assert await DatabasePlace("postgresql", postgres.url(name)).tables() == {"mine"}


def test_token_is_not_made_in_an_empty_database(shared: DatabasePlace, tmp_path: Path) -> None:
    config = ServerConfig(state_dir=tmp_path, database=shared.url)
    with pytest.raises(StartError, match="is empty"):
        create_token(config, name="a", role=TokenRole.ADMIN, may_create=False)
    assert asyncio.run(shared.tables()) == set()


async def test_read_that_is_given_up_leaves_the_next_one_its_deadline(
    shared: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stand_still(connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("SELECT pg_sleep(60)")

    async def look(connection: AsyncConnection) -> int:
        return int((await connection.exec_driver_sql("SELECT 1")).scalar_one())

    engine = open_engine(shared.url)
    reader = ServerReader(engine)
    assert await reader.run(look) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.run(stand_still)
    assert await reader.run(look) == 1
    monkeypatch.setattr(session, "READ_DEADLINE_S", 0.05)
    began = time.monotonic()
    with pytest.raises(DatabaseAwayError, match="does not answer"):
        await reader.run(stand_still)
    assert time.monotonic() - began < 10
    await reader.close()
    await engine.dispose()


async def test_long_audit_log_does_not_keep_a_server_from_starting(
    shared: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = audit.read_targets

    async def go_through(connection: AsyncConnection, actions: Collection[str]) -> set[tuple[str, str]]:
        await connection.exec_driver_sql("SELECT pg_sleep(0.2)")
        return await read(connection, actions)

    monkeypatch.setattr(session, "READ_DEADLINE_S", 0.05)
    monkeypatch.setattr(audit, "read_targets", go_through)
    async with opened(shared.url) as store:
        assert not await store.has_tokens()
        assert await store.read_audit_targets({"certificate.issue"}) == set()


async def test_transaction_that_the_database_has_never_heard_of_has_not_taken_place(shared: DatabasePlace) -> None:
    engine = open_engine(shared.url)
    async with engine.begin() as connection:
        number = await postgresql.current_transaction(connection)
        assert await postgresql.is_committed(connection, number) is None
    async with engine.begin() as connection:
        assert await postgresql.is_committed(connection, number) is True
        # As with a standby that has become the primary before it got the newest transactions.
        assert await postgresql.is_committed(connection, number + 1_000_000) is False
    await engine.dispose()
