# SPDX-License-Identifier: Apache-2.0
"""Readers with software cards in them, in this process, and the files in which the cards keep their state."""
