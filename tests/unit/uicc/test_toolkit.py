# SPDX-License-Identifier: Apache-2.0
"""The conversation about proactive commands."""

from remsim.uicc.profile.model import MenuItem, ToolkitProfile
from remsim.uicc.toolkit import Conversation

_TOOLKIT = ToolkitProfile((b"\xd0\x01\x00", b"\xd0\x00"), (MenuItem(1, "one", ""), MenuItem(2, "two", "chosen")))


def test_one_command_is_under_way_at_a_time() -> None:
    conversation = Conversation(_TOOLKIT)
    assert conversation.success_sw == 0x9000
    conversation.on_terminal_profile()
    assert conversation.success_sw == 0x9103
    assert conversation.pending == b"\xd0\x01\x00"
    conversation.on_fetched()
    assert [conversation.pending, conversation.success_sw] == [None, 0x9000]
    assert conversation.on_terminal_response()
    assert conversation.success_sw == 0x9102
    assert not conversation.on_terminal_response()


def test_new_terminal_profile_begins_again() -> None:
    conversation = Conversation(_TOOLKIT)
    conversation.on_terminal_profile()
    conversation.on_fetched()
    conversation.on_terminal_profile()
    assert conversation.success_sw == 0x9103
    conversation.reset()
    assert conversation.success_sw == 0x9000


def test_menu_item_without_text_displays_nothing() -> None:
    conversation = Conversation(_TOOLKIT)
    conversation.on_envelope(bytes.fromhex("D30782020181900101"))
    assert conversation.pending is None
    conversation.on_envelope(bytes.fromhex("D30782020181900102"))
    assert conversation.pending is not None
