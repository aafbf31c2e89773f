# SPDX-License-Identifier: Apache-2.0
"""What is still to be told of stored changes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "announcements",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_announcements"),
    )
