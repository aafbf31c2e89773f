# SPDX-License-Identifier: Apache-2.0
"""The tokens of leases, and whether leases go on when a token is revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Who had asked for a lease was "token ID NAME"."""
    op.add_column("leases", sa.Column("token_id", sa.String(12)))
    op.execute("UPDATE leases SET token_id = substr(who, 7, 12) WHERE who LIKE 'token ____________ %'")
    op.add_column("tokens", sa.Column("keeps_leases", sa.Boolean()))
