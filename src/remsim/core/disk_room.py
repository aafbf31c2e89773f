# SPDX-License-Identifier: Apache-2.0
"""How much room a program needs on the disk of its state directory. Server, bankd and doctor judge alike."""

from typing import Final, Literal

#: Less than this, in bytes, is soon too little to write at all.
LEAST: Final = 50 << 20
#: Less than this is worth a word.
LITTLE: Final = 500 << 20


def judge_room(free: int) -> Literal["error", "warning"] | None:
    """How bad so many bytes of room are; None: there is enough."""
    if free < LEAST:
        return "error"
    return "warning" if free < LITTLE else None


def room_text(place: object, free: int, total: int) -> str:
    """The room at a place, in words; sizes in bytes."""
    return f"{free >> 20} MiB of {total >> 20} MiB are free at {place}"
