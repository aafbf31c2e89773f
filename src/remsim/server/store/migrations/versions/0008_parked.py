# SPDX-License-Identifier: Apache-2.0
"""Mappings that wait for the card that they follow."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "parked_mappings",
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("mapping_id", name="pk_parked_mappings"),
        sa.ForeignKeyConstraint(["mapping_id"], ["mappings.id"], name="fk_parked_mappings_mapping_id_mappings"),
    )
