# SPDX-License-Identifier: Apache-2.0
"""Operation tags: who numbers what we send. The engine of a link is given a policy and does not know which."""

from typing import Final, Protocol

from remsim.wire.messages.rspro import MAX_OPERATION_TAG, Message, TpduModemToCard

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

    On the first link they are those of ``LinkTags``. An operation is numbered beforehand (``number``), and a command
    keeps its tag if it is sent again. All else that is sent takes a tag, too, so there are gaps.
    """

    __slots__ = ("_command", "_command_tag", "_last", "_numbered")

    def __init__(self) -> None:
        self._last = 0
        # The newest command, and its tag.
        self._command: Message | None = None
        self._command_tag = 0
        # Other messages that are about to be sent, by identity: two that are equal are two operations.
        self._numbered: dict[int, tuple[Message, int]] = {}

    def number_command(self, command: TpduModemToCard) -> int:
        """The tag of a command that is about to be sent, maybe for the second time."""
        if command is not self._command:
            self._last = self._command_tag = self._last % MAX_OPERATION_TAG + 1
            self._command = command
        return self._command_tag

    def number(self, message: Message) -> int:
        """The tag of another operation, which is about to be sent once."""
        self._last = tag = self._last % MAX_OPERATION_TAG + 1
        self._numbered[id(message)] = message, tag
        return tag

    def next_tag(self, message: Message) -> int:
        """The tag that ``message`` was given, or the next one."""
        if message is self._command:
            return self._command_tag
        found = self._numbered.pop(id(message), None) if self._numbered else None
        if found is not None:
            return found[1]
        self._last = self._last % MAX_OPERATION_TAG + 1
        return self._last

    def begin_link(self) -> None:
        """There is another link: what was not sent over the last one is not sent any more."""
        self._numbered.clear()

    def restart(self) -> None:
        """The session is over: the next one begins as on a first link."""
        self._last, self._command, self._command_tag = 0, None, 0
        self._numbered.clear()
