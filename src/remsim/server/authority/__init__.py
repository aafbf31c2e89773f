# SPDX-License-Identifier: Apache-2.0
"""The authority of an installation beside a running server.

``monitor`` is the entry point: it follows what other processes do with the authority's files. ``audit`` enters that
into the server's audit log.
"""
