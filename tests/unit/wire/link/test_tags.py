# SPDX-License-Identifier: Apache-2.0
"""Tags of one link."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.tags import LinkTags, SessionTags, is_newer
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import MAX_OPERATION_TAG

MESSAGE = rspro.CreateMappingReq(ClientSlot(1, 0), BankSlot(1, 2))


def test_tags_grow_from_one() -> None:
    tags = LinkTags()
    assert [tags.next_tag(MESSAGE) for _ in range(3)] == [1, 2, 3]


def test_tags_start_again_after_the_largest() -> None:
    tags = LinkTags(rspro.MAX_OPERATION_TAG - 1)
    assert [tags.next_tag(MESSAGE) for _ in range(3)] == [rspro.MAX_OPERATION_TAG, 1, 2]


@pytest.mark.parametrize(
    ("tag", "than", "expected"),
    [
        (2, 1, True),
        (1, 2, False),
        (1, 1, False),
        (MAX_OPERATION_TAG, MAX_OPERATION_TAG, False),
        (1, MAX_OPERATION_TAG, True),
        (MAX_OPERATION_TAG, 1, False),
        (1000, MAX_OPERATION_TAG - 5, True),
    ],
)
def test_newer_tag_is_known_across_the_wrap(tag: int, than: int, expected: bool) -> None:
    assert is_newer(tag, than) is expected


def test_tags_of_a_session_are_those_of_a_link_on_the_first_one() -> None:
    tags, of_link = SessionTags(), LinkTags()
    for _ in range(3):
        message = rspro.CreateMappingReq(ClientSlot(1, 0), BankSlot(1, 2))
        assert tags.next_tag(message) == of_link.next_tag(message)


def command() -> rspro.TpduModemToCard:
    return rspro.TpduModemToCard(ClientSlot(1, 0), BankSlot(1, 2), rspro.NO_FLAGS, bytes(5))


def test_command_keeps_its_tag_on_the_next_link() -> None:
    tags, sent = SessionTags(), command()
    tags.next_tag(MESSAGE)
    assert tags.number_command(sent) == tags.next_tag(sent) == 2
    tags.begin_link()
    # The connect request of the next link.
    assert tags.next_tag(MESSAGE) == 3
    assert tags.number_command(sent) == tags.next_tag(sent) == 2
    assert tags.number_command(command()) == 4, "the same bytes are another operation"


def test_operations_are_numbered_before_any_of_them_is_sent() -> None:
    tags, last = SessionTags(), command()
    first, second = (rspro.CreateMappingReq(ClientSlot(1, 0), BankSlot(1, 2)) for _ in range(2))
    assert (tags.number(first), tags.number(second), tags.number_command(last)) == (1, 2, 3)
    assert [tags.next_tag(message) for message in (first, second, last)] == [1, 2, 3]
    assert tags.next_tag(first) == 4, "sent once more, it is another operation"


def test_next_session_begins_as_on_a_first_link() -> None:
    tags = SessionTags()
    tags.number_command(command())
    tags.restart()
    assert tags.next_tag(MESSAGE) == 1
