# SPDX-License-Identifier: Apache-2.0
"""The client: plays remote cards to modems.

Start with ``service``. ``core`` decides for one slot, ``runner`` carries it out, ``commands`` are those of
``remsim client``.
"""
