# SPDX-License-Identifier: Apache-2.0
"""What every program shares and what depends on nothing: ids, identities, errors, limits,
deadlines, state machines. No I/O.

Start with ``ids`` (``B1:3``, ``C7:0``) and ``errors``. The decisions of the programs are in ``server.core``,
``bankd.core`` and ``client.core``.
"""
