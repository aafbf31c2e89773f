# SPDX-License-Identifier: Apache-2.0
"""Accepting connections: listening sockets, quotas for peers that have not proven who they are, handshakes in turn."""
