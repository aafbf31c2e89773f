# SPDX-License-Identifier: Apache-2.0
"""Errors of the software card."""

from remsim.uicc.errors import RefusedError


def test_refusal_carries_and_shows_its_status_word() -> None:
    error = RefusedError(0x6A82)
    assert (error.sw, str(error)) == (0x6A82, "6A82")
