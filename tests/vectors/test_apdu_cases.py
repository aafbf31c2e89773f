# SPDX-License-Identifier: Apache-2.0
"""Our directions against the verdicts of libosmocore's class tables, with every difference named and meant."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from remsim.card.apdu_case import Direction, decide, look_up
from remsim.card.class_byte import class_byte
from tests.reference import reference

#: Class bytes 0X, 4X and 6X: instructions that the reference lacks, or has another case for. P3 is 02 everywhere.
INTER_INDUSTRY = {
    # P3 that is not 00 counts data that name the file; (DE)ACTIVATE FILE and the like have nothing to fetch.
    **dict.fromkeys((0x04, 0x06, 0x08, 0x0C, 0x0E, 0x0F, 0x12, 0x44, 0xE6, 0xE8, 0xFE), 3),
    **dict.fromkeys((0x21, 0x22, 0x25, 0x2D, 0x48, 0x89, 0xCF, 0xD0, 0xD1, 0xD2, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB), 3),
    **dict.fromkeys((0xDD, 0xDE, 0xDF, 0xE0, 0xE2, 0xE4, 0xEE), 3),
    **dict.fromkeys((0x10, 0x14, 0x2A, 0x2B, 0x2E, 0x2F, 0x33, 0x35, 0x40, 0x41, 0x46, 0x47, 0x82, 0x86, 0x87), 4),
    **dict.fromkeys((0xA0, 0xA1, 0xA5, 0xB1, 0xB3, 0xC2, 0xC3, 0xCB, 0xCD, 0xEA, 0xEB, 0xEC, 0xED), 4),
    **dict.fromkeys((0xC0, 0xCA, 0xCC), 2),
}
#: Class bytes 8X, CX and EX. P1P2 = 0000 names a simple object for GET DATA, and a next block for RETRIEVE DATA.
PROPRIETARY = {
    **dict.fromkeys((0x10, 0x14, 0x22, 0x24, 0x2C, 0xD4), 3),
    **dict.fromkeys((0x2A, 0x2B, 0x2D, 0x46, 0x48, 0x4A, 0x50, 0x76, 0x7A, 0x7C, 0x82, 0x88, 0xB0, 0xB9, 0xC2), 4),
    **dict.fromkeys((0xCD, 0xEA), 4),
    **dict.fromkeys((0x12, 0x84, 0xC0, 0xCA, 0xCB), 2),
}
#: Chained ones, 1X 5X 7X 9X DX FX, of which the reference has none: those of the class without chaining bit that bring
#: data, and GET RESPONSE, which is known in every class.
_DATA_CASES = {3, 4}


def _added(cla: int, stated_plain: dict[str, int]) -> dict[int, int]:
    """What we say beyond the reference, whose verdicts on the class without its chaining bit are ``stated_plain``."""
    nibble = cla >> 4
    if nibble in (0x2, 0x3, 0xA, 0xB):
        return {0xC0: 2}
    ours = PROPRIETARY if nibble & 8 else INTER_INDUSTRY
    if class_byte(cla).is_secured:
        # In secure messaging P3 that is not 00 counts the checksum at least: of GET DATA, and of all that is ISO's.
        questions = {int(ins, 16): case for ins, case in stated_plain.items()} | ours
        from_card = [ins for ins, case in questions.items() if case == 2 and ins != 0xC0 and not nibble & 8]
        ours = ours | dict.fromkeys([*from_card, 0xCA], 4)
    if not nibble & 1:
        return ours
    both = {int(ins, 16): case for ins, case in stated_plain.items()} | ours
    return {ins: case for ins, case in both.items() if case in _DATA_CASES} | {0xC0: 2}


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


@pytest.mark.parametrize("cla", _document()["table"])
def test_every_instruction_has_the_reference_verdict_or_a_named_difference(cla: str) -> None:
    table = _document()["table"]
    stated = table[cla]
    number = int(cla, 16)
    # The reference's table has 6X and EX, but neither 5X nor 7X.
    plain = table.get(f"{number & 0xEF:02x}", {})
    expected = {ins: case for ins, case in _added(number, plain).items() if stated.get(f"{ins:02x}", 0) != case}
    assert dict(_differences(number, stated)) == expected


@pytest.mark.parametrize("entry", _document()["special"], ids=lambda entry: str(entry["header"]))
def test_special_header_has_the_reference_action_or_a_named_difference(entry: dict[str, str]) -> None:
    header = entry["header"]
    expected = DIFFERENT.get(header, _ACTIONS[entry["action"]])
    assert decide(bytes.fromhex(header)).direction is expected
    assert header not in DIFFERENT or DIFFERENT[header] is not _ACTIONS[entry["action"]]


def test_all_verdicts_were_there() -> None:
    assert (len(_document()["table"]), len(_document()["special"])) == (21, 53)
