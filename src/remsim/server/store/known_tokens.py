# SPDX-License-Identifier: Apache-2.0
"""Tokens that were read from the database, for as long as nothing in it has changed.

A look into a table takes a thread, a transaction and a millisecond of processor time, for each request of each caller.
SQLite counts the commits of all programs in memory that they share, and reading that costs some microseconds. So a
token that is revoked at the command line is revoked for the very next request, all the same. Other databases have no
such counter: there each request looks into the table.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from remsim.server.core.tokens import StoredToken

#: Tokens that are remembered: more than there are callers at a time.
_MOST: Final = 256


class ChangeCounter:
    """Counts what others have committed to a file of SQLite. Reads no table, and waits for nobody."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)

    def value(self) -> int | None:
        """A number that changes with each commit of any other connection (PRAGMA data_version); None: not known now."""
        try:
            # All rows: a statement that is not read to its end keeps a transaction open.
            ((number,),) = self._connection.execute("PRAGMA data_version").fetchall()
        except sqlite3.Error:
            return None
        return int(number)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class KnownTokens:
    """One for a store."""

    def __init__(self) -> None:
        self._counter: ChangeCounter | None = None
        self._at: int | None = None
        self._tokens: dict[str, StoredToken] = {}

    def watch(self, path: Path) -> None:
        """Remember from now on what is read, until something in this file changes; nothing if it cannot be opened."""
        with contextlib.suppress(sqlite3.Error):
            self._counter = ChangeCounter(path)

    def close(self) -> None:
        """Remember nothing any more."""
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    def now(self) -> int | None:
        """Up to which change whatever is read from now on is right; None: for nobody knows how long."""
        return None if self._counter is None else self._counter.value()

    def get(self, token_id: str, at: int | None) -> StoredToken | None:
        """A token, if it was read since the change before ``at``, which is ``now``."""
        return self._tokens.get(token_id) if at is not None and at == self._at else None

    def keep(self, token: StoredToken, at: int | None) -> None:
        """It was read; ``at`` is what ``now`` was before that."""
        if at is None:
            return
        if at != self._at or len(self._tokens) >= _MOST:
            self._tokens.clear()
            self._at = at
        self._tokens[token.token_id] = token
