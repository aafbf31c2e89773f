# SPDX-License-Identifier: Apache-2.0
"""Operation tags: who numbers what we send. The engine of a link is given a policy and does not know which."""

from typing import Protocol

from remsim.wire.messages.rspro import MAX_OPERATION_TAG, Message


class TagPolicy(Protocol):
    """Gives requests and indications their operation tags. Answers take the tag of their request."""

    def next_tag(self, message: Message) -> int:
        """The tag under which ``message`` is sent now."""
        ...


class LinkTags:
    """Growing tags for one link, from 1, whatever the message; after the largest they start again."""

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        """``last`` is the tag that was used before."""
        self._last = last

    def next_tag(self, message: Message) -> int:  # other policies number some messages apart
        """The tag that follows the one before."""
        self._last = self._last % MAX_OPERATION_TAG + 1
        return self._last
