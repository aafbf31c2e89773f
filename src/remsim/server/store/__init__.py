# SPDX-License-Identifier: Apache-2.0
"""The server's database: tables, migrations, and one writer that keeps the order of decisions.

``writer`` is the entry point. ``sql`` has the statements, ``schema`` the tables, and ``database`` opens the file.
"""
