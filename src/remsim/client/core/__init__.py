# SPDX-License-Identifier: Apache-2.0
"""All decisions of a client slot, without I/O: events in, actions out, time as an argument.

``coordinator`` is the way in. It keeps what the server has given (``assignment``), and hands what happens to its two
parts: ``server_link`` (what the server says) and ``session`` (what runs: bankd, card, commands in flight).
"""
