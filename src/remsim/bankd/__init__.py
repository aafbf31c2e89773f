# SPDX-License-Identifier: Apache-2.0
"""The bankd: cards in readers, for clients, as the server orders.

Start with ``service``. ``core`` decides, ``driver`` works one slot's reader, ``readers`` and ``slots`` say which reader
serves which slot.
"""
