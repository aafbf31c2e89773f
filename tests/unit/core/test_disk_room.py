# SPDX-License-Identifier: Apache-2.0
"""How much room is enough."""

import pytest

from remsim.core.disk_room import judge_room, room_text

MIB = 1 << 20


@pytest.mark.parametrize(
    ("free", "expected"),
    [(0, "error"), (50 * MIB - 1, "error"), (50 * MIB, "warning"), (500 * MIB - 1, "warning"), (500 * MIB, None)],
)
def test_room_is_judged_by_what_is_left(free: int, expected: str | None) -> None:
    assert judge_room(free) == expected


def test_room_is_told_in_whole_mebibytes() -> None:
    assert room_text("/var", 3 * MIB - 1, 10 * MIB) == "2 MiB of 10 MiB are free at /var"
