# SPDX-License-Identifier: Apache-2.0
"""Proactive commands, byte by byte."""

import pytest

from remsim.uicc.proactive import display_text, encode_profile_command, menu_items
from remsim.uicc.profile.fields import Fields


def _encode(values: dict[str, object]) -> str:
    entry = Fields(values, "entry")
    items = menu_items(entry)
    command = encode_profile_command(1, entry, items)
    entry.finish()
    return command.hex().upper()


@pytest.mark.parametrize(
    ("values", "command"),
    [
        (
            {"command": "set-up-event-list", "events": ["location-status", "idle-screen-available"]},
            "D00D" + "8103010500" + "82028182" + "99020305",
        ),
        ({"command": "poll-interval", "seconds": 30}, "D00D" + "8103010300" + "82028182" + "8402011E"),
        (
            {"command": "set-up-menu", "title": "T", "items": [{"title": "a"}, {"title": "b", "text": "long"}]},
            "D014" + "8103012500" + "82028182" + "850154" + "8F020161" + "8F020262",
        ),
    ],
)
def test_command_is_encoded(values: dict[str, object], command: str) -> None:
    assert _encode(values) == command


def test_text_to_display_is_eight_bit() -> None:
    assert display_text(3, "Hi").hex().upper() == "D00E" + "8103032180" + "82028102" + "8D03044869"
