# SPDX-License-Identifier: Apache-2.0
"""What is allowed: which client may be given which card (``mapping``), and which commands reach a card (``guard``).

Rules are text that an operator writes (TOML) and values in here; nothing reads a file, a clock or a socket.
"""
