# SPDX-License-Identifier: Apache-2.0
"""The demonstration: all three programs in one process, over real sockets on loopback, and a live table of it."""
