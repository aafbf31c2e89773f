# SPDX-License-Identifier: Apache-2.0
"""Mappings with history, pending removals and releases, known banks and clients, client numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_mappings()
    for name in ("pending_removals", "pending_releases"):
        op.create_table(
            name,
            sa.Column("mapping_id", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("mapping_id", name=f"pk_{name}"),
            sa.ForeignKeyConstraint(["mapping_id"], ["mappings.id"], name=f"fk_{name}_mapping_id_mappings"),
        )
    _create_peers()
    op.create_table(
        "counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )


def _create_mappings() -> None:
    slots = ("bank_id", "bank_slot_nr", "client_id", "client_slot_nr")
    op.create_table(
        "mappings",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in slots),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("deleted_at", sa.Double()),
        sa.Column("is_sent", sa.Boolean(), nullable=False),
        sa.Column("is_acknowledged", sa.Boolean(), nullable=False),
        sa.Column("result", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_mappings"),
        sa.CheckConstraint(
            "bank_id BETWEEN 0 AND 1023 AND bank_slot_nr BETWEEN 0 AND 1023", name="ck_mappings_bank_in_range"
        ),
        sa.CheckConstraint(
            "client_id BETWEEN 0 AND 1023 AND client_slot_nr BETWEEN 0 AND 1023", name="ck_mappings_client_in_range"
        ),
        sqlite_autoincrement=True,
    )
    for side in ("bank", "client"):
        op.create_index(
            f"ix_mappings_live_{side}_slot",
            "mappings",
            [f"{side}_id", f"{side}_slot_nr"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )
    op.create_index("ix_mappings_deleted_at", "mappings", ["deleted_at"])


def _create_peers() -> None:
    op.create_table(
        "banks",
        sa.Column("bank_id", sa.Integer(), nullable=False, autoincrement=False),
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("name", "software", "sw_version")),
        sa.Column("number_of_slots", sa.Integer(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("last_seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bank_id", name="pk_banks"),
    )
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("slot_nr", sa.Integer(), nullable=False, autoincrement=False),
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("name", "software", "sw_version")),
        sa.Column("hw_serial_nr", sa.String(32)),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("last_seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "slot_nr", name="pk_clients"),
    )
    op.create_table(
        "client_numbers",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("client_id", sa.Integer(), nullable=False),
        sa.Column("given_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name="pk_client_numbers"),
        sa.UniqueConstraint("client_id", name="uq_client_numbers_client_id"),
    )
