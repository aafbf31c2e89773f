# SPDX-License-Identifier: Apache-2.0
"""Client and bankd over a link that is cut before, in and after every message, in eleven different manners.

A cut that heals within the hold time is invisible: the modem gets the answers of the uncut run, the card executes each
command once, and no reset is shown. What a reset of the modem makes void is executed once at most. A cut that does not
heal is a card that goes and comes back. Nothing waits for ever.

A part of a message has no effect until the rest comes: ``test_part_of_a_message_does_nothing`` sees to that at every
byte. So wherever a message is cut, the same follows, and each manner cuts it at a few bytes; ``make fuzz`` at all.
"""

from collections import Counter
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import settings

from tests.doubles.cut_parts import CutPipe, LinkFailure, code_each_message_once, frame_sizes
from tests.doubles.cut_world import CutWorld

#: Of the boot of a phone: files, a PIN, authentication, a proactive command. None is a reset.
PHONE: list[bytes | None] = [
    bytes.fromhex("00a40004023f00"),
    bytes.fromhex("00c0000015"),
    None,
    bytes.fromhex("0020000108") + b"1234" + b"\xff" * 4,
    bytes.fromhex("0088008122") + bytes(34),
]
#: Of the boot of an IoT modem: the same card used otherwise, with more than the shortest answers.
IOT: list[bytes | None] = [
    bytes.fromhex("80f2000000"),
    bytes.fromhex("00b2010426"),
    bytes.fromhex("80c2000009d30782020181900100"),
    bytes.fromhex("00d6000004aabbccdd"),
    None,
    bytes.fromhex("8012000010"),
]
#: The link heals within the hold time, and the modem does nothing but wait.
HEALING = [
    LinkFailure.FIN,
    LinkFailure.RST,
    LinkFailure.SILENCE,
    LinkFailure.DELAY,
    LinkFailure.HALF_OPEN_BANKD,
    LinkFailure.HALF_OPEN_CLIENT,
    LinkFailure.REFUSED_TWICE,
    LinkFailure.AGAIN,
]


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> None:
    code_each_message_once(monkeypatch)


def uncut(script: list[bytes | None]) -> CutWorld:
    world = CutWorld(script)
    world.run()
    assert world.is_done()
    assert world.modem.removals == 0
    return world


def places(world: CutWorld, failure: LinkFailure) -> list[tuple[int, bool]]:
    """Where a link may fail: in front of a byte of the uncut run, and right behind each message.

    The latter is earlier in time: the card works on the message meanwhile.
    """
    ends = accumulate(world.chunks)
    starts = accumulate(world.frames, initial=0)
    found = [start + at for start, size in zip(starts, world.frames, strict=False) for at in inside(size, failure)]
    return [*((place, False) for place in [*found, world.delivered]), *((end, True) for end in ends)]


def inside(size: int, failure: LinkFailure) -> set[int]:
    """Where in a message of so many bytes: before it, behind its first byte and before its last, and between.

    The last is another byte for each manner. With ``make fuzz``: everywhere.
    """
    if settings.get_current_profile_name() == "long":
        return set(range(size))
    manners = list(LinkFailure)
    return {0, 1, 2 + (size - 3) * manners.index(failure) // len(manners), size - 1}


def commands(script: list[bytes | None]) -> Counter[bytes]:
    return Counter(command for command in script if command is not None)


def check_invisible(world: CutWorld, like: CutWorld) -> None:
    assert world.is_done()
    assert world.modem.answers == like.modem.answers
    assert world.card.executed == like.card.executed
    assert (world.modem.insertions, world.modem.removals) == (1, 0)


def check_reset(world: CutWorld, script: list[bytes | None]) -> None:
    """The modem has reset its card by itself: at most one command is void."""
    assert world.is_done()
    assert (world.modem.insertions, world.modem.removals) == (1, 0)
    void = [number for number, answer in world.modem.answers.items() if answer == "void"]
    assert len(void) <= 1
    executed = Counter(world.card.executed)
    for number, command in enumerate(script):
        if command is not None:
            assert executed[command] <= 1
            assert number in void or executed[command] == 1
            assert number in void or isinstance(world.modem.answers[number], bytes)


def check_visible(world: CutWorld, script: list[bytes | None]) -> None:
    """The card has gone and come back, and the modem went on with what it had not asked for yet."""
    assert world.is_done()
    assert world.modem.has_card
    assert world.modem.insertions == world.modem.removals + 1 <= 2
    executed = Counter(world.card.executed)
    assert all(executed[command] <= number for command, number in commands(script).items())
    lost = [answer for answer in world.modem.answers.values() if isinstance(answer, str)]
    assert len(lost) <= world.modem.removals
    assert len(world.modem.answers) == commands(script).total()


class PiecemealWorld(CutWorld):
    """Every byte arrives alone."""

    def _receive(self, pipe: CutPipe, data: bytes, *, is_to_bank: bool) -> None:
        for size in frame_sizes(data):
            *parts, last = (bytes((byte,)) for byte in data[:size])
            data = data[size:]
            before = self._seen()
            for part in parts:
                self._hand_over(pipe, part, is_to_bank=is_to_bank)
                assert self._seen() == before
            self._hand_over(pipe, last, is_to_bank=is_to_bank)

    def _seen(self) -> tuple[object, ...]:
        """All that anybody would notice."""
        waiting = [(list(pipe.to_bank), list(pipe.to_client), pipe.client_is_up) for pipe in self.pipes]
        return waiting, len(self.log), len(self.card.executed), sorted(self._deadlines()), self.modem.awaited


@pytest.mark.parametrize("script", [PHONE, IOT], ids=["phone", "iot"])
def test_part_of_a_message_does_nothing(script: list[bytes | None]) -> None:
    like, world = uncut(script), PiecemealWorld(script)
    world.run()
    check_invisible(world, like)
    assert (world.states, world.frames, world.log) == (like.states, like.frames, like.log)


@pytest.mark.parametrize("failure", LinkFailure, ids=lambda failure: failure.name.lower())
@pytest.mark.parametrize("script", [PHONE, IOT], ids=["phone", "iot"])
def test_cut_anywhere(
    script: list[bytes | None], failure: LinkFailure, record_property: Callable[[str, object], None]
) -> None:
    like = uncut(script)
    states: set[tuple[object, ...]] = set()
    found = places(like, failure)
    for place, is_behind in found:
        world = CutWorld(script, failure=failure, cut_at=place, is_behind=is_behind)
        is_good = False
        try:
            world.run()
            if failure in HEALING:
                check_invisible(world, like)
            elif failure is LinkFailure.MODEM_RESET:
                check_reset(world, script)
            else:
                check_visible(world, script)
            is_good = True
        finally:
            if not is_good:
                print(f"cut in front of byte {place}, {is_behind=}", *world.log, sep="\n")  # noqa: T201  # shown by pytest on failure
        states |= world.states
    record_property("cases", len(found))
    record_property("states", len(states))
    print(f"{failure.name}: {len(found)} cases, {len(states)} states")  # noqa: T201  # shown with -s
