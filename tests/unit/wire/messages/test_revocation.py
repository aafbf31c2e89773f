# SPDX-License-Identifier: Apache-2.0
"""A revocation list in parts."""

import pytest

from remsim.wire.messages.extensions import MAX_LIST, MAX_LIST_PART, RevocationListInd
from remsim.wire.messages.revocation import ListParts, cut_list


@pytest.mark.parametrize("length", [1, MAX_LIST_PART, MAX_LIST_PART + 1, 3 * MAX_LIST_PART])
def test_list_arrives_whole(length: int) -> None:
    raw = bytes(number % 251 for number in range(length))
    parts = ListParts()
    *first, last = [parts.add(part) for part in cut_list(raw)]
    assert first == [None] * len(first)
    assert last == raw


def test_list_that_is_too_long_is_not_sent() -> None:
    assert cut_list(bytes(MAX_LIST + 1)) == []
    assert cut_list(b"") == []


@pytest.mark.parametrize(
    "wrong",
    [RevocationListInd(9, 5, b"12"), RevocationListInd(8, 4, b"12"), RevocationListInd(9, 4, bytes(6))],
    ids=["gap", "other total", "too much"],
)
def test_part_that_does_not_fit_drops_what_was_there(wrong: RevocationListInd) -> None:
    parts = ListParts()
    assert parts.add(RevocationListInd(9, 0, b"1234")) is None
    assert parts.add(wrong) is None
    assert parts.add(RevocationListInd(9, 4, b"12345")) is None
    assert parts.add(RevocationListInd(5, 0, b"fresh")) == b"fresh"


def test_new_list_replaces_one_that_was_cut_short() -> None:
    parts = ListParts()
    assert parts.add(RevocationListInd(9, 0, b"1234")) is None
    assert parts.add(RevocationListInd(2, 0, b"ok")) == b"ok"
