# SPDX-License-Identifier: Apache-2.0
"""Webhooks that are paused."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("webhooks", sa.Column("paused_at", sa.Double()))
