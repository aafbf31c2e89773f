# SPDX-License-Identifier: Apache-2.0
"""Tags of one link."""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.tags import LinkTags
from remsim.wire.messages import rspro

MESSAGE = rspro.CreateMappingReq(ClientSlot(1, 0), BankSlot(1, 2))


def test_tags_grow_from_one() -> None:
    tags = LinkTags()
    assert [tags.next_tag(MESSAGE) for _ in range(3)] == [1, 2, 3]


def test_tags_start_again_after_the_largest() -> None:
    tags = LinkTags(rspro.MAX_OPERATION_TAG - 1)
    assert [tags.next_tag(MESSAGE) for _ in range(3)] == [rspro.MAX_OPERATION_TAG, 1, 2]
