# SPDX-License-Identifier: Apache-2.0
"""Recorded command sequences, and a player that sends them again as a modem would."""
