# SPDX-License-Identifier: Apache-2.0
"""Card sessions that outlive their link: what client and bankd have in common. No I/O, no clock, no messages."""
