# SPDX-License-Identifier: Apache-2.0
"""The virtual SIMtrace2 behaves as the real firmware in every captured scenario."""

from collections.abc import Iterator

import pytest

from tests.doubles.simtrace2_device import Slot, packets_of
from tests.doubles.simtrace2_scenarios import Event, Scenario, device_for, scenarios, start_up

_OUTPUTS = {"from_card", "to_host", "board", "uart"}

#: A client that died reads nothing until its successor has sent CONFIG.
_UNREAD_AT_FIRST = "53-stale-message-after-restart"

#: The modem resets in the middle of an answer, so a part of it is never sent.
_CUT_SHORT = "42-reset-while-sending"


def _steps(scenario: Scenario) -> Iterator[tuple[Event | None, list[Event]]]:
    """Each input with the outputs up to the next one."""
    step: Event | None = None
    outputs: list[Event] = []
    for event in scenario.events:
        if event.kind in _OUTPUTS:
            outputs.append(event)
        else:
            yield step, outputs
            step, outputs = event, []
    yield step, outputs


class Player:
    """Feeds inputs and compares outputs stream by stream."""

    def __init__(self, scenario: Scenario) -> None:
        self.slots = device_for(scenario).slots
        self.is_reading = scenario.name != _UNREAD_AT_FIRST
        self.is_slow = scenario.name == _CUT_SHORT
        if scenario.start_atr is not None:
            start_up(self.slots[0], scenario.start_atr)

    def feed(self, event: Event) -> None:
        slot = self.slots[event.slot]
        match event.kind:
            case "to_card":
                for character in event.raw:
                    slot.receive(character)
            case "to_device":
                self.is_reading = True
                slot.host_out(event.raw, has_zero_packet=event.recorded.get("zlp", False))
            case "vcc":
                slot.set_vcc(is_on=bool(event.recorded["level"]), millivolt=event.recorded.get("millivolt"))
            case "rst":
                slot.set_rst(is_high=bool(event.recorded["level"]))
            case "time":
                # Time passes for all slots; scenarios mean the one whose timer runs.
                passed = {slot.expire_timer() for slot in self.slots} - {0}
                assert passed == (set() if "not running" in event.recorded.get("text", "") else {event.recorded["etu"]})
            case "comment":
                text = event.recorded["text"]
                self.is_reading = "stops reading" not in text and (self.is_reading or "reads again" in text)

    def expect(self, outputs: list[Event]) -> None:
        for index, slot in enumerate(self.slots):
            mine = [event for event in outputs if event.slot == index]
            self._expect_characters(slot, b"".join(event.raw for event in mine if event.kind == "from_card"))
            for endpoint, queue in (("irq", slot.interrupt), ("in", slot.bulk)):
                expected = [event for event in mine if event.kind == "to_host" and event.recorded["ep"] == endpoint]
                found = []
                while self.is_reading and (taken := queue.take()) is not None:
                    found.append(taken)
                assert [data.hex() for data in found] == [event.recorded["hex"] for event in expected]
                for data, event in zip(found, expected, strict=True):
                    lengths = [len(packet) for packet in packets_of(data)]
                    assert lengths == event.recorded.get("packets", [len(data)])
            boards = [(event.recorded["what"], str(event.recorded["value"])) for event in mine if event.kind == "board"]
            assert slot.board_events == boards
            slot.board_events.clear()
            assert all(slot.clocks_per_etu == e.recorded["clocks_per_etu"] for e in mine if e.kind == "uart")

    def _expect_characters(self, slot: Slot, expected: bytes) -> None:
        found = bytearray()
        limit = len(expected) if self.is_slow else 1000
        while len(found) < limit and (character := slot.transmit()) is not None:
            found.append(character)
        assert found.hex() == expected.hex()


@pytest.mark.parametrize("scenario", scenarios(), ids=str)
def test_device_does_what_the_firmware_did(scenario: Scenario) -> None:
    player = Player(scenario)
    for step, outputs in _steps(scenario):
        if step is not None:
            player.feed(step)
        player.expect(outputs)


def test_all_scenarios_are_there() -> None:
    assert len(scenarios()) == 80
