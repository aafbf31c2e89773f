# SPDX-License-Identifier: Apache-2.0
"""The tables of the server's database. ``migrations`` brings a database to this shape; a test compares the two.

Two unique indexes over *live* mappings, on bank slot and on client slot, make double mapping impossible whatever the
program does. Deleted mappings stay as history.
"""

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class PeerText(TypeDecorator[str]):
    """What a peer calls itself. It may hold the one character that PostgreSQL cannot store, which is replaced."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: "Dialect") -> str | None:
        """The text as it is stored."""
        return None if value is None else value.replace("\0", "\ufffd")


_LIVE: Final = text("deleted_at IS NULL")
_NOT_ENDED: Final = text("ended_at IS NULL")

#: Times are seconds since 1970-01-01 UTC.
MAPPINGS: Final = Table(
    "mappings",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("bank_id", Integer, nullable=False),
    Column("bank_slot_nr", Integer, nullable=False),
    Column("client_id", Integer, nullable=False),
    Column("client_slot_nr", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    # NULL: live.
    Column("deleted_at", Double),
    # A bankd may know of it.
    Column("is_sent", Boolean, nullable=False),
    # It was ACTIVE and has not been refused since.
    Column("is_acknowledged", Boolean, nullable=False),
    # ResultCode of a refusal.
    Column("result", Integer),
    # The number of the card that it follows into other slots; NULL: it stays with its slot.
    Column("follows", String(20)),
    CheckConstraint("bank_id BETWEEN 0 AND 1023 AND bank_slot_nr BETWEEN 0 AND 1023", name="bank_in_range"),
    CheckConstraint("client_id BETWEEN 0 AND 1023 AND client_slot_nr BETWEEN 0 AND 1023", name="client_in_range"),
    Index("ix_mappings_live_bank_slot", "bank_id", "bank_slot_nr", unique=True, sqlite_where=_LIVE),
    Index("ix_mappings_live_client_slot", "client_id", "client_slot_nr", unique=True, sqlite_where=_LIVE),
    Index("ix_mappings_deleted_at", "deleted_at"),
    sqlite_autoincrement=True,
)

#: Deleted mappings that a bankd may still hold, until it has answered removeMappingReq.
PENDING_REMOVALS: Final = Table(
    "pending_removals",
    METADATA,
    Column("mapping_id", ForeignKey(MAPPINGS.c.id), primary_key=True),
)

#: Deleted mappings whose client has not been told yet.
PENDING_RELEASES: Final = Table(
    "pending_releases",
    METADATA,
    Column("mapping_id", ForeignKey(MAPPINGS.c.id), primary_key=True),
)

#: Deleted mappings that wait for the card that they follow. What it is, and whose, is in their rows.
PARKED: Final = Table(
    "parked_mappings",
    METADATA,
    Column("mapping_id", ForeignKey(MAPPINGS.c.id), primary_key=True),
    Column("since", Double, nullable=False),
)

BANKS: Final = Table(
    "banks",
    METADATA,
    Column("bank_id", Integer, primary_key=True, autoincrement=False),
    Column("name", PeerText(32), nullable=False),
    Column("software", PeerText(32), nullable=False),
    Column("sw_version", PeerText(32), nullable=False),
    Column("number_of_slots", Integer, nullable=False),
    # Where clients reach it, the preferred address first: "192.0.2.1 9999 tls,2001:db8::1 9999".
    Column("addresses", Text, nullable=False),
    Column("last_seen_at", Double, nullable=False),
)

CLIENTS: Final = Table(
    "clients",
    METADATA,
    Column("client_id", Integer, primary_key=True, autoincrement=False),
    Column("slot_nr", Integer, primary_key=True, autoincrement=False),
    Column("name", PeerText(32), nullable=False),
    Column("software", PeerText(32), nullable=False),
    Column("sw_version", PeerText(32), nullable=False),
    Column("hw_serial_nr", PeerText(32)),
    Column("address", String(45), nullable=False),
    Column("last_seen_at", Double, nullable=False),
)

#: The number of the card that was last heard of in each slot, and since when.
CARDS: Final = Table(
    "cards",
    METADATA,
    Column("bank_id", Integer, primary_key=True, autoincrement=False),
    Column("slot_nr", Integer, primary_key=True, autoincrement=False),
    Column("iccid", String(20), nullable=False),
    Column("seen_at", Double, nullable=False),
    # What the card says without a PIN.
    Column("imsi", String(15)),
    Column("service_provider", String(64)),
    Column("eid", String(32)),
)

#: Labels of bank slots (B1:3), client slots (C7:0) and cards (iccid:8949…).
LABELS: Final = Table(
    "labels",
    METADATA,
    Column("subject", String(32), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("given_at", Double, nullable=False),
)

#: Bank slots that get no new mapping.
SLOT_LOCKS: Final = Table(
    "slot_locks",
    METADATA,
    Column("bank_id", Integer, primary_key=True, autoincrement=False),
    Column("slot_nr", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(200), nullable=False),
    Column("who", String(128), nullable=False),
    Column("locked_at", Double, nullable=False),
)

#: Ids given to clients that have none of their own.
CLIENT_NUMBERS: Final = Table(
    "client_numbers",
    METADATA,
    # What the client is known by: "serial" or "name".
    Column("kind", String(16), primary_key=True),
    Column("value", PeerText(255), primary_key=True),
    Column("client_id", Integer, nullable=False),
    Column("given_at", Double, nullable=False),
    UniqueConstraint("client_id"),
)

#: Cards lent for a time, and requests that wait for one. A granted lease is one live mapping.
LEASES: Final = Table(
    "leases",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("pool", String(80), nullable=False),
    Column("client_id", Integer, nullable=False),
    Column("client_slot_nr", Integer, nullable=False),
    # Numbers with commas; NULL: all.
    Column("banks", Text),
    Column("who", String(128), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("wait_s", Double, nullable=False),
    Column("requested_at", Double, nullable=False),
    # NULL: it waits, or never got a card.
    Column("mapping_id", ForeignKey(MAPPINGS.c.id)),
    Column("granted_at", Double),
    Column("expires_at", Double),
    # NULL: it waits, or has its card.
    Column("ended_at", Double),
    Column("ended_by", String(16)),
    # Of the token by which it was asked for; NULL: there was none.
    Column("token_id", String(12)),
    Index("ix_leases_live_client", "client_id", "client_slot_nr", unique=True, sqlite_where=_NOT_ENDED),
    Index("ix_leases_mapping_id", "mapping_id", unique=True),
    Index("ix_leases_ended_at", "ended_at"),
)

#: To whom events are sent. The secret signs what is sent, so it is kept as it is.
WEBHOOKS: Final = Table(
    "webhooks",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("url", Text, nullable=False),
    Column("secret", String(128), nullable=False),
    # With commas; NULL: all.
    Column("kinds", Text),
    # Of the token that made it: numbers with commas; NULL: all.
    Column("banks", Text),
    Column("clients", Text),
    Column("who", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    # NULL: it is not paused.
    Column("paused_at", Double),
    sqlite_autoincrement=True,
)

#: What is to be sent to webhooks, and what was of late. ``ended_at`` NULL: it waits.
DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("webhook_id", ForeignKey(WEBHOOKS.c.id), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried_at", Double),
    Column("ended_at", Double),
    Column("is_delivered", Boolean, nullable=False),
    Column("outcome", String(200), nullable=False),
    Index("ix_deliveries_webhook_id_ended_at", "webhook_id", "ended_at"),
    sqlite_autoincrement=True,
)

#: What is still to be told of changes that are stored: kind, JSON, banks and clients of each event, as a list in JSON.
ANNOUNCEMENTS: Final = Table(
    "announcements",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("events", Text, nullable=False),
)

#: Requests with an Idempotency-Key that were done. What they made is in its own table, with its secrets.
REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("token_id", String(12), nullable=False),
    Column("path", Text, nullable=False),
    Column("key", String(255), nullable=False),
    # BLAKE2b of query and body, in hex.
    Column("digest", String(32), nullable=False),
    Column("done_at", Double, nullable=False),
    # The number of the lease or webhook; NULL: it made neither.
    Column("made", Integer),
    # JSON; empty: the answer is made anew of what there is.
    Column("answer", Text, nullable=False),
)

#: Single values: how often the server was started.
COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", Integer, nullable=False),
)

#: Access tokens; see ``tokens``. Revoked ones stay, so that the audit log's names keep their meaning.
TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("token_id", String(12), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("role", Integer, nullable=False),
    # BLAKE2b of the token's text, in hex.
    Column("digest", String(64), nullable=False),
    # Numbers with commas; NULL: all.
    Column("banks", Text),
    Column("clients", Text),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    # NULL: no.
    Column("keeps_leases", Boolean),
)

#: Who changed or tried what; rows are only added, and dropped when they are as old as forgotten mappings.
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("who", String(128), nullable=False),
    Column("source", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("target", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_audit_at", "at"),
    sqlite_autoincrement=True,
)


def use_dialect(name: str) -> None:
    """Make the indexes over live mappings partial in PostgreSQL, too.

    Not said with the tables, because naming a dialect there imports it in every server.
    """
    if name == "postgresql":
        for index in (*MAPPINGS.indexes, *LEASES.indexes):
            index.dialect_options[name]["where"] = index.dialect_options["sqlite"]["where"]
