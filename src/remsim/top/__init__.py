# SPDX-License-Identifier: Apache-2.0
"""``remsim top``: what a server knows, live in a terminal: problems first, slots, clients, what happens."""
