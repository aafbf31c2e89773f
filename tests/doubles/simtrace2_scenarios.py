# SPDX-License-Identifier: Apache-2.0
"""The captured SIMtrace2 scenarios as values, and the start-up that most of them leave out."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tests.doubles.simtrace2_device import Slot, VirtualSimtrace2
from tests.reference import reference

_USUAL_ATR: Final = bytes.fromhex("3b021450")
#: Those in which lines were high before the firmware started.
_POWERED_AT_BOOT: Final = "06-remote-when-phone-powered-at-boot"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``kind`` is side and direction in one word."""

    kind: str
    slot: int
    recorded: dict[str, Any]

    @property
    def raw(self) -> bytes:
        """The event's bytes."""
        return bytes.fromhex(self.recorded["hex"])


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file."""

    name: str
    board: str
    events: tuple[Event, ...]
    #: The ATR that the start-up sets, None if the scenario starts with a fresh device.
    start_atr: bytes | None

    def __str__(self) -> str:
        return self.name


_KINDS: Final = {
    ("phone", "to_card"): "to_card",
    ("phone", "from_card"): "from_card",
    ("usb", "to_host"): "to_host",
    ("usb", "to_device"): "to_device",
}


def _event(recorded: dict[str, Any]) -> Event:
    kind = _KINDS.get((recorded["side"], recorded.get("dir", "")), recorded["side"])
    return Event(recorded.get("signal", kind), recorded.get("slot", 0), recorded)


@cache
def scenarios() -> tuple[Scenario, ...]:
    """All numbered files, in order."""
    found = []
    for path in sorted(reference("vectors", "simtrace2").glob("[0-9][0-9]-*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        events = tuple(_event(recorded) for recorded in document["events"])
        atr = None
        first = events[0].recorded.get("text", "") if events else ""
        if first.startswith("start-up"):
            named = re.search(r"set-atr ([0-9a-f]+)", first)
            atr = bytes.fromhex(named[1]) if named else _USUAL_ATR
        found.append(Scenario(path.stem, document["board"], events, atr))
    return tuple(found)


def device_for(scenario: Scenario) -> VirtualSimtrace2:
    """A freshly started device as the scenario expects it, without the start-up."""
    return VirtualSimtrace2(scenario.board, is_powered_at_boot=scenario.name == _POWERED_AT_BOOT)


def start_up(slot: Slot, atr: bytes) -> None:
    """CONFIG, SIM_SELECT remote, SET_ATR, CARD_INSERT, VCC on, RST up, ATR; all that came of it is read and dropped."""
    for text in ("0108000000000e00010000000000", "020200000000090001"):
        slot.host_out(bytes.fromhex(text))
    slot.host_out(bytes((1, 2, 0, 0, 0, 0, 9 + len(atr), 0, len(atr))) + atr)
    slot.host_out(bytes.fromhex("010500000000090001"))
    slot.set_vcc(is_on=True)
    slot.set_rst(is_high=True)
    slot.expire_timer()
    slot.expire_timer()
    while slot.transmit() is not None:
        pass
    for queue in (slot.interrupt, slot.bulk):
        while queue.take() is not None:
            pass
    slot.board_events.clear()
