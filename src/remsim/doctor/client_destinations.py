# SPDX-License-Identifier: Apache-2.0
"""What a server's REST interface tells of the bankds that it names to clients. Reads answers, asks nobody."""

import contextlib
from collections.abc import Sequence

from remsim.config import HostPort
from remsim.core.errors import RemsimError
from remsim.core.identity import Identity
from remsim.core.values import dataclass


class TellsNothingError(RemsimError):
    """The server's answer does not say to which bankds clients are sent, as that of the C suite."""


@dataclass(frozen=True, slots=True)
class ClientDestination:
    """One connected client of this host, and where the server sends it."""

    #: ``C7:0``
    peer: str
    #: None: nowhere.
    address: HostPort | None = None
    #: Why its mapping does not work, in the server's words.
    problem: str = ""


def client_destinations(rows: Sequence[dict[str, object]], own: Sequence[Identity]) -> list[ClientDestination]:
    """Of the client objects of REST, those of ``own`` identities; of one host, each bankd only once.

    Raises TellsNothingError if the server is one that does not tell.
    """
    ours = [row for row in rows if any(_is_of(row.get("peer"), identity) for identity in own)]
    if ours and not any("address" in row for row in ours):
        # Ours shows the address of each peer if it is asked for more.
        raise TellsNothingError(
            "not looked at: this server does not tell to which bankd it sends a client",
            hint="see the client's log: its lines bankd_connected and link_failed have the address",
        )
    found: dict[tuple[HostPort | None, str], ClientDestination] = {}
    for row in ours:
        place = _place(row)
        found.setdefault((place.address, "" if place.address else place.peer), place)
    return list(found.values())


def _is_of(peer: object, identity: Identity) -> bool:
    if not isinstance(peer, str) or not peer.startswith("C"):
        return False
    client, _, slot = peer[1:].partition(":")
    if not client.isdecimal() or not slot.isdecimal():
        return False
    return int(client) == identity.number and identity.slot_nr in (None, int(slot))


def _place(row: dict[str, object]) -> ClientDestination:
    peer = str(row.get("peer"))
    mapping, told = row.get("mapping"), row.get("told")
    problem = mapping.get("problem", "") if isinstance(mapping, dict) else ""
    address = None
    if isinstance(told, dict) and isinstance(told.get("ip"), str) and isinstance(told.get("port"), int):
        with contextlib.suppress(RemsimError):
            address = HostPort(told["ip"], told["port"])
    return ClientDestination(peer, address, f"{peer}: {problem}" if problem else "")


__all__ = ["ClientDestination", "TellsNothingError", "client_destinations"]
