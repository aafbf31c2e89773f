# SPDX-License-Identifier: Apache-2.0
"""Frames that differ in their operation tag only, made by joining bytes: a generator must cost less than its target."""

from dataclasses import dataclass
from typing import Final, Self

from bench.frames import frame
from remsim.wire.messages.rspro import Message

#: Where tags begin: all that a measurement needs have four bytes, so no length in a frame depends on them.
FIRST_TAG: Final = 0x01000000
_SAMPLE: Final = 0x5A17C3E9


@dataclass(frozen=True, slots=True)
class NumberedFrame:
    """What is before and behind the tag."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, message: Message) -> Self:
        """The frame of ``message``."""
        whole = frame(message, _SAMPLE)
        head, found, tail = whole.partition(_SAMPLE.to_bytes(4))
        if not found:
            raise ValueError("no tag of four bytes in the frame")
        return cls(head, tail)

    def with_tag(self, tag: int) -> bytes:
        """The frame with this tag, from FIRST_TAG to 0x7FFFFFFF."""
        return self.head + tag.to_bytes(4) + self.tail
