# SPDX-License-Identifier: Apache-2.0
"""The numbers of the cards in the banks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "cards",
        sa.Column("bank_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("slot_nr", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("iccid", sa.String(20), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bank_id", "slot_nr", name="pk_cards"),
    )
