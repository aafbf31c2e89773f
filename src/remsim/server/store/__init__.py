# SPDX-License-Identifier: Apache-2.0
"""The server's database: tables, migrations, and one writer that keeps the order of decisions."""
