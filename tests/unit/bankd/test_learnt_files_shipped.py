# SPDX-License-Identifier: Apache-2.0
"""The recorded starts that every bank begins with: what they hold, and what they are good for."""

import random
from importlib import resources
from typing import Final

import pytest

from bench.boot_clock import changed, play
from remsim.ahead.bank_side import AheadSession, symbols
from remsim.ahead.library import Library, Pair
from remsim.bankd.core.ahead import AheadPolicy
from remsim.bankd.learnt_files import shipped_recordings
from remsim.core.ids import BankSlot, ClientSlot
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import TRACES, profile, recorded
from tests.doubles.secrets_hunt import swapped

_FAR_S: Final = 0.3
#: What is shorter may stand in a header or a path by accident.
_TELLING: Final = 5


def _session() -> AheadSession:
    """Of a card that this bank has never seen, with a modem that it has never seen."""
    library = Library(shipped_recordings())
    pair = Pair(BankSlot(1, 0), ClientSlot(7, 0), bytes.fromhex("3b9f96801f"))
    assert not library.knows(pair)
    return AheadPolicy(library).session(pair)


def test_they_are_the_recorded_starts() -> None:
    assert shipped_recordings() == [symbols(recorded(trace)) for trace in TRACES]


@pytest.mark.parametrize("trace", TRACES)
def test_card_that_was_never_seen_starts_twice_as_fast(trace: str) -> None:
    alone = play(trace, recorded(trace), None, _FAR_S)
    ahead = play(trace, recorded(trace), _session(), _FAR_S)
    assert ahead.answers == alone.answers
    assert alone.finished_at >= 2 * ahead.finished_at


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("trace", TRACES)
def test_another_modem_of_the_same_kind_starts_twice_as_fast(trace: str, seed: int) -> None:
    commands = changed(recorded(trace), random.Random(seed))
    alone = play(trace, commands, None, _FAR_S)
    ahead = play(trace, commands, _session(), _FAR_S)
    assert ahead.answers == alone.answers
    assert alone.finished_at >= 2 * ahead.finished_at


def test_they_hold_no_contents_and_no_identity() -> None:
    """Nothing that a card answered, nothing that a modem wrote, no number of the profiles' cards is in the file."""
    text = resources.files("remsim.ahead").joinpath("shipped.txt").read_bytes()
    lines = [line for line in text.decode("ascii").splitlines() if not line.startswith("#")]
    shipped = [[bytes.fromhex(symbol) for symbol in line.split()] for line in lines]
    held = b"\n".join(symbol for recording in shipped for symbol in recording)
    looked_for: set[bytes] = set()
    for trace in TRACES:
        card, identity = Uicc(profile(trace)), profile(trace).identity
        looked_for |= {swapped(digits) for digits in (identity.imsi, identity.iccid, identity.msisdn) if digits}
        for command in recorded(trace):
            looked_for.add(card.transmit(command)[:-2])
            if command[1] != 0xA4:
                looked_for.add(command[5:])
    assert len(looked_for) > 50
    found = {content.hex() for content in looked_for if len(content) >= _TELLING and content in held}
    assert not found


def test_every_longer_symbol_names_a_file_an_application_or_a_tag() -> None:
    for recording in shipped_recordings():
        for symbol in recording:
            # SELECT; SEARCH RECORD with a file identifier, a tag, or what unused records are filled with.
            assert len(symbol) == 5 or symbol[1] == 0xA4 or (symbol[1] == 0xA2 and len(symbol) <= 7)
