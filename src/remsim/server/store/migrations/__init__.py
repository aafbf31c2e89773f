# SPDX-License-Identifier: Apache-2.0
"""Numbered changes of the database, run by alembic at every start of the server."""
