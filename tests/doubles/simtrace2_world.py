# SPDX-License-Identifier: Apache-2.0
"""A modem, a virtual SIMtrace2, our host and a card in one room, with a clock that only this room moves.

Characters take their twelve etu, USB messages are read when the modem waits, the card answers after its delay. What
happens next is always the earliest of: device's timer, host's deadline, card's answer, modem's patience.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from remsim.card.reset import ResetKind
from remsim.emulators.simtrace2.actions import Action, DropUnsent, Fact, ForwardTpdu, SendBulk, ShowLines, ShowSpeed
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.card import SimtraceCard
from remsim.emulators.simtrace2.stream import MessageReader, StreamFault, encode_transfer
from tests.doubles.simtrace2_device import InQueue, VirtualSimtrace2, packets_of
from tests.doubles.virtual_modem import Get, Op, Pause, Procedure, Put, SetLines

_CLOCK_HZ = 3_570_000
_T = TypeVar("_T")


class StoppedError(Exception):
    """The modem was stopped in the middle of a procedure, after the wanted number of characters."""


@dataclass
class World:
    """``transmit`` is the card: a TPDU in, data and status word out; ``on_reset`` tells it about resets."""

    transmit: Callable[[bytes], bytes]
    on_reset: Callable[[ResetKind], object]
    board: str = "simtrace"
    card_delay_s: float = 0.0
    #: Read bulk IN before the interrupt endpoint.
    is_bulk_first: bool = False
    is_one_message: bool = True
    now: float = 100.0
    characters: int = 0
    #: Stop the modem when this many characters have passed.
    stop_after: int | None = None
    facts: list[Fact] = field(default_factory=list)
    speeds: list[ShowSpeed] = field(default_factory=list)
    resets: list[ResetKind] = field(default_factory=list)
    tpdus: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = VirtualSimtrace2(self.board)
        self.slot = self.device.slots[0]
        self.card = SimtraceCard(BOARDS[self.device.kind.product_id], is_one_message=self.is_one_message)
        self._bulk_reader = MessageReader()
        self._interrupt_reader = MessageReader()
        self._answers: list[tuple[float, int, bytes]] = []
        self._last_character_at = self.now

    def insert(self, atr: bytes) -> None:
        """Start the host and put the card in, as a client does when its bank has one."""
        self.perform(self.card.start(self.now))
        self.pump()
        self.perform(self.card.select_sim(self.now, is_remote=True))
        self.perform(self.card.set_atr(atr, self.now))
        self.perform(self.card.insert_card(self.now))
        self.perform(self.card.reset_modem(self.now))
        self.pump()

    # Host

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendBulk(message, generation):
                    transfer = encode_transfer(message)
                    self.slot.host_out(transfer.data, has_zero_packet=transfer.has_zero_packet)
                    if generation is not None:
                        self.card.on_sent(generation)
                case ForwardTpdu(generation, tpdu):
                    self.tpdus.append(tpdu)
                    self._answers.append((self.now + self.card_delay_s, generation, self.transmit(tpdu)))
                case ShowLines(_, ResetKind() as kind):
                    self.resets.append(kind)
                    self.on_reset(kind)
                case ShowSpeed():
                    self.speeds.append(action)
                case Fact():
                    self.facts.append(action)
                case DropUnsent():
                    raise AssertionError("the virtual device takes every transfer at once")

    def _read(self, queue: InQueue, reader: MessageReader) -> bool:
        message = queue.take()
        for packet in packets_of(message or b""):
            for item in reader.receive_packet(packet):
                self.hear(item, is_bulk=queue is self.slot.bulk)
        return message is not None

    def hear(self, item: bytes | StreamFault, *, is_bulk: bool) -> None:
        """The host has read a message."""
        receive = self.card.on_bulk if is_bulk else self.card.on_interrupt
        self.perform(receive(item, self.now))

    def pump(self) -> None:
        """Let the host read and do what is due."""
        self.read_all()
        self.do_due()

    def read_all(self) -> None:
        """Let the host read what the device has for it."""
        endpoints = [(self.slot.interrupt, self._interrupt_reader), (self.slot.bulk, self._bulk_reader)]
        if self.is_bulk_first:
            endpoints.reverse()
        has_read = True
        while has_read:
            has_read = sum(self._read(queue, reader) for queue, reader in endpoints) > 0

    def do_due(self) -> None:
        """Let the card answer and the host look at its clock."""
        for answer in [answer for answer in self._answers if answer[0] <= self.now]:
            self._answers.remove(answer)
            self.perform(self.card.on_answer(answer[1], answer[2], self.now))
        deadline = self.card.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.perform(self.card.handle_timer(self.now))

    def host_at(self) -> float | None:
        """When card or host want to do something, None if never."""
        return min(
            (t for t in (self.card.next_deadline(), *(a[0] for a in self._answers)) if t is not None), default=None
        )

    # Modem

    def run(self, procedure: Procedure[_T], *, stop_after: int | None = None) -> _T:
        """Run one of the modem's procedures to its end. Raises StoppedError after ``stop_after`` characters."""
        self.stop_after = None if stop_after is None else self.characters + stop_after
        result: int | None = None
        try:
            while True:
                result = self._do(procedure.send(result))
        except StopIteration as stop:
            value: _T = stop.value
            return value
        finally:
            procedure.close()

    def _do(self, operation: Op) -> int | None:
        match operation:
            case SetLines(vcc, rst):
                if vcc is not self.slot.vcc:
                    self.slot.set_vcc(is_on=vcc)
                self.slot.set_rst(is_high=rst)
            case Put(character):
                self._count_character()
                self.slot.receive(character)
            case Get(wait_etu):
                return self._wait_for_character(self.now + wait_etu * self._etu_s)
            case Pause(duration_s):
                self._sleep_until(self.now + duration_s)
        return None

    @property
    def _etu_s(self) -> float:
        return self.slot.clocks_per_etu / _CLOCK_HZ

    def _count_character(self) -> None:
        if self.characters == self.stop_after:
            raise StoppedError
        self.characters += 1
        self.now += 12 * self._etu_s
        self._last_character_at = self.now

    def _wait_for_character(self, deadline: float) -> int | None:
        while True:
            self.pump()
            if self.characters == self.stop_after:
                # The host knows the command, the card may still be working on it.
                raise StoppedError
            character = self.slot.transmit()
            if character is not None:
                self._count_character()
                return character
            if not self._advance(deadline):
                return None

    def _sleep_until(self, deadline: float) -> None:
        self.pump()
        while self._advance(deadline):
            self.pump()

    def _advance(self, deadline: float) -> bool:
        """Move on to the next thing that happens; False if that is the deadline."""
        timer_at = self._last_character_at + self.slot.timer_etu * self._etu_s if self.slot.timer_etu else None
        nearest = min([t for t in (timer_at, self.host_at()) if t is not None], default=deadline)
        if nearest >= deadline:
            self.now = max(self.now, deadline)
            return False
        self.now = max(self.now, nearest)
        if timer_at is not None and timer_at <= self.now:
            self._last_character_at = self.now
            self.slot.expire_timer()
        return True
