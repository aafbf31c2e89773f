# SPDX-License-Identifier: Apache-2.0
"""One RSPRO link without I/O: ``engine`` takes bytes and gives events, takes messages and gives bytes.

Around it: requests under way, abilities of the peer, what a classic peer must not be sent, and when to dial.
"""
