# SPDX-License-Identifier: Apache-2.0
"""The authority's ledger: every certificate ever issued, what was revoked, and the one-time codes. An SQLite file.

A certificate is in the ledger before anybody gets it, so whatever is in use can be revoked, whenever the process died.
The server and the command line may use the ledger at the same time: each step is one transaction. Knows no key.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.identity import Identity
from remsim.core.values import dataclass
from remsim.pki import files
from remsim.pki.codes import StoredCode
from remsim.pki.errors import AuthorityError

#: Another process holds the ledger for milliseconds. One that does not let go must not keep a server that stops.
_BUSY_TIMEOUT_S: Final = 3.0
_SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE issued (
    serial TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    key_fingerprint BLOB NOT NULL,
    pem BLOB NOT NULL,
    issued_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    revoked_at REAL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX issued_identity ON issued (identity);
CREATE INDEX issued_key ON issued (key_fingerprint);
CREATE TABLE code (
    code_id BLOB PRIMARY KEY,
    identity TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    expires_at REAL NOT NULL,
    tries_left INTEGER NOT NULL,
    used_by BLOB,
    is_withdrawn INTEGER NOT NULL
) STRICT;
CREATE TABLE revocation_list (number INTEGER NOT NULL) STRICT;
INSERT INTO revocation_list VALUES (0);
"""

_DISK: Final = "make room on that file system (df), and see that it is not mounted read-only; nothing was lost"
_RIGHTS: Final = "let the user of the server own and write the directory and all files in it; nothing was lost"
_DAMAGED: Final = "restore the directory from a backup"
#: By SQLite's primary result code.
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: _DISK,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: _RIGHTS,
    sqlite3.SQLITE_BUSY: "another program holds the file: end what has it open, then try again",
    sqlite3.SQLITE_LOCKED: "another program holds the file: end what has it open, then try again",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}

_ISSUED: Final = "SELECT serial, identity, key_fingerprint, pem, issued_at, expires_at, revoked_at, reason FROM issued"

_CODES: Final = "SELECT code_id, identity, secret_hash, expires_at, tries_left, used_by, is_withdrawn FROM code"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in the ledger. Times are seconds since 1970; ``pem`` is the certificate itself."""

    serial: int
    identity: Identity
    key_fingerprint: bytes
    pem: bytes
    issued_at: float
    expires_at: float
    revoked_at: float | None = None
    reason: str = ""

    def is_valid(self, now: float) -> bool:
        """Whether a peer may use it at ``now``."""
        return self.revoked_at is None and now < self.expires_at


class Ledger:
    """The ledger at ``path``. Every method raises AuthorityError if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Start an empty ledger."""
        files.write_private(self._path, b"")
        with self.transaction() as ledger:
            ledger.create()

    def check(self) -> None:
        """Make sure that the file is a ledger, and private."""
        with self.transaction() as ledger:
            ledger.check(self._path)

    @contextmanager
    def transaction(self) -> "Iterator[LedgerTransaction]":
        """All that is done on the ledger is written, durably, at the end of the block, or not at all."""
        files.check_private(self._path)
        # SQLite gives its journal the mode of the ledger.
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield LedgerTransaction(connection)
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise AuthorityError(f"cannot use {os.fspath(self._path)}: {error}", hint=_remedy(error)) from error


def _remedy(error: sqlite3.Error) -> str:
    """What to do about a ledger that cannot be used. A backup is for one that is damaged, and for no other."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _REMEDIES.get(code, "see the message; if the file is damaged, restore the directory from a backup")


class LedgerTransaction:
    """The ledger within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def create(self) -> None:
        """Write the headings."""
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def check(self, path: Path) -> None:
        """Raises AuthorityError for a file that is an SQLite database, or empty, and no ledger."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not tables:
            raise AuthorityError(f"{path} is empty: the authority's ledger is lost", hint=_DAMAGED)
        if not {"issued", "code", "revocation_list"} <= tables:
            raise AuthorityError(f"{path} is a database of another program", hint=_DAMAGED)
        if version != _SCHEMA_VERSION:
            raise AuthorityError(
                f"{path} has format {version}, and this release knows {_SCHEMA_VERSION}", hint="run the newer release"
            )

    def add(self, issued: Issued) -> None:
        """Enter a certificate that nobody has yet."""
        self._db.execute(
            "INSERT INTO issued VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                f"{issued.serial:x}",
                str(issued.identity),
                issued.key_fingerprint,
                issued.pem,
                issued.issued_at,
                issued.expires_at,
                issued.revoked_at,
                issued.reason,
            ),
        )

    def all(self) -> list[Issued]:
        """Every certificate, in the order of their issue."""
        return self._issued(f"{_ISSUED} ORDER BY issued_at, rowid")

    def of_identity(self, identity: Identity) -> list[Issued]:
        """The certificates of exactly this identity."""
        return self._issued(f"{_ISSUED} WHERE identity = ? ORDER BY issued_at, rowid", str(identity))

    def latest(self, identity: Identity, count: int) -> list[float]:
        """When the latest certificates of exactly this identity were issued, at most ``count``, newest first."""
        rows = self._db.execute(
            "SELECT issued_at FROM issued WHERE identity = ? ORDER BY issued_at DESC LIMIT ?", (str(identity), count)
        )
        return [float(issued_at) for (issued_at,) in rows]

    def of_key(self, key_fingerprint: bytes) -> list[Issued]:
        """The certificates of one key."""
        return self._issued(f"{_ISSUED} WHERE key_fingerprint = ? ORDER BY issued_at, rowid", key_fingerprint)

    def by_serial(self, serial: int) -> Issued | None:
        """The certificate of this serial number."""
        return next(iter(self._issued(f"{_ISSUED} WHERE serial = ?", f"{serial:x}")), None)

    def revoke(self, serial: int, *, at: float, reason: str) -> None:
        """Mark a certificate as revoked; the first time counts."""
        self._db.execute(
            "UPDATE issued SET revoked_at = ?, reason = ? WHERE serial = ? AND revoked_at IS NULL",
            (at, reason, f"{serial:x}"),
        )

    def next_list_number(self, *, above: int) -> int:
        """The number of the revocation list that is made now: higher than ``above`` and all before."""
        row = self._db.execute(
            "UPDATE revocation_list SET number = max(number, ?) + 1 RETURNING number", (above,)
        ).fetchone()
        return int(row[0])

    def code(self, code_id: bytes) -> StoredCode | None:
        """A code by its name."""
        return next(iter(self._codes(f"{_CODES} WHERE code_id = ?", code_id)), None)

    def codes(self) -> list[StoredCode]:
        """Every code that is not forgotten yet, in the order in which they were made."""
        return self._codes(f"{_CODES} ORDER BY expires_at, rowid")

    def put_code(self, code: StoredCode) -> None:
        """Enter a code, or what became of it."""
        self._db.execute(
            "INSERT OR REPLACE INTO code VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                code.code_id,
                str(code.identity),
                code.secret_hash,
                code.expires_at,
                code.tries_left,
                code.used_by,
                int(code.is_withdrawn),
            ),
        )

    def withdraw_codes(self, identity: Identity, *, used_too: bool) -> None:
        """Withdraw the codes of an identity; those that somebody has used only if ``used_too``."""
        self._db.execute(
            "UPDATE code SET is_withdrawn = 1 WHERE identity = ? AND (used_by IS NULL OR ?)",
            (str(identity), used_too),
        )

    def drop_codes(self, *, expired_before: float) -> None:
        """Forget codes that are long of no use."""
        self._db.execute("DELETE FROM code WHERE expires_at < ?", (expired_before,))

    def _issued(self, statement: str, *values: str | bytes) -> list[Issued]:
        return [
            Issued(
                serial=int(serial, 16),
                identity=_identity(identity),
                key_fingerprint=bytes(key),
                pem=bytes(pem),
                issued_at=float(issued_at),
                expires_at=float(expires_at),
                revoked_at=None if revoked_at is None else float(revoked_at),
                reason=str(reason),
            )
            for serial, identity, key, pem, issued_at, expires_at, revoked_at, reason in self._db.execute(
                statement, values
            )
        ]

    def _codes(self, statement: str, *values: bytes) -> list[StoredCode]:
        return [
            StoredCode(
                code_id=bytes(code_id),
                identity=_identity(identity),
                secret_hash=bytes(secret_hash),
                expires_at=float(expires_at),
                tries_left=int(tries_left),
                used_by=None if used_by is None else bytes(used_by),
                is_withdrawn=bool(is_withdrawn),
            )
            for code_id, identity, secret_hash, expires_at, tries_left, used_by, is_withdrawn in self._db.execute(
                statement, values
            )
        ]


def _identity(text: str) -> Identity:
    try:
        return Identity.parse(text)
    except RemsimError as error:
        raise AuthorityError(f"the authority's ledger is damaged: {error}", hint="restore it from a backup") from error
