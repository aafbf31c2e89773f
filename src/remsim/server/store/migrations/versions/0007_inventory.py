# SPDX-License-Identifier: Apache-2.0
"""What cards say without a PIN."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("cards", sa.Column("imsi", sa.String(15)))
    op.add_column("cards", sa.Column("service_provider", sa.String(64)))
    op.add_column("cards", sa.Column("eid", sa.String(32)))
