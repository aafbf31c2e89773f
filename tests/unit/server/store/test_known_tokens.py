# SPDX-License-Identifier: Apache-2.0
"""Tokens that were read are good until anything is committed, by whichever connection."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remsim.server.core.tokens import StoredToken, TokenRole
from remsim.server.store import known_tokens
from remsim.server.store.known_tokens import ChangeCounter, KnownTokens


def token(token_id: str) -> StoredToken:
    return StoredToken(token_id, "n", TokenRole.VIEWER, b"", 0.0)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
    return path


@pytest.fixture
def known(database: Path) -> Iterator[KnownTokens]:
    made = KnownTokens()
    made.watch(database)
    yield made
    made.close()


def commit(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (1)")


def test_a_commit_of_another_connection_is_seen_and_one_that_was_rolled_back_is_none(database: Path) -> None:
    with closing(ChangeCounter(database)) as counter, closing(sqlite3.connect(database)) as other:
        before = counter.value()
        other.execute("INSERT INTO t VALUES (1)")
        assert counter.value() == before
        other.rollback()
        assert counter.value() == before is not None
        other.execute("INSERT INTO t VALUES (1)")
        other.commit()
        assert counter.value() != before
        # Nothing is held open that would keep others from tidying up.
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_what_was_read_is_known_until_something_is_committed(database: Path, known: KnownTokens) -> None:
    at = known.now()
    known.keep(token("a"), at)
    assert known.get("a", known.now()) == token("a")
    assert known.get("b", known.now()) is None
    commit(database)
    assert known.get("a", known.now()) is None


def test_what_was_read_while_something_was_committed_is_read_again(database: Path, known: KnownTokens) -> None:
    at = known.now()
    commit(database)
    known.keep(token("a"), at)
    assert known.get("a", known.now()) is None


def test_nothing_is_known_where_nobody_counts(tmp_path: Path, database: Path, known: KnownTokens) -> None:
    nothing = KnownTokens()
    nothing.watch(tmp_path)
    assert nothing.now() is None
    nothing.keep(token("a"), None)
    assert nothing.get("a", None) is None
    nothing.close()
    # A program that has the file for itself: others are not waited for.
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        assert known.now() is not None
        other.execute("BEGIN EXCLUSIVE")
        assert known.now() is None


def test_no_more_are_kept_than_there_are_callers(known: KnownTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_tokens, "_MOST", 2)
    at = known.now()
    for name in "abc":
        known.keep(token(name), at)
    assert [known.get(name, at) for name in "abc"] == [None, None, token("c")]
