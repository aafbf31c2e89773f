# SPDX-License-Identifier: Apache-2.0
"""Status words in words."""

import pytest

from remsim.card.status import SwKind, describe_sw, sw_kind


@pytest.mark.parametrize(
    ("sw", "text"),
    [
        (0x9000, "ok"),
        (0x6135, "ok, 53 bytes to fetch"),
        (0x6100, "ok, 256 bytes to fetch"),
        (0x6C0A, "wrong length, 10 expected"),
        (0x670F, "wrong length, 15 expected"),
        (0x9111, "ok, proactive command of 17 bytes pending"),
        (0x9203, "ok after 3 internal retries"),
        (0x9240, "memory problem"),
        (0x63C3, "not verified, 3 tries left"),
        (0x63C1, "not verified, 1 try left"),
        (0x6A82, "file not found"),
        (0x6299, "warning"),
        (0x6FFF, "unknown error"),
    ],
)
def test_status_word_is_described(sw: int, text: str) -> None:
    assert describe_sw(sw) == text


@pytest.mark.parametrize(
    ("sw", "kind"),
    [
        (0x9000, SwKind.OK),
        (0x910F, SwKind.OK),
        (0x6101, SwKind.MORE),
        (0x9F16, SwKind.MORE),
        (0x6C01, SwKind.LENGTH),
        (0x63C0, SwKind.WARNING),
        (0x6A82, SwKind.ERROR),
        (0x9240, SwKind.ERROR),
    ],
)
def test_status_word_is_classified(sw: int, kind: SwKind) -> None:
    assert sw_kind(sw) is kind


def test_every_status_word_has_a_description() -> None:
    assert all(describe_sw(sw) for sw in range(0x10000))
