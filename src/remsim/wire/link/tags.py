# SPDX-License-Identifier: Apache-2.0
"""Operation tags: who numbers what we send. The engine of a link is given a policy and does not know which."""

from typing import Final, Protocol

from remsim.wire.messages.rspro import MAX_OPERATION_TAG, Message

#: Of two tags, the newer one is less than half of all tags ahead (RFC 1982, 3.2).
HALF_OF_TAGS: Final = MAX_OPERATION_TAG // 2


def is_newer(tag: int, than: int) -> bool:
    """Whether ``tag`` was given after ``than``. Never true for two that are equal."""
    return 0 < (tag - than) % MAX_OPERATION_TAG < HALF_OF_TAGS


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


class SessionTags:
    """Tags that grow over all links of a card session (ability ``resume.1``), for one direction.

    On the first link they are those of ``LinkTags``. An operation that is numbered beforehand (``number``) keeps its
    tag however often it is sent; all else that is sent in between takes a tag, too, so there are gaps.
    """

    __slots__ = ("_message", "_numbered", "_tags")

    def __init__(self) -> None:
        self._tags = LinkTags()
        self._message: Message | None = None
        self._numbered = 0

    def number(self, message: Message) -> int:
        """The tag of an operation that is about to be sent, maybe for the second time."""
        if message is not self._message:
            self._message, self._numbered = message, self._tags.next_tag(message)
        return self._numbered

    def next_tag(self, message: Message) -> int:
        """The tag that ``message`` was given, or the next one."""
        return self._numbered if message is self._message else self._tags.next_tag(message)

    def restart(self) -> None:
        """The session is over: the next one begins as on a first link."""
        self._tags, self._message, self._numbered = LinkTags(), None, 0
