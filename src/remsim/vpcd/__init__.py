# SPDX-License-Identifier: Apache-2.0
"""The protocol of vsmartcard's virtual reader vpcd: its messages, and one connection. Used by both ends."""
