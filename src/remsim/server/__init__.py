# SPDX-License-Identifier: Apache-2.0
"""The server: desired mappings in a database, peers over RSPRO, operators over REST.

``service`` is the entry point: it opens the parts in order. ``core`` decides, ``runtime`` carries its decisions out,
``store`` keeps them. REST (``api``) changes something by commands of the runtime, and looks through ``query``.
"""
