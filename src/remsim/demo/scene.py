# SPDX-License-Identifier: Apache-2.0
"""What the demonstration shows, as plain values: filled in by the stage, drawn by the board."""

from collections import deque
from dataclasses import field
from typing import Final

from remsim.card.instructions import command_name, describe_command
from remsim.card.status import describe_sw
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.emulators.script.player import percentile

#: Commands that stay visible.
LAST_COMMANDS: Final = 12


@dataclass(frozen=True, slots=True)
class ShownCommand:
    """One command of the modem and its answer, in words."""

    number: int
    command: str
    answer: str
    is_expected: bool
    duration_s: float


@dataclass(slots=True)
class DemoProgram:
    """One program: what it is, where, and whether it is in service."""

    title: str
    place: str = ""
    state: str = "starting"
    is_up: bool = False


@dataclass(slots=True)
class KindTiming:
    """Durations of one kind of command, in seconds."""

    durations_s: list[float] = field(default_factory=list)

    def quantile_s(self, share: float) -> float:
        """The duration that ``share`` (0..1) of the commands do not exceed, reckoned as by ``remsim client script``."""
        return percentile(sorted(self.durations_s), share) if self.durations_s else 0.0


@dataclass(slots=True)
class Scene:
    """The whole picture at one moment."""

    client_slot: ClientSlot
    total: int
    server: DemoProgram = field(default_factory=lambda: DemoProgram("server"))
    bankd: DemoProgram = field(default_factory=lambda: DemoProgram("bankd"))
    client: DemoProgram = field(default_factory=lambda: DemoProgram("client"))
    bank_slot: BankSlot | None = None
    mapping_state: str = "none"
    atr: bytes = b""
    #: Names of the cards by slot.
    cards: tuple[str, ...] = ()
    boots: int = 0
    played: int = 0
    surprises: int = 0
    kinds: dict[str, KindTiming] = field(default_factory=dict)
    last: deque[ShownCommand] = field(default_factory=lambda: deque(maxlen=LAST_COMMANDS))
    result: str = ""

    def start_boot(self) -> None:
        """The modem starts (again)."""
        self.boots += 1
        self.played = 0

    def add_command(self, tpdu: bytes, response: bytes, duration_s: float, *, is_expected: bool) -> None:
        """One more command was answered; ``response`` has at least its status word."""
        self.played += 1
        self.surprises += not is_expected
        sw = int.from_bytes(response[-2:], "big")
        size = len(response) - 2
        answer = f"{sw:04X} {describe_sw(sw)}" + (f", {size} byte{'' if size == 1 else 's'}" if size else "")
        shown = ShownCommand(self.played, describe_command(tpdu), answer, is_expected, duration_s)
        self.last.append(shown)
        self.kinds.setdefault(command_name(tpdu[0], tpdu[1]), KindTiming()).durations_s.append(duration_s)

    @property
    def all_timing(self) -> KindTiming:
        """Durations of all commands together."""
        return KindTiming([d for kind in self.kinds.values() for d in kind.durations_s])
