# SPDX-License-Identifier: Apache-2.0
"""What a command is called at both ends."""

import pytest

from remsim.trace.outlet import command_id_text
from remsim.trace.tap import NO_ID, CommandId


@pytest.mark.parametrize(
    ("slot", "command_id", "text"),
    [
        ("B1:3", CommandId(bytes.fromhex("0a1b2c3d4e5f"), 17), "0a1b2c3d4e5f-17"),
        ("B1:3", CommandId(bytes.fromhex("0a1b2c3d4e5f"), 17, 2), "0a1b2c3d4e5f-17+2"),
        ("B1:3", CommandId(b"", 17), "B1:3-17"),
        ("", CommandId(b"", 17), ""),
        ("B1:3", NO_ID, ""),
    ],
)
def test_name_is_that_of_the_session_or_else_of_the_bank_slot(slot: str, command_id: CommandId, text: str) -> None:
    assert command_id_text(slot, command_id) == text
