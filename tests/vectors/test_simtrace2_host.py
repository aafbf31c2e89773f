# SPDX-License-Identifier: Apache-2.0
"""Our host sends what the captured hosts sent, in every scenario whose host did nothing dangerous.

STATUS requests are left out of the comparison: the scenarios ask for the status to show it, our host to know it.
"""

import json
from collections import deque
from typing import Any, Final

import pytest

from remsim.emulators.errors import BoardFrameError, UnsafeFrameError
from remsim.emulators.simtrace2 import card as card_module
from remsim.emulators.simtrace2.actions import Action, Fact, FactKind, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.boards import BOARDS
from remsim.emulators.simtrace2.card import Phase, SimtraceCard
from remsim.emulators.simtrace2.header import Message, UnknownBoardMessage
from remsim.emulators.simtrace2.messages import (
    BoardSetAtr,
    CardInsert,
    Config,
    LineAction,
    LineFlag,
    ModemReset,
    SimSelect,
    Status,
    StatusRequest,
    TpduFlag,
    TxData,
)
from remsim.emulators.simtrace2.stream import MessageReader, encode_transfer
from remsim.emulators.simtrace2.t0 import T0Card
from tests.doubles.simtrace2_config import BOARD_KINDS
from tests.doubles.simtrace2_device import packets_of
from tests.doubles.simtrace2_frames import decode_from_host, packets_sent
from tests.doubles.simtrace2_scenarios import Event, Scenario, scenarios
from tests.reference import reference

#: These bytes no host may send. The files 51 are dangerous to readers, not to the device: their host is ordinary.
DANGEROUS: Final = tuple(
    s for s in scenarios() if (s.name.endswith("HAZARD") and s.name[:2] != "51") or "63" <= s.name[:2] <= "67"
)
ORDINARY: Final = tuple(s for s in scenarios() if s not in DANGEROUS)

#: The answer comes when the modem does not wait for it any more. Ours is not sent.
SUPPRESSED: Final = {"40-reset-while-waiting", "45-vcc-off-while-waiting"}
#: There is no card, so commands are answered at once.
REFUSED: Final = {"22-case3-early-error"}
REFUSAL: Final = 0x9404
#: One byte where the device insists on three: MODEM_RESET without its length.
_SHORT: Final = "020100000000090001"
_STALE: Final = "53-stale-message-after-restart"

_OFF: Final = Status(LineFlag.RESET, 0, 1, 1, 10, 9600)
_RUNNING: Final = Status(LineFlag.VCC | LineFlag.CLK, 0, 1, 1, 10, 9600)


def messages_of(transfer: bytes) -> list[bytes]:
    """The messages in one bulk OUT transfer."""
    return [item for item in MessageReader().receive_packet(transfer) if isinstance(item, bytes)]


def ready(card: SimtraceCard, status: Status) -> None:
    """Take a slot through its start-up."""
    card.start(0.0)
    card.on_bulk(Config(1, 0, 3).to_bytes(), 0.0)
    card.on_bulk(status.to_bytes(), 0.0)
    assert card.state is Phase.READY


class RefusingCard(T0Card):
    """Answers each command behind its header, before its data are asked for."""

    def on_header(self, header: bytes) -> list[Action]:
        """See the class."""
        return self._refuse(header, REFUSAL)


class HostPlayer:
    """One slot's host: gets what the device sent, and must send what the captured host sent."""

    def __init__(self, scenario: Scenario, slot: int) -> None:
        self.name = scenario.name
        sent = [event for event in scenario.events if event.kind == "to_device" and event.slot == slot]
        kinds = [
            decode_from_host(recorded) for e in sent for recorded in messages_of(e.raw) if recorded.hex() != _SHORT
        ]
        self.is_one_message = any(isinstance(m, TxData) and m.flags & TpduFlag.FINAL and len(m.data) > 2 for m in kinds)
        self.board = BOARDS[BOARD_KINDS[scenario.board].product_id]
        self.mux_slot = next((m.mux_slot for m in kinds if isinstance(m, Config)), None)
        with pytest.MonkeyPatch.context() as patch:
            if scenario.name in REFUSED:
                patch.setattr(card_module, "T0Card", RefusingCard)
            self.card = self.new_card()
        if scenario.start_atr is not None:
            ready(self.card, _RUNNING)
            self.card.set_atr(scenario.start_atr, 0.0)
            self.card.insert_card(0.0)
        elif not kinds or not isinstance(kinds[0], Config):
            ready(self.card, _OFF)
        self.readers = {"in": MessageReader(), "irq": MessageReader()}
        self.now = 1.0
        self.sent: deque[bytes] = deque()
        self.forwarded: list[ForwardTpdu] = []
        self.facts: list[FactKind] = []
        self._partial = b""
        self._answer = b""

    def new_card(self) -> SimtraceCard:
        return SimtraceCard(self.board, mux_slot=self.mux_slot, is_one_message=self.is_one_message)

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendBulk(message, generation):
                    if not isinstance(message, StatusRequest):
                        self.sent.append(encode_transfer(message).data)
                    if generation is not None:
                        self.card.on_sent(generation)
                case ForwardTpdu():
                    self.forwarded.append(action)
                case Fact(kind):
                    self.facts.append(kind)
        if self.card.state is Phase.READING_STATUS:
            self.take(self.card.on_bulk(_OFF.to_bytes(), self.now))

    @property
    def acknowledge(self) -> bytes:
        """What our host says to a header before it takes data."""
        return TxData.acknowledge(0xA4).to_bytes()

    def feed(self, event: Event) -> None:
        self.now += event.recorded.get("etu", 10) * 1e-4
        if self.card.next_deadline() is not None:
            self.take(self.card.handle_timer(self.now))
        if event.kind == "comment" and "new client" in event.recorded["text"]:
            self.card = self.new_card()
        elif event.kind == "to_host":
            receive = self.card.on_bulk if event.recorded["ep"] == "in" else self.card.on_interrupt
            for packet in packets_of(event.raw):
                for item in self.readers[event.recorded["ep"]].receive_packet(packet):
                    self.take(receive(item, self.now))
        elif event.kind == "to_device":
            for recorded in messages_of(event.raw):
                if recorded.hex() != _SHORT:
                    self.imitate(decode_from_host(recorded), recorded)

    def imitate(self, message: Message | UnknownBoardMessage, recorded: bytes) -> None:
        """Bring our host to do what this message of the captured one did."""
        card, now = self.card, self.now
        match message:
            case Config() if card.state is Phase.OFF:
                self.take(card.start(now))
            case SimSelect(is_on):
                self.take(card.select_sim(now, is_remote=is_on))
            case BoardSetAtr(atr):
                self.take(card.set_atr(atr, now))
                if len(atr) > 33:
                    assert self.facts[-1] is FactKind.ATR_REFUSED
                    return
            case CardInsert(is_on):
                self.take(card.insert_card(now) if is_on else card.remove_card(now))
            case ModemReset(LineAction.PULSE, 300):
                self.take(card.reset_modem(now))
            case TxData():
                self.imitate_tpdu(message, recorded)
                return
            case _:
                # Nothing that our host does by itself; it can be written down all the same.
                assert message.to_bytes()[8:] == recorded[8:]
                return
        assert self.sent.popleft().hex() == recorded.hex()

    def imitate_tpdu(self, message: TxData, recorded: bytes) -> None:
        if message.flags == TpduFlag.PB_AND_RX:
            assert self.sent.popleft().hex() == recorded.hex()
            return
        self._partial += recorded
        self._answer += message.data
        if not message.flags & TpduFlag.FINAL:
            return
        expected = self._partial
        if self.name not in REFUSED:
            generation = self.forwarded[-1].generation
            response = self._answer[1:] if len(self._answer) > 2 else self._answer
            is_late = generation != self.card.t0.generation
            self.take(self.card.on_answer(generation, response, self.now))
            if is_late:
                assert self.name in SUPPRESSED
                assert self.facts[-1] is FactKind.LATE_ANSWER
                expected = b""
        found = b""
        while len(found) < len(expected):
            found += self.sent.popleft()
        assert found.hex() == expected.hex()
        self._partial = self._answer = b""


def _ends_with_header(scenario: Scenario) -> bool:
    return scenario.events[-1].kind == "to_host" and scenario.events[-1].raw[8:9] == b"\x01"


@pytest.mark.parametrize("scenario", ORDINARY, ids=str)
def test_our_host_sends_what_the_captured_host_sent(scenario: Scenario) -> None:
    players = [HostPlayer(scenario, index) for index in range(BOARD_KINDS[scenario.board].slots)]
    for event in scenario.events:
        players[event.slot].feed(event)
    for player in players:
        # Some scenarios end before their host has acknowledged the last header.
        assert not player.sent or (list(player.sent) == [player.acknowledge] and _ends_with_header(scenario))


def test_stale_header_reaches_nobody() -> None:
    (scenario,) = [s for s in ORDINARY if s.name == _STALE]
    player = HostPlayer(scenario, 0)
    for event in scenario.events:
        player.feed(event)
    assert player.facts == [FactKind.STALE_DROPPED]
    assert player.forwarded == []


@pytest.mark.parametrize("scenario", ORDINARY, ids=str)
def test_messages_of_the_host_can_be_written_down(scenario: Scenario) -> None:
    for event in scenario.events:
        if event.kind == "to_device":
            for recorded in messages_of(event.raw):
                try:
                    message = decode_from_host(recorded)
                except BoardFrameError:
                    assert recorded.hex() == _SHORT
                    continue
                assert message.to_bytes()[8:] == recorded[8:]


def _is_dangerous(recorded: bytes, headers: list[bytes]) -> bool:
    """Whether a message is wrong in itself, for whichever command it was sent."""
    message = decode_from_host(recorded)
    if not isinstance(message, TxData):
        return True
    if message.flags == TpduFlag.PB_AND_RX:
        return message.data[0] not in {header[1] for header in headers}
    whole = {1 + header[4] for header in headers}
    is_part = not message.flags & TpduFlag.FINAL and len(message.data) not in whole
    return is_part or not message.flags & TpduFlag.PB_AND_TX


class TestDangerous:
    @pytest.mark.parametrize("scenario", DANGEROUS, ids=str)
    def test_our_host_reads_its_side_and_sends_nothing_dangerous(self, scenario: Scenario) -> None:
        player = HostPlayer(scenario, 0)
        seen = [recorded for e in scenario.events if e.kind == "to_device" for recorded in messages_of(e.raw)]
        headers: list[bytes] = []
        for event in scenario.events:
            if event.kind != "to_host":
                continue
            player.feed(event)
            if event.recorded["ep"] == "in" and event.raw[8] == TpduFlag.HEADER:
                headers.append(event.raw[14:])
            if player.forwarded:
                command = player.forwarded.pop()
                data = bytes(command.tpdu[4]) if len(command.tpdu) == 5 else b""
                player.take(player.card.on_answer(command.generation, data + b"\x90\x00", player.now))
        dangerous = {recorded for recorded in seen if _is_dangerous(recorded, headers)}
        assert dangerous.isdisjoint(player.sent)

    def test_late_answer_is_not_sent(self) -> None:
        (scenario,) = [s for s in DANGEROUS if s.name[:2] == "41"]
        player = HostPlayer(scenario, 0)
        for event in scenario.events:
            if event.kind == "to_device" and event.raw.endswith(b"\x6f\x00"):
                player.take(player.card.on_answer(player.forwarded[0].generation, b"\x6f\x00", player.now))
                assert not player.sent
                assert player.facts[-1] is FactKind.LATE_ANSWER
            elif event.kind != "to_device":
                player.feed(event)

    @pytest.mark.parametrize("name", ["31", "65", "66"])
    def test_message_without_procedure_byte_is_refused(self, name: str) -> None:
        (scenario,) = [s for s in DANGEROUS if s.name[:2] == name]
        raws = [recorded for e in scenario.events if e.kind == "to_device" for recorded in messages_of(e.raw)]
        refused = 0
        for recorded in raws:
            message = decode_from_host(recorded)
            assert isinstance(message, TxData)
            try:
                encode_transfer(message)
            except UnsafeFrameError:
                refused += 1
        assert refused == 1

    def test_transfer_of_64_bytes_has_its_empty_packet(self) -> None:
        (scenario,) = [s for s in DANGEROUS if s.name[:2] == "50"]
        recorded = next(e.raw for e in scenario.events if e.kind == "to_device")
        message = decode_from_host(recorded)
        assert isinstance(message, TxData)
        assert packets_sent(encode_transfer(message)) == [recorded, b""]

    def test_acknowledge_is_always_ins(self) -> None:
        (scenario,) = [s for s in DANGEROUS if s.name[:2] == "64"]
        player = HostPlayer(scenario, 0)
        for event in scenario.events:
            if event.kind == "to_host":
                player.feed(event)
        assert [transfer[14:] for transfer in player.sent] == [b"\xd6"]

    def test_wrong_length_is_refused_when_read(self) -> None:
        (scenario,) = [s for s in DANGEROUS if s.name[:2] == "67"]
        recorded = next(e.raw for e in scenario.events if e.kind == "to_device")
        with pytest.raises(BoardFrameError, match="states 32 bytes and has 8"):
            decode_from_host(recorded)


def test_every_file_is_used() -> None:
    assert len(ORDINARY) + len(DANGEROUS) == len(scenarios()) == 80
    assert [s.name[:2] for s in DANGEROUS] == ["31", "41", "47", "50", "63", "64", "65", "66", "67"]


def _examples() -> list[dict[str, Any]]:
    path = reference("vectors", "simtrace2", "host-messages.json")
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["messages"]
    return found


@pytest.mark.parametrize("entry", _examples(), ids=lambda entry: str(entry["meaning"]))
def test_example_message_is_written_as_the_reference_writes_it(entry: dict[str, Any]) -> None:
    message = decode_from_host(bytes.fromhex(entry["hex"]))
    assert not isinstance(message, UnknownBoardMessage)
    assert encode_transfer(message).data.hex() == entry["hex"]
