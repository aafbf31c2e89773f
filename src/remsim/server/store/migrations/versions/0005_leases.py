# SPDX-License-Identifier: Apache-2.0
"""Leases: cards lent for a time, and requests that wait for one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "leases",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pool", sa.String(80), nullable=False),
        sa.Column("client_id", sa.Integer(), nullable=False),
        sa.Column("client_slot_nr", sa.Integer(), nullable=False),
        sa.Column("banks", sa.Text()),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("wait_s", sa.Double(), nullable=False),
        sa.Column("requested_at", sa.Double(), nullable=False),
        sa.Column("mapping_id", sa.Integer()),
        sa.Column("granted_at", sa.Double()),
        sa.Column("expires_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        sa.Column("ended_by", sa.String(16)),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
        sa.ForeignKeyConstraint(["mapping_id"], ["mappings.id"], name="fk_leases_mapping_id_mappings"),
    )
    not_ended = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_leases_live_client",
        "leases",
        ["client_id", "client_slot_nr"],
        unique=True,
        sqlite_where=not_ended,
        postgresql_where=not_ended,
    )
    op.create_index("ix_leases_mapping_id", "leases", ["mapping_id"], unique=True)
    op.create_index("ix_leases_ended_at", "leases", ["ended_at"])
