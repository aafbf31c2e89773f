# SPDX-License-Identifier: Apache-2.0
"""Remote SIM suite: server, bank daemon and client for RSPRO. See docs/architecture.md."""

#: Also sent to peers as swVersion; a test compares it with the package metadata.
__version__ = "0.1.0"
