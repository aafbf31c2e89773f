# SPDX-License-Identifier: Apache-2.0
"""What the page says of one slot."""

import pytest

from remsim.server.page import slot_views


@pytest.mark.parametrize("atr", ["3b800181", "3b800180", "3b8001", "3b80018100"])
def test_atr_is_explained_even_if_a_reader_has_damaged_its_end(atr: str) -> None:
    assert slot_views._atr(atr) == "T=1, direct convention; TD1 01"


@pytest.mark.parametrize(("atr", "shown"), [(None, None), ("3b", "cannot be decoded"), ("x", "cannot be decoded")])
def test_what_is_no_atr_is_not_explained(atr: str | None, shown: str | None) -> None:
    assert slot_views._atr(atr) == shown
