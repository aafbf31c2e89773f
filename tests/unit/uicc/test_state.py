# SPDX-License-Identifier: Apache-2.0
"""Stored card states."""

import json
from typing import Any

import pytest

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import StateError, UiccState
from tests.doubles.terminal import Terminal, pin


def _used() -> Terminal:
    terminal = Terminal.of()
    terminal.verify("81", "0000")
    terminal.select_usim()
    terminal.sw("00D68B000B" + "01" * 11)
    terminal.sw("0020000A08" + pin("88888888"))
    terminal.select("7FFF/6F7B")
    terminal.sw("0004000000")
    terminal.select("7F10/5F3B/4F48")
    terminal.sw("80DB0080038101AA")
    return terminal


def test_state_comes_back_as_it_was() -> None:
    terminal = _used()
    stored = terminal.uicc.state.to_bytes()
    again = UiccState.from_bytes(stored, terminal.uicc.profile)
    assert again.to_bytes() == stored
    assert again.pins[0x81].tries == 2
    assert set(again.files) == {"3F00/USIM/6F7E"}
    assert again.deactivated == {"3F00/USIM/6F7B"}
    assert again.objects["3F00/7F10/5F3B/4F48"][0x81] == b"\xaa"


def test_fresh_card_stores_no_files() -> None:
    state = UiccState.fresh(load_profile("phone"))
    assert state.files == {}
    assert len(state.to_bytes()) < 1000


def test_revision_grows_only_with_changes() -> None:
    terminal = Terminal.of()
    terminal.select("2FE2")
    terminal.ok("00B000000A")
    assert terminal.uicc.revision == 0
    terminal.verify("81", "0000")
    assert terminal.uicc.revision == 1


def _changed(key: str, value: object) -> bytes:
    values: dict[str, Any] = json.loads(_used().uicc.state.to_bytes())
    values[key] = value
    return json.dumps(values).encode()


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        _changed("format", 2),
        _changed("profile", "phone"),
        _changed("pins", {"01": {}}),
        _changed("pins", {"01": {"pin": 1, "puk": "", "tries": 3, "puk_tries": 3, "enabled": True}}),
        _changed("pins", {"01": {"pin": "", "puk": "", "tries": -3, "puk_tries": 3, "enabled": True}}),
        _changed("seqs", {"x": 1}),
        _changed("files", {"3F00/FFFF": "00"}),
        _changed("files", {"3F00/2FE2": "00"}),
        _changed("files", {"3F00/2FE2": "zz"}),
        _changed("objects", {"3F00/2FE2": {}}),
        _changed("deactivated", "3F00/2FE2"),
        _changed("deactivated", ["3F00/FFFF"]),
    ],
)
def test_unusable_state_is_refused(stored: bytes) -> None:
    with pytest.raises(StateError):
        UiccState.from_bytes(stored, load_profile("default"))
