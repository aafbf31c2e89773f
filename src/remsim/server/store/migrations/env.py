# SPDX-License-Identifier: Apache-2.0
"""What alembic runs: all changes that are missing, in one transaction on the connection that it is given."""

from alembic import context

from remsim.server.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite changes a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
