# SPDX-License-Identifier: Apache-2.0
"""Mutated conversations against running programs: ``python -m tests.fuzz``. Nothing they are sent may harm them."""
