# SPDX-License-Identifier: Apache-2.0
"""Our directions against the verdicts of libosmocore's class tables, with every difference named and meant."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from remsim.card.apdu_case import Direction, decide
from remsim.card.apdu_case_tables import look_up
from tests.reference import reference

#: Commands that those tables lack (CLA high nibble, INS) and odd AUTHENTICATE, whose blocks differ.
ADDED = {
    **{(nibble, 0xC0): 2 for nibble in range(16)},
    **{(nibble, ins): case for nibble in (0x0, 0x4, 0x6) for ins, case in ((0x82, 3), (0x22, 3), (0xCB, 4), (0xC2, 4))},
    **{(nibble, 0xCA): 2 for nibble in (0x0, 0x4, 0x6)},
    **{(nibble, 0x89): 3 for nibble in (0x0, 0x4, 0x6)},
    **{(n, ins): 3 for n in (0x0, 0x4) for ins in (0xE0, 0xE4, 0xE6, 0xE8, 0xFE)},
    **{(n, ins): case for n in (0x8, 0xC, 0xE) for ins, case in ((0x50, 4), (0x82, 3), (0x2A, 4), (0xD4, 3))},
    # P1P2 = 0000 names a simple object for GET DATA, and a next block for RETRIEVE DATA.
    **{(nibble, ins): 2 for nibble in (0x8, 0xC, 0xE) for ins in (0xCA, 0xCB)},
}

#: Headers on which we differ from them, with our direction.
DIFFERENT = {
    "80ca9f7f2d": Direction.FORWARD,  # production data with an exact Le
    "81cadf200b": Direction.FORWARD,  # a simple object; behind 6C0B it is one in any case
    "80cb000003": Direction.FORWARD,  # RETRIEVE DATA, next block
    "c0cb000003": Direction.FORWARD,
    "c0f2400002": Direction.RECEIVE,  # GET STATUS on channels above 3
    "e0f2400002": Direction.RECEIVE,
    "0073014002": Direction.RECEIVE,  # MANAGE SECURE CHANNEL, read as pySim does
    "0073016002": Direction.FORWARD,
    "01ca7f6800": Direction.FORWARD,
    "00cb3fff03": Direction.RECEIVE,
    "8050000008": Direction.RECEIVE,  # INITIALIZE UPDATE
    "8482000010": Direction.RECEIVE,  # EXTERNAL AUTHENTICATE
    "00e0000010": Direction.RECEIVE,  # CREATE FILE
    "80d4000004": Direction.RECEIVE,  # RESIZE FILE
}

_ACTIONS = {
    "forward to card": Direction.FORWARD,
    "ask phone for data": Direction.RECEIVE,
    "unknown": Direction.REFUSE,
}


def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reference("vectors", "simtrace2", "apdu-cases.json").read_text(encoding="utf-8"))
    return found


def _differences(cla: int, stated: dict[str, int]) -> Iterator[tuple[int, int | None]]:
    for ins in range(256):
        case = look_up(bytes((cla, ins, 0, 0, 2)))
        if (case or 0) != stated.get(f"{ins:02x}", 0):
            yield ins, case


@pytest.mark.parametrize(("cla", "stated"), _document()["table"].items())
def test_every_instruction_has_the_reference_verdict_or_a_named_difference(cla: str, stated: dict[str, int]) -> None:
    number = int(cla, 16)
    expected = {
        ins: case
        for (nibble, ins), case in ADDED.items()
        if nibble == number >> 4 and stated.get(f"{ins:02x}", 0) != case and (nibble != 0xA or ins == 0xC0)
    }
    assert dict(_differences(number, stated)) == expected


@pytest.mark.parametrize("entry", _document()["special"], ids=lambda entry: str(entry["header"]))
def test_special_header_has_the_reference_action_or_a_named_difference(entry: dict[str, str]) -> None:
    header = entry["header"]
    expected = DIFFERENT.get(header, _ACTIONS[entry["action"]])
    assert decide(bytes.fromhex(header)).direction is expected
    assert header not in DIFFERENT or DIFFERENT[header] is not _ACTIONS[entry["action"]]


def test_all_verdicts_were_there() -> None:
    assert (len(_document()["table"]), len(_document()["special"])) == (21, 53)
