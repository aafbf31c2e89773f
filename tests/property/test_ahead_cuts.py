# SPDX-License-Identifier: Apache-2.0
"""Answers ahead between the real coordinators, over a link that is cut before, in and after every message.

The card is the software UICC. What the modem sees, and what the card keeps, is as without any of it.
"""

from itertools import accumulate
from typing import Final

import pytest

from remsim.ahead.bank_side import AheadSession, symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import Library, Pair
from remsim.bankd.core.ahead import AheadPolicy
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import EagerPace, SurePredictor, profile
from tests.doubles.cut_parts import CountingCard, LinkFailure, code_each_message_once
from tests.doubles.cut_world import CutWorld
from tests.property.test_cuts import HEALING

#: Files are selected and read, a PIN is tried, a file is written, the card is challenged and read again.
SCRIPT: Final[list[bytes | None]] = [
    bytes.fromhex(command)
    for command in (
        *("00a40004023f00", "00c0000035", "00a40804022fe2", "00c000001f", "00b000000a"),
        *("00a404040ca0000000871002ff49ffff89", "00c000003b", "00a40804047fff6f07", "00c0000022", "00b0000009"),
        *("002000010831323334ffffffff", "00d68b000100", "00b08b000b", "00b0870009", "80f2000c00", "00a40004023f00"),
    )
]
COMMANDS: Final = [command for command in SCRIPT if command is not None]
#: What another modem sends: half of it is wrong.
OTHERS: Final = [
    *COMMANDS[:4],
    bytes.fromhex("00a40804022f00"),
    *COMMANDS[5:8],
    bytes.fromhex("00b0830004"),
    *COMMANDS[9:12],
    bytes.fromhex("00a40804047fff6fad"),
]


class UiccCard(CountingCard):
    """The software UICC in the place of the card that counts."""

    uicc: Uicc

    def execute(self, tpdu: bytes) -> bytes:
        """Do it."""
        self.executed.append(tpdu)
        return self.uicc.transmit(tpdu)

    def reset(self) -> None:
        """Power it up, for the first time or again."""
        self.resets += 1
        if not hasattr(self, "uicc"):
            self.uicc = Uicc(profile("iot-modem"))
        self.uicc.cold_reset()


class SurePace(EagerPace):
    """Guesses at any distance."""

    def pays(self, share: float) -> bool:
        """Always."""
        return True


class SurePolicy(AheadPolicy):
    """Guesses whatever may be guessed, at any distance."""

    def session(self, pair: Pair) -> AheadSession:
        """Of one recording."""
        session = AheadSession(SurePredictor([ContextModel([symbols(self.recording)])]), round_trip=1.0)
        session.pace = SurePace(1.0)
        session.pace.gain = 1e9
        return session

    recording: list[bytes]


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> None:
    code_each_message_once(monkeypatch)


def _world(recording: list[bytes], **options: object) -> CutWorld:
    policy = SurePolicy(Library())
    policy.recording = recording
    return CutWorld(SCRIPT, ahead=policy, card=UiccCard, **options)  # type: ignore[arg-type]


def _played(script: list[bytes]) -> tuple[list[bytes], bytes]:
    """What the modem sees without any of it, and what the card keeps."""
    card = Uicc(profile("iot-modem"))
    return [card.transmit(command) for command in script], card.state.to_bytes()


def _check(world: CutWorld) -> None:
    answers, state = _played(COMMANDS)
    assert world.is_done()
    assert [world.modem.answers[at] for at in range(len(SCRIPT))] == answers
    assert isinstance(world.card, UiccCard)
    assert world.card.uicc.state.to_bytes() == state
    assert (world.modem.insertions, world.modem.removals) == (1, 0)
    writes = [command for command in world.card.executed if command[1] in (0x20, 0xD6) and len(command) > 5]
    assert len(writes) == 2


@pytest.mark.parametrize("recording", [COMMANDS, OTHERS], ids=["right", "half-wrong"])
def test_without_a_cut_the_modem_sees_the_same_and_waits_less(recording: list[bytes]) -> None:
    world = _world(recording)
    world.run()
    _check(world)
    assert world.bank.counts.ahead_hits >= (6 if recording is COMMANDS else 3)
    assert world.client.ahead.hits >= 3


@pytest.mark.parametrize(
    ("recording", "failure"),
    [(OTHERS, failure) for failure in HEALING] + [(COMMANDS, LinkFailure.RST), (COMMANDS, LinkFailure.SILENCE)],
    ids=lambda value: value.name.lower() if isinstance(value, LinkFailure) else "wrong" if value is OTHERS else "right",
)
def test_cut_anywhere(recording: list[bytes], failure: LinkFailure) -> None:
    like = _world(recording)
    like.run()
    ends = list(accumulate(like.chunks))
    # In turn: in front of a message, behind it, and within it.
    manners = ((0, False), (0, True), (-1, False))
    places = [(end + manners[at % 3][0], manners[at % 3][1]) for at, end in enumerate(ends)]
    for place, is_behind in places:
        world = _world(recording, failure=failure, cut_at=place, is_behind=is_behind)
        world.run()
        try:
            _check(world)
        except AssertionError as error:
            error.add_note(f"cut at byte {place}, {is_behind=}")
            raise
