# SPDX-License-Identifier: Apache-2.0
"""The server: desired mappings in a database, peers over RSPRO, operators over REST.

Start with ``service``, which opens the parts in order. ``core`` decides, ``runtime`` carries its decisions out,
``store`` keeps them. REST (``api``) changes things through ``runtime`` and reads through ``query``.
"""
