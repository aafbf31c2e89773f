# SPDX-License-Identifier: Apache-2.0
"""Ids for clients that have none: from a pool, one per client, for ever.

A client is known again by its hardware serial number, else by its name. The certificate of a client has its id.
"""

from collections.abc import Callable, Sequence

from remsim.server.core.actions import ClientKey
from remsim.wire.messages.rspro import ComponentIdentity


def client_key(identity: ComponentIdentity) -> ClientKey:
    """What this client is known by."""
    if identity.hw_serial_nr is not None:
        return "serial", identity.hw_serial_nr
    return "name", identity.name


class ClientIds:
    """Which client has which id. ``pool`` None: none are given."""

    def __init__(self, pool: Sequence[int] | None, known: dict[ClientKey, int]) -> None:
        self._pool = pool
        self._ids = dict(known)
        self._given = set(known.values())
        self._stored = set(known)

    @property
    def is_enabled(self) -> bool:
        """Whether there is a pool."""
        return self._pool is not None

    def find(self, key: ClientKey) -> int | None:
        """The id of this client, if it has one. It need not be in the pool any more."""
        return self._ids.get(key)

    def assign(self, key: ClientKey, is_free: Callable[[int], bool]) -> int | None:
        """Give this client the lowest id that was given to nobody and ``is_free``; None if there is none left."""
        for client_id in self._pool or ():
            if client_id not in self._given and is_free(client_id):
                self._ids[key] = client_id
                self._given.add(client_id)
                return client_id
        return None

    def is_stored(self, key: ClientKey) -> bool:
        """Whether the database has this id, so that the client may be told."""
        return key in self._stored

    def stored(self, key: ClientKey) -> None:
        """The database has it now."""
        self._stored.add(key)

    def forget(self, key: ClientKey) -> None:
        """It could not be stored; the id is free again."""
        self._given.discard(self._ids.pop(key))
