# SPDX-License-Identifier: Apache-2.0
"""Which reader serves which slot: the rules, the classic CSV file, and what is kept on disk."""
