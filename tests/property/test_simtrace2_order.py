# SPDX-License-Identifier: Apache-2.0
"""A host that stands still while the modem resets its card, and then reads both IN endpoints in any order.

The device's reports of the lines and its commands are each in order; how the one lie between the other is drawn. The
modem is a real one: it waits for the answer to its command, and goes on only with that.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.reset import ResetKind
from remsim.emulators.simtrace2.actions import Action, DropUnsent, FactKind, SendBulk
from remsim.emulators.simtrace2.messages import StatusRequest
from remsim.emulators.simtrace2.order import SETTLE_S
from remsim.emulators.simtrace2.stream import encode_transfer
from remsim.emulators.simtrace2.transfers import BULK_TRANSFERS, INTERRUPT_TRANSFERS
from tests.doubles.simtrace2_world import StoppedError, World
from tests.doubles.virtual_modem import VirtualModem

#: Class and type of what the modem sent.
HEADER: Final = bytes((1, 6))
ATR: Final = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
READ: Final = bytes.fromhex("00b0000002")
UPDATE: Final = bytes.fromhex("00d60000030a0b0c")
REFUSED: Final = bytes.fromhex("80e0000010")
OLD: Final = bytes.fromhex("00b2000004")


def card(tpdu: bytes) -> bytes:
    """The card behind the host: says in its answer which command it was."""
    return (bytes((tpdu[1],)) * tpdu[4] if len(tpdu) == 5 else b"") + b"\x90\x00"


@dataclass
class StandstillWorld(World):
    """The kernel fills the transfers that are queued; the rest waits in the device, which keeps little."""

    #: The host does nothing before.
    stands_until: float = 0.0
    #: Which endpoint is read next, while both have something: True is bulk IN. At the end, in the order of the bus.
    picks: deque[bool] = field(default_factory=deque)
    #: What the far side saw.
    seen: list[object] = field(default_factory=list)
    #: The card answers before the next message is read.
    is_quick: bool = False
    #: The device takes messages only when all of its own have been read.
    is_slow: bool = False
    #: A request for the status, sent long before, reaches the device right behind the next header.
    has_asked: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.transmit = self._transmit
        self.on_reset = self.seen.append
        #: Messages in transfers that have ended, in the order of the bus: whether it was bulk IN, and the message.
        self._ended: list[tuple[bool, bytes]] = []
        self._outs: deque[SendBulk] = deque()

    def _transmit(self, tpdu: bytes) -> bytes:
        self.seen.append(tpdu)
        return card(tpdu)

    def _fill(self) -> None:
        for is_bulk, queue, count in (
            (False, self.slot.interrupt, INTERRUPT_TRANSFERS),
            (True, self.slot.bulk, BULK_TRANSFERS),
        ):
            while sum(kind is is_bulk for kind, _ in self._ended) < count and (message := queue.take()) is not None:
                self._ended.append((is_bulk, message))
                if self.has_asked and self.stands_until and message[:2] == HEADER:
                    self.has_asked = False
                    self.slot.host_out(encode_transfer(StatusRequest()).data)

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendBulk():
                    self._outs.append(action)
                case DropUnsent(generation):
                    self._outs = deque(out for out in self._outs if out.generation != generation)
                case _:
                    super().perform([action])
        if not self.is_slow or not self._ended:
            self._send_all()

    def _send_all(self) -> None:
        while self._outs:
            super().perform([self._outs.popleft()])

    def read_all(self) -> None:
        self._fill()
        while self._ended and self.now >= self.stands_until:
            has_both = len({is_bulk for is_bulk, _ in self._ended}) == 2
            wanted = self.picks.popleft() if has_both and self.picks else self._ended[0][0]
            at = next(at for at, (is_bulk, _) in enumerate(self._ended) if is_bulk is wanted)
            is_bulk, message = self._ended.pop(at)
            self.hear(message, is_bulk=is_bulk)
            if self.is_quick:
                super().do_due()
            self._fill()
        if self.now >= self.stands_until:
            self._send_all()

    def do_due(self) -> None:
        if self.now >= self.stands_until:
            super().do_due()

    def host_at(self) -> float | None:
        due = super().host_at()
        if self.now >= self.stands_until:
            return due
        return None if self.stands_until == inf else self.stands_until


@dataclass
class Story:
    """What happens before the host stands still, and while it does."""

    world: StandstillWorld
    modem: VirtualModem
    #: What the modem did last before: nothing, or a command that was answered, or one that was not.
    before: str
    is_cold: bool

    def tell(self, tpdu: bytes, picks: list[bool]) -> bytes:
        """Return the modem's answer to ``tpdu``, the first command after the reset."""
        world, modem = self.world, self.modem
        world.insert(ATR)
        if self.before != "off":
            world.run(modem.cold_reset())
            self._command_before()
        del world.seen[:]
        world.facts.clear()
        world.stands_until = inf
        world.run(modem.cold_reset() if self.is_cold else modem.warm_reset())
        world.stands_until = world.now + 0.05
        world.picks.extend(picks)
        return world.run(modem.exchange(tpdu))

    def _command_before(self) -> None:
        if self.before == "answered":
            self.world.run(self.modem.exchange(OLD))
        elif self.before == "waiting":
            self.world.card_delay_s = inf
            with pytest.raises(StoppedError):
                self.world.run(self.modem.exchange(OLD), stop_after=5)
            self.world.card_delay_s = 0.0


@st.composite
def stories(draw: st.DrawFn) -> Story:
    world = StandstillWorld(
        card,
        lambda _kind: None,
        is_quick=draw(st.booleans()),
        is_slow=draw(st.booleans()),
        has_asked=draw(st.booleans()),
    )
    return Story(
        world,
        VirtualModem(fastest=draw(st.sampled_from([None, 0x96]))),
        before=draw(st.sampled_from(["off", "idle", "answered", "waiting"])),
        is_cold=draw(st.booleans()),
    )


def expected(tpdu: bytes) -> bytes:
    return bytes.fromhex("6d00") if tpdu == REFUSED else card(tpdu)


COMMANDS: Final = st.sampled_from([READ, UPDATE, REFUSED])


@given(stories(), COMMANDS, st.lists(st.booleans(), max_size=16))
def test_modem_gets_its_answer_whatever_the_order_of_the_endpoints(
    story: Story, tpdu: bytes, picks: list[bool]
) -> None:
    assert story.tell(tpdu, picks) == expected(tpdu)
    world = story.world
    assert story.modem.nulls < 2 * SETTLE_S + 3
    if not world.is_quick and tpdu != REFUSED:
        # The card behind sees the reset, and then the command.
        assert world.seen[-1] == tpdu
    assert world.run(story.modem.exchange(READ)) == card(READ)
    assert world.slot.violations == []


@given(stories(), COMMANDS)
def test_order_of_the_bus_is_kept_although_the_host_stood_still(story: Story, tpdu: bytes) -> None:
    assert story.tell(tpdu, []) == expected(tpdu)
    kinds = {fact.kind for fact in story.world.facts}
    assert not kinds & {FactKind.COMMAND_IN_DOUBT, FactKind.COMMAND_RESUMED, FactKind.COMMAND_REPLACED}
    kind = ResetKind.COLD if story.is_cold or story.before == "off" else ResetKind.WARM
    assert story.world.seen == [kind, *([] if tpdu == REFUSED else [tpdu])]
